"""A stored record, checked from its bytes."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

from hearth.operations._fsck._canonical import canonical, joined, listed, load, members, sha256
from hearth.operations._fsck._chain import Chain, Problem

__all__ = ["check_record"]

_MEMBERS = frozenset({
    "schema", "execution_id", "plan_id", "live_mode_state", "status", "security_snapshot_pre",
    "security_snapshot_post", "timestamp_start", "timestamp_end", "completion_reason", "step_events",
    "side_effects_report", "marks", "execution_hash", "signatures",
})  # fmt: skip
_REPORT = frozenset({"side_effects_declared", "side_effects_observed", "unknown_effects", "unknown_effects_why"})
_LISTS = {
    "marks": {"execution_started", "execution_sealed"},
    "step_events": {"step_started", "step_completed", "step_failed"},
    "side_effects_observed": {"side_effect"},
}
_OUTSIDE = ("execution_hash", "signatures")


def check_record(raw: object) -> tuple[dict[str, Any], Chain]:
    """Return the document and its chain, or raise Problem with the first thing that is wrong."""
    if not isinstance(raw, bytes):
        raise Problem("the record is no longer bytes")
    try:
        document = load(raw)
        return document, _checked(document, raw)
    except ValueError as error:
        raise Problem(f"the record is {error}") from None


def _checked(document: Any, raw: bytes) -> Chain:  # noqa: ANN401 - a JSON tree
    _form(document)
    report = document["side_effects_report"]
    entries = {name: _entries(report[name] if name in report else document[name], name) for name in _LISTS}
    chain = Chain()
    everything = (pair for pairs in entries.values() for pair in pairs)
    for entry, parts in sorted(everything, key=lambda pair: int(pair[0]["sequence"])):
        chain.add(entry, parts, entry.get("event_hash"))
    chain.finish()
    if chain.seal is None:
        raise Problem("the last entry is no seal: a tail is missing", chain.length)
    for name, pairs in entries.items():
        sequences = [entry["sequence"] for entry, _ in pairs]
        if sequences != sorted(sequences):
            raise Problem(f"{name} is not in the order of the chain")
    _repeated(document, chain)
    lists = {name: listed(joined(parts) for _, parts in pairs) for name, pairs in entries.items()}
    inner = members({key: value for key, value in report.items() if key not in _LISTS})
    inner["side_effects_observed"] = lists.pop("side_effects_observed")
    parts = members({key: value for key, value in document.items() if key not in {*_LISTS, "side_effects_report"}})
    parts |= {**lists, "side_effects_report": joined(inner)}
    if sha256(b"HEARTH-record-v1\0", joined(parts, _OUTSIDE)) != document["execution_hash"]:
        raise Problem("execution_hash is not the hash of the record")
    if joined(parts) != raw:
        raise Problem("its bytes are not the canonical ones")
    return chain


def _entries(entries: list[Any], name: str) -> list[tuple[dict[str, Any], dict[str, bytes]]]:
    """Return a list's entries, each with its members in canonical form."""
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or type(entry.get("sequence")) is not int:
            raise Problem(f"{name} holds what is no entry")
        if entry.get("event_type") not in _LISTS[name]:
            raise Problem(f"it stands in {name}, where it does not belong", entry["sequence"])
        found.append((entry, members(entry)))
    return found


def _form(document: Any) -> None:  # noqa: ANN401 - a JSON tree
    if not isinstance(document, dict) or document.keys() != _MEMBERS:
        raise Problem("it does not have the members of a record")
    if document["schema"] != "hearth/execution-record/v1":
        raise Problem(f"its schema is {document['schema']!r}")
    report = document["side_effects_report"]
    if not isinstance(report, dict) or report.keys() != _REPORT:
        raise Problem("side_effects_report does not have its members")
    lists = [document["marks"], document["step_events"], document["signatures"]]
    lists += [report["side_effects_observed"], report["side_effects_declared"], report["unknown_effects_why"]]
    if not all(isinstance(item, list) for item in lists):
        raise Problem("one of its lists is none")
    for signature in document["signatures"]:
        try:
            whole = (
                signature.keys() == {"keyid", "sig"}
                and signature["keyid"]
                and b64decode(signature["sig"], validate=True)
            )
        except (AttributeError, TypeError, ValueError):
            whole = False
        if not whole:
            raise Problem("a signature is malformed")


def _repeated(document: dict[str, Any], chain: Chain) -> None:
    """Compare what the record says with what its entries say."""
    assert chain.seal is not None  # noqa: S101 - looked at before
    start, end, report = chain.start["details"], chain.seal["details"], document["side_effects_report"]
    said = {
        "execution_id": (document["execution_id"], chain.start["execution_id"]),
        "plan_id": (document["plan_id"], start.get("plan_id")),
        "timestamp_start": (document["timestamp_start"], chain.start["timestamp"]),
        "security_snapshot_pre": (document["security_snapshot_pre"], start.get("security_snapshot")),
        "status": (document["status"], end.get("status")),
        "completion_reason": (document["completion_reason"], end.get("reason")),
        "timestamp_end": (document["timestamp_end"], chain.seal["timestamp"]),
        "security_snapshot_post": (document["security_snapshot_post"], end.get("security_snapshot")),
        "unknown_effects": (report["unknown_effects"], end.get("unknown_effects")),
        "unknown_effects_why": (report["unknown_effects_why"], end.get("unknown_effects_why")),
        "side_effects_declared": (report["side_effects_declared"], chain.declared),
    }
    if start.get("live_mode") is not None:
        said["live_mode_state"] = (document["live_mode_state"], start["live_mode"])
    for name, (stated, recorded) in said.items():
        if canonical(stated) != canonical(recorded):
            raise Problem(f"{name} is not what its entries say")
    number = start.get("number_of_steps")
    if number is not None and (type(number) is not int or number < 0):
        raise Problem("the plan's number of steps is none", 0)
    if not all(isinstance(document[name], str) for name in ("execution_id", "plan_id", "live_mode_state")):
        raise Problem("an id or the live mode is no text")
    if not isinstance(document["completion_reason"], str) or not re.fullmatch("[A-Z_]*", document["live_mode_state"]):
        raise Problem("the reason or the live mode is none")
