"""Proof for outsiders: a Merkle log in C2SP's formats, signed checkpoints and proofs. Names load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.evidence._checkpoint import Checkpoint
    from hearth.evidence._checkpoint_file import read_checkpoint
    from hearth.evidence._cosigning import CosignFailure, CosignResult, cosign
    from hearth.evidence._dossier_checks import DossierVerdict, Finding
    from hearth.evidence._dossier_data import is_dossier
    from hearth.evidence._dossier_keys import LogBelieved, UncheckedError
    from hearth.evidence._dossier_page import made_by_this_version, make_dossier
    from hearth.evidence._dossier_verify import remade_dossier, verify_dossier
    from hearth.evidence._growing_tiles import GrowingTiles
    from hearth.evidence._kept_note import kept_note
    from hearth.evidence._key_history import KeyHistory
    from hearth.evidence._key_statement import KeyStatement
    from hearth.evidence._ledger_check import check_ledger_log
    from hearth.evidence._ledger_log import LedgerLog, LogUpdate, update_log
    from hearth.evidence._log import TransparencyLog
    from hearth.evidence._log_check import LogReport, check_log
    from hearth.evidence._log_files import LogFiles
    from hearth.evidence._log_key import LOG_PASSPHRASE_VARIABLE, load_log_key
    from hearth.evidence._log_place import LogPlace, LogSettings
    from hearth.evidence._log_rotation import revoke_key, rotate_key
    from hearth.evidence._log_teller import LogTeller
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
    from hearth.evidence._publish import Published, publish
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
    from hearth.evidence._witness_policy import PolicyGroup, PolicyWitness, WitnessPolicy

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "LARGEST_ENVELOPE",
    "LOG_PASSPHRASE_VARIABLE",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "Checkpoint",
    "CosignFailure",
    "CosignResult",
    "DossierVerdict",
    "ExecutionStatement",
    "Finding",
    "Frontier",
    "GrowingTiles",
    "KeyHistory",
    "KeyStatement",
    "LedgerLog",
    "LogBelieved",
    "LogFiles",
    "LogPlace",
    "LogProof",
    "LogReport",
    "LogSettings",
    "LogTeller",
    "LogUpdate",
    "Note",
    "NoteKey",
    "NoteSignature",
    "PolicyGroup",
    "PolicyWitness",
    "Published",
    "TileHashes",
    "Timestamp",
    "TransparencyLog",
    "UncheckedError",
    "Witness",
    "WitnessAddress",
    "WitnessAnswer",
    "WitnessPolicy",
    "WitnessRequest",
    "WitnessServer",
    "add_checkpoint_body",
    "bundle_path",
    "check_ledger_log",
    "check_log",
    "consistency_proof",
    "cosign",
    "inclusion_proof",
    "is_dossier",
    "kept_note",
    "leaf_hash",
    "load_log_key",
    "made_by_this_version",
    "make_dossier",
    "name_of_leaf",
    "node_hash",
    "publish",
    "read_checkpoint",
    "remade_dossier",
    "request_timestamp",
    "revoke_key",
    "root_from_inclusion",
    "rotate_key",
    "sign_statement",
    "stamped_bytes",
    "statement_of",
    "tile_path",
    "timestamp_name",
    "tree_root",
    "update_log",
    "verify_consistency",
    "verify_dossier",
    "verify_inclusion",
    "verify_timestamp",
    "witness_app",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "rotate_key": "_log_rotation",
        "revoke_key": "_log_rotation",
        "COSIGNATURE": "_note",
        "Checkpoint": "_checkpoint",
        "CosignFailure": "_cosigning",
        "CosignResult": "_cosigning",
        "DossierVerdict": "_dossier_checks",
        "ED25519": "_note",
        "ExecutionStatement": "_statement",
        "Finding": "_dossier_checks",
        "Frontier": "_merkle",
        "GrowingTiles": "_growing_tiles",
        "KeyHistory": "_key_history",
        "KeyStatement": "_key_statement",
        "LARGEST_ENVELOPE": "_statement",
        "LOG_PASSPHRASE_VARIABLE": "_log_key",
        "LedgerLog": "_ledger_log",
        "LogFiles": "_log_files",
        "LogPlace": "_log_place",
        "LogProof": "_proof",
        "LogReport": "_log_check",
        "LogSettings": "_log_place",
        "LogTeller": "_log_teller",
        "LogUpdate": "_ledger_log",
        "Note": "_note",
        "NoteKey": "_note",
        "NoteSignature": "_note",
        "PREDICATE_TYPE": "_statement",
        "PolicyGroup": "_witness_policy",
        "PolicyWitness": "_witness_policy",
        "Published": "_publish",
        "STATEMENT_TYPE": "_statement",
        "TileHashes": "_tiles",
        "Timestamp": "_timestamp",
        "TransparencyLog": "_log",
        "Witness": "_witness",
        "WitnessAddress": "_witness_address",
        "WitnessAnswer": "_witness",
        "WitnessPolicy": "_witness_policy",
        "WitnessRequest": "_witness_http",
        "WitnessServer": "_witness_http",
        "add_checkpoint_body": "_witness",
        "bundle_path": "_tiles",
        "check_ledger_log": "_ledger_check",
        "check_log": "_log_check",
        "consistency_proof": "_merkle",
        "cosign": "_cosigning",
        "inclusion_proof": "_merkle",
        "is_dossier": "_dossier_data",
        "kept_note": "_kept_note",
        "leaf_hash": "_merkle",
        "load_log_key": "_log_key",
        "LogBelieved": "_dossier_keys",
        "UncheckedError": "_dossier_keys",
        "made_by_this_version": "_dossier_page",
        "make_dossier": "_dossier_page",
        "name_of_leaf": "_log_intake",
        "node_hash": "_merkle",
        "publish": "_publish",
        "read_checkpoint": "_checkpoint_file",
        "request_timestamp": "_timestamp",
        "root_from_inclusion": "_merkle",
        "sign_statement": "_statement",
        "stamped_bytes": "_timestamp",
        "statement_of": "_statement",
        "tile_path": "_tiles",
        "timestamp_name": "_timestamp",
        "tree_root": "_merkle",
        "update_log": "_ledger_log",
        "verify_consistency": "_merkle",
        "remade_dossier": "_dossier_verify",
        "verify_dossier": "_dossier_verify",
        "verify_inclusion": "_merkle",
        "verify_timestamp": "_timestamp",
        "witness_app": "_witness_http",
    },
)
