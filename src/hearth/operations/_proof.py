"""Checking that a log has a record, by a proof and a key that came from elsewhere; no ledger is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError, EvidenceUsageError, HearthError
from hearth.evidence import LogProof, leaf_hash, verify_inclusion
from hearth.record import ExecutionRecord, Verdict, format_time, sealed_leaf, strict_loads

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.operations._log_keys import LogKeys
    from hearth.operations._verify import Verified

__all__ = ["check_proof", "prove_by"]

_LARGEST = 1 << 21


def check_proof(verified: Verified, record: bytes, proof_file: Path, keys: LogKeys) -> Verified:
    """Return what was verified, with the proof in its verdict: a note where it holds, else why it does not.

    `record` is the exported or stored record. EvidenceError where no key was given.
    """
    if not keys.given:
        raise EvidenceUsageError(
            "whose log a proof is of only a key tells that came from elsewhere; give it with --log-key, as `hearth log "
            "status` of the ledger prints it"
        )
    if not verified.verdict.ok:
        return verified
    notes = verified.verdict.notes
    try:
        with proof_file.open("rb") as file:
            proof = LogProof.parse(file.read(_LARGEST + 1))
        said = prove_by(ExecutionRecord.from_dict(strict_loads(record)), proof, keys)
    except OSError as error:
        raise EvidenceUsageError(f"{proof_file} cannot be read: {error.strerror or error}") from None
    except HearthError as error:
        return replace(verified, verdict=Verdict(ok=False, why=f"the proof does not hold: {error}", notes=notes))
    return replace(verified, verdict=Verdict(ok=True, notes=(*notes, said)))


def prove_by(record: ExecutionRecord, proof: LogProof, keys: LogKeys) -> str:
    """Return what a proof shows of a record, in words; EvidenceError, or RecordError, where it shows nothing."""
    keys = keys.with_history(proof.extra)
    checkpoint = keys.check(proof.note)
    ledger_id = record.started.get("ledger_id")
    if not isinstance(ledger_id, str):
        raise EvidenceError("the record names no ledger, so no log can have it")
    leaf = sealed_leaf(record, origin=checkpoint.origin, ledger_id=ledger_id)
    try:
        verify_inclusion(proof.index, checkpoint.size, leaf_hash(leaf), proof.hashes, checkpoint.root)
    except EvidenceError as error:
        raise EvidenceError(
            f"the log {checkpoint.origin} does not have this record as leaf {proof.index}: {error}. The proof is of "
            "another record, or the record was made anew"
        ) from None
    seen = [time for key in keys.witnesses if (time := proof.note.cosigned_at(key)) is not None]
    cosigned = f", cosigned by {len(seen)}" if seen else ""
    first = f" (first at {format_time(datetime.fromtimestamp(min(seen), UTC))})" if seen else ""
    return f"leaf {proof.index} of {checkpoint.size} in the log {checkpoint.origin}{cosigned}{first}"
