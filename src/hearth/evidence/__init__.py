"""Proof for outsiders: a Merkle log in C2SP's formats, signed checkpoints and proofs. Names load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.evidence._checkpoint import Checkpoint
    from hearth.evidence._cosigning import CosignFailure, CosignResult, cosign
    from hearth.evidence._growing_tiles import GrowingTiles
    from hearth.evidence._log import TransparencyLog
    from hearth.evidence._merkle import (
        Frontier,
        consistency_proof,
        inclusion_proof,
        leaf_hash,
        node_hash,
        root_from_inclusion,
        tree_root,
        verify_consistency,
        verify_inclusion,
    )
    from hearth.evidence._note import COSIGNATURE, ED25519, Note, NoteKey, NoteSignature
    from hearth.evidence._proof import LogProof
    from hearth.evidence._statement import (
        LARGEST_ENVELOPE,
        PREDICATE_TYPE,
        STATEMENT_TYPE,
        ExecutionStatement,
        sign_statement,
        statement_of,
    )
    from hearth.evidence._tiles import TileHashes, bundle_path, tile_path
    from hearth.evidence._timestamp import (
        Timestamp,
        request_timestamp,
        stamped_bytes,
        timestamp_name,
        verify_timestamp,
    )
    from hearth.evidence._witness import Witness, WitnessAnswer, add_checkpoint_body
    from hearth.evidence._witness_address import WitnessAddress
    from hearth.evidence._witness_http import WitnessRequest, WitnessServer, witness_app

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "LARGEST_ENVELOPE",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "Checkpoint",
    "CosignFailure",
    "CosignResult",
    "ExecutionStatement",
    "Frontier",
    "GrowingTiles",
    "LogProof",
    "Note",
    "NoteKey",
    "NoteSignature",
    "TileHashes",
    "Timestamp",
    "TransparencyLog",
    "Witness",
    "WitnessAddress",
    "WitnessAnswer",
    "WitnessRequest",
    "WitnessServer",
    "add_checkpoint_body",
    "bundle_path",
    "consistency_proof",
    "cosign",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "request_timestamp",
    "root_from_inclusion",
    "sign_statement",
    "stamped_bytes",
    "statement_of",
    "tile_path",
    "timestamp_name",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_timestamp",
    "witness_app",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "COSIGNATURE": "_note",
        "Checkpoint": "_checkpoint",
        "CosignFailure": "_cosigning",
        "CosignResult": "_cosigning",
        "ED25519": "_note",
        "ExecutionStatement": "_statement",
        "Frontier": "_merkle",
        "GrowingTiles": "_growing_tiles",
        "LARGEST_ENVELOPE": "_statement",
        "LogProof": "_proof",
        "Note": "_note",
        "NoteKey": "_note",
        "NoteSignature": "_note",
        "PREDICATE_TYPE": "_statement",
        "STATEMENT_TYPE": "_statement",
        "TileHashes": "_tiles",
        "TransparencyLog": "_log",
        "Timestamp": "_timestamp",
        "request_timestamp": "_timestamp",
        "stamped_bytes": "_timestamp",
        "timestamp_name": "_timestamp",
        "verify_timestamp": "_timestamp",
        "Witness": "_witness",
        "WitnessAddress": "_witness_address",
        "WitnessAnswer": "_witness",
        "WitnessRequest": "_witness_http",
        "WitnessServer": "_witness_http",
        "add_checkpoint_body": "_witness",
        "bundle_path": "_tiles",
        "consistency_proof": "_merkle",
        "cosign": "_cosigning",
        "inclusion_proof": "_merkle",
        "leaf_hash": "_merkle",
        "node_hash": "_merkle",
        "root_from_inclusion": "_merkle",
        "sign_statement": "_statement",
        "statement_of": "_statement",
        "tile_path": "_tiles",
        "tree_root": "_merkle",
        "verify_consistency": "_merkle",
        "verify_inclusion": "_merkle",
        "witness_app": "_witness_http",
    },
)
