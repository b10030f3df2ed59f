"""The log in a dossier: the leaf of the record, its place in the tree, and who signed the root."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._dossier_keys import require, unchecked
from hearth.evidence._dossier_plan import started_of
from hearth.evidence._key_history import KeyHistory
from hearth.evidence._merkle import leaf_hash, verify_inclusion
from hearth.evidence._note import NoteKey
from hearth.evidence._proof import LogProof
from hearth.record import ExecutionRecord, sealed_leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.evidence._dossier_keys import DossierKeys, LogBelieved

__all__ = ["check_believed", "check_checkpoint", "check_inclusion", "check_leaf", "check_witnesses", "proof_in"]


def check_leaf(document: dict[str, Any]) -> str:
    """Make the leaf anew from the record."""
    proof = proof_in(document)
    record = ExecutionRecord.from_dict(document["record"])
    made = sealed_leaf(record, origin=proof["origin"], ledger_id=str(started_of(document)["ledger_id"]))
    require(made == proof["leaf"].encode(), "the leaf in the file is not the one of this record")
    return f"the leaf of {record.execution_id} in {proof['origin']}"


def check_inclusion(document: dict[str, Any], others: Callable[[dict[str, Any]], int]) -> str:
    """Follow the path from the leaf to the root; `others` does so for the other leaves, and counts them."""
    proof = proof_in(document)
    parsed, checkpoint = _proof(proof)
    verify_inclusion(parsed.index, checkpoint.size, leaf_hash(proof["leaf"].encode()), parsed.hashes, checkpoint.root)
    said = f"entry {parsed.index} of {checkpoint.size}"
    return f"{said}, and {count} more of this run" if (count := others(document)) else said


def check_checkpoint(document: dict[str, Any], keys: DossierKeys) -> str:
    """Verify the log's own signature."""
    proof = proof_in(document)
    parsed, checkpoint = _proof(proof)
    key = NoteKey.parse(proof["log_key"])
    require(checkpoint.origin == proof["origin"] == key.name, f"the checkpoint is of another log: {checkpoint.origin}")
    if key not in parsed.note.verified_by([key]):
        raise EvidenceError(f"the checkpoint is not signed by the log's key {key.key_id.hex()}")
    said = f"signed by {keys.said_of(key.public, f'{key.name} ({key.key_id.hex()})')}"
    return said if parsed.extra is None else f"{said}; {_follows(parsed, key, keys)}"


def _follows(parsed: LogProof, key: NoteKey, keys: DossierKeys) -> str:
    """Follow the history of the log's keys, which a proof has where the key was changed, from the key that is trusted.

    That is the earliest of those that were given, and the first one where none was.
    """
    lines = (parsed.extra or b"").decode().split("\n")
    first = NoteKey.parse(lines[1] if len(lines) > 1 else "")
    history = KeyHistory.parse(parsed.extra or b"", first)
    require(key in history.keys, f"the log's key {key.key_id.hex()} is none of its history")
    given = [one for one in history.keys if keys.knows(one.public)]
    start = given[0] if given else first
    replace(history, trusted=None if start == first else start).check(parsed.note)
    for one in given:
        keys.said_of(one.public)
    called = "first key" if start == first else "key"
    return f"it follows from the log's {called} {start.key_id.hex()}, {keys.said_of(start.public, start.name)}"


def check_believed(document: dict[str, Any], log: LogBelieved) -> str:
    """See that the checkpoint is one that what was given of the log bears out: its key for this size, and witnesses."""
    require(document["proof"] is not None, "there is no proof of a log in the file, and a log's key was given")
    parsed, checkpoint = _proof(proof_in(document))
    log.check(parsed)
    return f"{checkpoint.origin} with {checkpoint.size} entries"


def check_witnesses(document: dict[str, Any], keys: DossierKeys) -> str:
    """Verify the cosignatures, and count them."""
    proof, said = proof_in(document), document["witnesses"]
    parsed, _ = _proof(proof)
    known = [NoteKey.parse(text) for text in said["keys"]]
    quorum = said["quorum"]
    require(type(quorum) is int and quorum >= 0, "how many witnesses are needed is not a number")
    found = parsed.note.verified_by(known)
    seen = [f"{keys.said_of(key.public, key.name)}" for key in found]
    count = len({key.public.raw for key in found})
    require(count >= quorum, f"{count} of the {quorum} cosignatures that are needed are there")
    if not known:
        unchecked("no witness is known for this log: that it shows everybody the same history is its owner's word")
    require(bool(seen) or not quorum, "no witness has seen it")
    if not seen:
        unchecked(f"none of the {len(known)} known witnesses has cosigned this checkpoint, and none has to")
    return "seen by " + "; ".join(seen)


def proof_in(document: dict[str, Any]) -> dict[str, Any]:
    """Return the proof in a dossier; UncheckedError where it has none."""
    proof = document["proof"]
    if proof is None:
        unchecked(document["proof_missing"] or "there is no proof of a log in the file")
    require(document["proof_missing"] == "", "there is a proof in the file, and it is said to be missing")
    require(
        isinstance(proof, dict) and proof.keys() == {"origin", "log_key", "leaf", "proof", "more"},
        "the proof has not the form of one",
    )
    return dict(proof)


def _proof(proof: dict[str, Any]) -> tuple[LogProof, Checkpoint]:
    parsed = LogProof.parse(proof["proof"].encode())
    return parsed, Checkpoint.parse(parsed.note.text)
