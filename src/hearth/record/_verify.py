"""The verifier: every hash, every link, every count, and every field that repeats what an entry says.

It works on the JSON form alone, shares no state with the recorder, and reports the first entry that fails.
"""

from __future__ import annotations

import hashlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hearth.errors import RecordError
from hearth.record._canonical import canonical_bytes, common_bytes, is_common
from hearth.record._chain import ChainCheck, ChainFault
from hearth.record._entry import EVENT_DOMAIN, record_hash
from hearth.record._erasure import Erasure
from hearth.record._redact import Disclosure
from hearth.record._structure import check_structure
from hearth.record._verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NOT_ANCHORED", "UNSEALED", "ChainCheck", "ChainFault", "declared_by", "verify_chain", "verify_document"]

NOT_ANCHORED = "live mode not anchored"
UNSEALED = "unsealed"


def verify_document(document: Mapping[str, Any], *, check_hash: bool = True) -> Verdict:
    """Check a record in its JSON form; RecordError when it has not the form of a record.

    `check_hash=False` leaves out the comparison with the stated execution hash (for a record that never had one).
    """
    check_structure(document)
    notes: list[str] = []
    try:
        entries = _by_sequence(document)
        chain, common = verify_chain(entries)
        sealed = chain.sealed
        _order(document)
        notes += chain.notes()
        _fields_of_start(document, entries[0], notes)
        _fields_of_seal(document, entries[-1] if sealed else None, len(entries))
        _declared(document, entries)
        _disclosures(document, entries)
        notes += _erasures(document, entries)
        if check_hash:
            _hash_of_all(document, common=common and _rest_is_common(document))
    except ChainFault as bad:
        return Verdict(ok=False, first_bad=bad.first_bad, why=str(bad), notes=tuple(notes))
    notes += [f"signature by {signature['keyid']!r} not checked: key unknown" for signature in document["signatures"]]
    if not sealed:
        return Verdict(ok=False, why=UNSEALED, notes=tuple(notes))
    return Verdict(ok=True, notes=tuple(notes))


def declared_by(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the started steps declare, each with its step's index, in the order of the chain."""
    return [
        {"step_index": entry["step_index"], **effect}
        for entry in entries
        for effect in entry.get("declared_effects", ())
    ]


def _lists(document: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], ...]:
    return document["marks"], document["step_events"], document["side_effects_report"]["side_effects_observed"]


