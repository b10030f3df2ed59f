"""What else the log says of the run in a dossier: that it was open before it acted, and by whose word it was let."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._dossier_approvals import signed_for_run
from hearth.evidence._dossier_keys import require, unchecked
from hearth.evidence._dossier_log import proof_in
from hearth.evidence._dossier_plan import started_of
from hearth.evidence._merkle import leaf_hash, verify_inclusion
from hearth.evidence._proof import LogProof
from hearth.record import LeafKind, canonical_bytes, leaf_bytes, named_in_leaf, parse_leaf

__all__ = ["check_approval_leaf", "check_more", "check_opening", "require_proved_erasures"]

_OF_A_RUN = (LeafKind.EXECUTION_OPENED, LeafKind.APPROVAL_USED, LeafKind.VALUES_ERASED)


@dataclass(frozen=True, slots=True)
class _Proved:
    """A leaf that the log has, at its place."""

    index: int
    data: bytes
    says: dict[str, Any]


def check_opening(document: dict[str, Any]) -> str:
    """Make the leaf of the opening anew from entry 0, and see that it comes before that of the record."""
    proof, record = proof_in(document), document["record"]
    first = record["marks"][0]
    made = leaf_bytes(
        LeafKind.EXECUTION_OPENED,
        origin=proof["origin"],
        ledger_id=str(started_of(document)["ledger_id"]),
        at=first["timestamp"],
        execution_id=named_in_leaf(record["execution_id"]),
        first_event_hash=first["event_hash"],
    )
    found = _proved(document, LeafKind.EXECUTION_OPENED)
    if not found:
        unchecked("the file has no leaf of its opening: it ran before the log was made, or past it")
    require([one.data for one in found] == [made], "the leaf of the opening is of another run")
    sealed = LogProof.parse(proof["proof"].encode()).index
    require(found[0].index < sealed, "the log was told of the run after its record was sealed")
    return f"entry {found[0].index}, before that of the record"


def check_approval_leaf(document: dict[str, Any]) -> str:
    """See that the log has the request and the decisions that are in the file, as used by this run."""
    signed = signed_for_run(document)
    found = _proved(document, LeafKind.APPROVAL_USED)
    require(bool(found), "a log that has the record has the use of its approval, too, and it is not in the file")
    says = found[0].says
    decisions = {_digest(one["envelope"]): one["says"] for one in signed["decisions"]}
    require(len(decisions) == len(signed["decisions"]), "a decision stands twice in the file")
    wanted = {
        "at": signed["use"]["used"],
        "execution_id": named_in_leaf(document["record"]["execution_id"]),
        "request_id": signed["request"]["says"]["request_id"],
        "request_sha256": _digest(signed["request"]["envelope"]),
    }
    for name, value in wanted.items():
        require(says[name] == value, f"the log has another approval of this run: {name} differs")
    require(len(found) == 1, "the file has more than one leaf of the approval's use")
    known = [decisions[digest] for digest in says["decisions"] if digest in decisions]
    require(len(known) == len(says["decisions"]), "a decision that was used is not in the file, or was changed")
    approvers = {one["approver"] for one in known if one["verdict"] == "approve"}
    for name in started_of(document)["approval"]["approvers"]:
        require(name in approvers, f"the log has no approval by {name} that was used")
    said = f"entry {found[0].index}: the request, and {len(known)} decision{'s' * (len(known) != 1)}"
    later = [one for digest, one in decisions.items() if digest not in says["decisions"]]
    for one in later:
        who = one["approver"]
        require(
            one["created"] > says["at"], f"the log does not have the decision of {who}, which is older than its use"
        )
    names = ", ".join(sorted(str(one["approver"]) for one in later))
    return f"{said}; what {names} signed came after it was used, and the log does not have it" if later else said


def require_proved_erasures(document: dict[str, Any]) -> bool:
    """Whether the log has each erasure in the file; EvidenceError where it has one that is not in the file.

    UncheckedError where it has some of them and not the others.
    """
    if document["proof"] is None:
        return False
    digests = [_digest(one) for one in document["erasures"]]
    require(len(set(digests)) == len(digests), "an erasure stands twice in the file")
    known = set()
    for one in _proved(document, LeafKind.VALUES_ERASED):
        digest = one.says["erasure_sha256"]
        require(digest in digests, f"the log tells of an erasure (entry {one.index}) that the file does not")
        known.add(digest)
    if left := len(set(digests) - known):
        unchecked(
            f"the log does not have {left} of the {len(digests)} erasures: nothing in it says when, why or by whom"
        )
    return bool(digests)


def check_more(document: dict[str, Any]) -> int:
    """Follow the path of each leaf in the file beside the record's, and return how many they are."""
    return len(_proved(document, *_OF_A_RUN))


def _proved(document: dict[str, Any], *kinds: LeafKind) -> list[_Proved]:
    """Return the leaves of these kinds in the file beside the record's; all have to be in the same state of the log."""
    proof = proof_in(document)
    note = LogProof.parse(proof["proof"].encode()).note
    checkpoint = Checkpoint.parse(note.text)
    found = []
    for one in proof["more"]:
        require(isinstance(one, dict) and one.keys() == {"leaf", "proof"}, "a proof has not the form of one")
        parsed, data = LogProof.parse(one["proof"].encode()), one["leaf"].encode()
        require(parsed.note.text == note.text, "a proof is of another state of the log than the record's")
        says = parse_leaf(data)
        require(says["kind"] in _OF_A_RUN, f"the file has a leaf {says['kind']}, which is none of a run's")
        if says["kind"] not in kinds:
            continue
        verify_inclusion(parsed.index, checkpoint.size, leaf_hash(data), parsed.hashes, checkpoint.root)
        if (says["origin"], says["ledger_id"]) != (proof["origin"], started_of(document)["ledger_id"]):
            raise EvidenceError(f"the {says['kind']} in entry {parsed.index} is of another ledger")
        found.append(_Proved(parsed.index, data, says))
    return found


def _digest(document: Any) -> str:  # noqa: ANN401 - a JSON tree
    return hashlib.sha256(canonical_bytes(document)).hexdigest()
