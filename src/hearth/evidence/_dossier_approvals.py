"""The request and the decisions in a dossier: who signed them, and whether they are for this run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence._dossier_keys import require, unchecked
from hearth.evidence._dossier_plan import started_of
from hearth.record import canonical_bytes, same_json
from hearth.signing import Envelope, PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.evidence._dossier_keys import DossierKeys

__all__ = ["bindings", "signatures", "signed_for_run"]

_SIGNED_KINDS = ("approval", "emergency")
_SHOWN = 16
_CALLED = {"request": "requester", "decision": "approver", "review": "reviewer"}
_TYPES = {
    "request": "application/vnd.hearth.approval-request.v1+json",
    "decision": "application/vnd.hearth.approval.v1+json",
    "review": "application/vnd.hearth.emergency-review.v1+json",
}


def signatures(document: dict[str, Any], keys: DossierKeys) -> str:
    """Verify each envelope with the keys that the policy trusted."""
    signed_for_run(document)
    known = {one["name"]: PublicKey.parse(one["key"]) for one in document["policy"]["keys"]}
    distinct = all(isinstance(name, str) for name in known) and len(known) == len(document["policy"]["keys"])
    require(distinct, "a name stands twice among the keys, or is none")
    said, strangers = [], []
    voices: dict[bytes, str] = {}
    for what, signed in _all_signed(document):
        envelope = Envelope.parse(canonical_bytes(signed["envelope"]))
        require(envelope.payload == canonical_bytes(signed["says"]), f"the {what} says something else than was signed")
        require(envelope.payload_type == _TYPES[what], f"the envelope of the {what} is of another kind")
        names = envelope.verified_by(known)
        called = signed["says"].get(_CALLED[what])
        said += [
            f"{what} by {keys.said_of(known[name], name)}" + (f", as {called}" if called != name else "")
            for name in names
        ]
        if what == "decision" and signed["says"].get("verdict") == "approve":
            for name in names:
                other = voices.setdefault(known[name].raw, called)
                require(other == called, f"one key approved as {other} and as {called}")
        if not names:
            hints = {one.key_id for one in envelope.signatures}
            require(
                not hints & {key.key_id for key in known.values()}, f"the signature under the {what} does not verify"
            )
            strangers.append(f"{what} (key id {min(hints)[:_SHOWN]}…)")
    if strangers:
        unchecked(f"signed by keys that are not in the file: {', '.join(strangers)}")
    return "; ".join(said)


def bindings(document: dict[str, Any]) -> str:
    """See that request, decisions, plan, preview, ledger and run belong together."""
    signed = signed_for_run(document)
    started, record = started_of(document), document["record"]
    named, asked = started["approval"], signed["request"]["says"]
    pairs = {
        "request_id": named["request_id"],
        "plan_id": started["plan_id"],
        "plan_digest": started["plan_digest"],
        "plan_copy": started["plan_copy"],
        "preview_digest": named.get("preview_digest"),
        "ledger_id": started["ledger_id"],
        "mode": record["live_mode_state"],
        "emergency": named["kind"] == "emergency",
    }
    for name, value in pairs.items():
        require(same_json(asked[name], value), f"the request is not for this run: {name} differs")
    digest = hashlib.sha256(canonical_bytes(asked)).hexdigest()
    approvers = []
    for one in signed["decisions"]:
        says = one["says"]
        require(says["request_digest"] == digest, f"the decision of {says['approver']} is on another request")
        require(says["verdict"] in ("approve", "deny"), "a decision has no verdict")
        if says["verdict"] == "approve":
            approvers.append(says["approver"])
        elif says["created"] <= record["timestamp_start"]:
            raise EvidenceError(f"{says['approver']} had denied it before the run began")
    for name in named["approvers"]:
        require(name in approvers, f"entry 0 names {name} as an approver, who signed no approval here")
    require(bool(approvers), "nobody approved it")
    for one in signed["decisions"]:
        require(
            record["timestamp_start"] < one["says"]["expires"] or one["says"]["verdict"] == "deny",
            "an approval had expired when the run began",
        )
    use = signed["use"]
    require(use is not None and use["execution_id"] == record["execution_id"], "the approval was used by another run")
    _reviews(signed["reviews"], asked, record, emergency=named["kind"] == "emergency")
    said = f"request {asked['request_id']}, approved by {', '.join(named['approvers'])}, used by this run alone"
    others = sorted(set(approvers) - set(named["approvers"]))
    return f"{said}; what {', '.join(others)} signed, too, counted for nothing" if others else said


def _reviews(reviews: list[dict[str, Any]], asked: dict[str, Any], record: dict[str, Any], *, emergency: bool) -> None:
    """See that each review is of this run, which broke the glass."""
    require(emergency or not reviews, "there is a review of an emergency, and the run was none")
    wanted = {name: asked[name] for name in ("request_id", "ledger_id")} | {"execution_id": record["execution_id"]}
    for one in reviews:
        for name, value in wanted.items():
            require(one["says"][name] == value, f"a review is of another run: {name} differs")


def signed_for_run(document: dict[str, Any]) -> dict[str, Any]:
    """Return what was signed; UncheckedError where the run needed nothing, or it is not in the file."""
    named, signed = started_of(document).get("approval"), document["approval"]
    if not isinstance(named, dict) or named.get("kind") not in _SIGNED_KINDS:
        require(signed is None, "there is an approval that the record does not name")
        unchecked(f"the run was not approved by signatures; its live mode was {document['record']['live_mode_state']}")
    require(isinstance(signed, dict), "the record names an approval that is not in the file")
    if signed["request"] is None:
        unchecked(signed["missing"] or "what was signed is not in the file")
    require(signed["missing"] == "", "what was signed is in the file, and is said to be missing")
    lists = all(isinstance(signed[name], list) for name in ("decisions", "reviews"))
    require(lists, "the decisions, or the reviews, are no list")
    return dict(signed)


def _all_signed(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    signed = document["approval"]
    yield "request", signed["request"]
    for one in signed["decisions"]:
        yield "decision", one
    for one in signed["reviews"]:
        yield "review", one