def _by_sequence(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    marks, steps, effects = _lists(document)
    return sorted([*marks, *steps, *effects], key=itemgetter("sequence"))


def _order(document: Mapping[str, Any]) -> None:
    for entries in _lists(document):
        stand = list(map(itemgetter("sequence"), entries))
        belong = sorted(stand)
        if stand != belong:
            stands, belongs = next(pair for pair in zip(stand, belong, strict=True) if pair[0] != pair[1])
            raise ChainFault(belongs, f"entry {belongs} is out of place: entry {stands} stands where it belongs")


def verify_chain(entries: list[Mapping[str, Any]]) -> tuple[ChainCheck, bool]:
    """Check a whole chain, hashes included; ChainFault names the first entry that fails.

    Also returns whether every entry is common, that is, encoded exactly by the fast encoder.
    """
    check = ChainCheck()
    if not entries:
        raise ChainFault(0, "entry 0 is missing: the record holds no entries")
    add = check.add
    all_common = True
    for position, entry in enumerate(entries):
        content = dict(entry)
        stated = content.pop("event_hash")
        # All other values are texts, whole numbers or null: only details and declared effects can be rare.
        common = (not content["details"] or is_common(content["details"])) and (
            "declared_effects" not in content or is_common(content["declared_effects"])
        )
        if not common:
            all_common = False
        if entry["sequence"] == position and _hash_of(content, position, common=common) != stated:
            raise ChainFault(position, f"entry {position} was changed: its content does not give its event_hash")
        add(entry)
    check.finish()
    return check, all_common


def _hash_of(content: Mapping[str, Any], position: int, *, common: bool) -> str:
    try:
        raw = common_bytes(content) if common else canonical_bytes(content)
    except (TypeError, RecordError):  # deeper than orjson goes, or without any canonical form
        try:
            raw = canonical_bytes(content)
        except RecordError as error:
            raise ChainFault(position, f"entry {position} was changed: {error}") from error
    return hashlib.sha256(EVENT_DOMAIN + raw).hexdigest()


def _hash_of_all(document: Mapping[str, Any], *, common: bool) -> None:
    if document["execution_hash"] != record_hash(document, common=common):
        raise ChainFault(None, "execution_hash is not the hash of this record")


def _rest_is_common(document: Mapping[str, Any]) -> bool:
    """Whether what stands outside the entries is common too."""
    rest = {key: value for key, value in document.items() if key not in {"step_events", "marks", "side_effects_report"}}
    report = {key: value for key, value in document["side_effects_report"].items() if key != "side_effects_observed"}
    return is_common(rest) and is_common(report)


def _same(stated: Any, recorded: Any) -> bool:  # noqa: ANN401 - JSON trees
    # Not `==`: in Python 1 equals True and 1.0.
    return canonical_bytes(stated) == canonical_bytes(recorded)


def _fields_of_start(document: Mapping[str, Any], start: Mapping[str, Any], notes: list[str]) -> None:
    details = start["details"]
    pairs = {
        "execution_id": start["execution_id"],
        "plan_id": details.get("plan_id"),
        "timestamp_start": start["timestamp"],
        "security_snapshot_pre": details.get("security_snapshot"),
    }
    if details.get("live_mode") is None:
        notes.append(NOT_ANCHORED)
    else:
        pairs["live_mode_state"] = details["live_mode"]
    _compare(document, pairs, 0)


def _fields_of_seal(document: Mapping[str, Any], seal: Mapping[str, Any] | None, count: int) -> None:
    report = document["side_effects_report"]
    if seal is not None:
        details = seal["details"]
        pairs = {
            "status": details.get("status"),
            "completion_reason": details.get("reason"),
            "timestamp_end": seal["timestamp"],
            "security_snapshot_post": details.get("security_snapshot"),
        }
        _compare(document, pairs, count - 1)
        for key in ("unknown_effects", "unknown_effects_why"):
            if not _same(report[key], details.get(key)):
                raise ChainFault(count - 1, f"side_effects_report.{key} is not what the seal says")
        return
    claims = (document["status"] != "started", document["timestamp_end"], document["security_snapshot_post"])
    if any(claims) or document["completion_reason"]:
        raise ChainFault(count, f"entry {count}, the seal, is missing, but the record says that it ended")


def _compare(document: Mapping[str, Any], pairs: Mapping[str, Any], sequence: int) -> None:
    for key, recorded in pairs.items():
        if not _same(document[key], recorded):
            raise ChainFault(sequence, f"{key} is not what entry {sequence} says")


def _declared(document: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> None:
    stated = document["side_effects_report"]["side_effects_declared"]
    recorded = declared_by(entries)
    if _same(stated, recorded):
        return
    owners = [entry["sequence"] for entry in entries for _ in entry.get("declared_effects", ())]
    position = next(
        (n for n, (said, kept) in enumerate(zip(stated, recorded, strict=False)) if not _same(said, kept)),
        min(len(stated), len(recorded)),
    )
    sequence = owners[position] if position < len(owners) else len(entries) - 1
    raise ChainFault(sequence, f"side_effects_declared[{position}] is not what entry {sequence} declares")


def _disclosures(document: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> None:
    for item in document.get("disclosures", ()):
        disclosure = Disclosure.from_dict(item)
        place = f"the disclosed value at entry {disclosure.sequence}{disclosure.pointer}"
        if not 0 <= disclosure.sequence < len(entries):
            raise ChainFault(None, f"{place} belongs to no entry")
        if not disclosure.opens():
            raise ChainFault(disclosure.sequence, f"{place} does not give its commitment")
        if disclosure.digest not in str(_at(entries[disclosure.sequence], disclosure.pointer)):
            raise ChainFault(disclosure.sequence, f"{place} has no commitment there")


def _erasures(document: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> list[str]:
    """Return what was erased, in words; what is said to be erased had a commitment, and is not disclosed."""
    notes = []
    there = {(one["sequence"], one["pointer"], one["digest"]) for one in document.get("disclosures", ())}
    for item in document.get("erasures", ()):
        erasure = Erasure.from_dict(item)
        said = (erasure.execution_id, erasure.execution_hash)
        if said != (document["execution_id"], document["execution_hash"]):
            raise ChainFault(None, "an erasure is of another record")
        for one in erasure.erased:
            place = f"the erased value at entry {one.sequence}{one.pointer}"
            if not 0 <= one.sequence < len(entries):
                raise ChainFault(None, f"{place} belongs to no entry")
            if not one.digest or one.digest not in str(_at(entries[one.sequence], one.pointer)):
                raise ChainFault(one.sequence, f"{place} has no commitment there")
            if (one.sequence, one.pointer, one.digest) in there:
                raise ChainFault(one.sequence, f"{place} is disclosed all the same")
        places = ", ".join(f"{one.sequence}{one.pointer}" for one in erasure.erased)
        notes.append(f"erased at {erasure.erased_at} by {erasure.by}: {places} ({erasure.reason}); no hash covers that")
    return notes


def _at(entry: Any, pointer: str) -> Any:  # noqa: ANN401 - a JSON tree
    value = entry
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value
