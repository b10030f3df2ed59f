"""The record in a dossier, held against itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence._dossier_keys import require, unchecked
from hearth.evidence._dossier_show import at_pointer
from hearth.record import UNSEALED, Verdict, canonical_bytes, entry_hash, record_hash, verify_document

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_chain", "check_entries", "check_erasures", "check_fields", "check_hash", "entries_of"]

_OF_FIELDS = (" is not what ", "side_effects_")


def entries_of(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries by their sequence, each with its JSON pointer in a dossier."""
    lists = (
        ("/record/marks", record["marks"]),
        ("/record/step_events", record["step_events"]),
        ("/record/side_effects_report/side_effects_observed", record["side_effects_report"]["side_effects_observed"]),
    )
    found = [(f"{place}/{index}", entry) for place, entries in lists for index, entry in enumerate(entries)]
    return sorted(found, key=lambda one: one[1]["sequence"])


def check_entries(record: dict[str, Any]) -> str:
    """Give each entry's hash anew."""
    entries = entries_of(record)
    for _, entry in entries:
        require(entry_hash(entry) == entry["event_hash"], f"entry {entry['sequence']} was changed")
    require(bool(entries), "there are no entries")
    return f"{len(entries)} entries"


def check_chain(record: dict[str, Any]) -> str:
    """Follow the chain from the first entry to the seal."""
    verdict = _verdict(record)
    if not verdict and not _is_of_fields(verdict):
        raise EvidenceError(verdict.why)
    return "; ".join(("whole, from the opening to the seal", *verdict.notes))


def check_fields(record: dict[str, Any]) -> str:
    """Compare what the record repeats with what its entries say."""
    verdict = _verdict(record)
    if _is_of_fields(verdict):
        raise EvidenceError(verdict.why)
    if not verdict:
        unchecked("the chain does not hold, so there is nothing to compare with")
    return "they agree"


def check_hash(record: dict[str, Any]) -> str:
    """Give the execution hash anew; nothing stands in the record that it does not cover."""
    bare = record["signatures"] == [] and not record.keys() & {"disclosures", "erasures"}
    require(bare, "the record brings signatures, disclosures or erasures, which its hash does not cover")
    found = record_hash(record)
    require(found == record["execution_hash"], f"the record has the hash {found}, and not the one that it states")
    return found


def check_erasures(document: dict[str, Any], proved: Callable[[dict[str, Any]], bool]) -> str:
    """See that each erasure is of this record, and that a commitment stays where each value stood.

    `proved` says whether the log has all of them, where there is one.
    """
    record, count = document["record"], 0
    entries = [entry for _, entry in entries_of(record)]
    require(isinstance(document["erasures"], list), "the erasures are no list")
    for erasure in document["erasures"]:
        for name in ("execution_id", "execution_hash"):
            require(erasure[name] == record[name], f"an erasure is of another record: {name} differs")
        for one in erasure["erased"]:
            place = f"{one['sequence']}{one['pointer']}"
            require(0 <= one["sequence"] < len(entries), f"the erased value at entry {place} belongs to no entry")
            stays = canonical_bytes(at_pointer(entries[one["sequence"]], one["pointer"])).decode()
            require(
                bool(one["digest"]) and one["digest"] in stays, f"entry {place} has no commitment of an erased value"
            )
            count += 1
    in_log = proved(document)
    if not count:
        return "this file says of nothing that it was erased"
    if in_log:
        return f"{count} erased; the log has when, why and by whom; every hash holds"
    return f"{count} erased; when, why and by whom only this file's signature vouches for; every hash holds"


def _verdict(record: dict[str, Any]) -> Verdict:
    verdict = verify_document(record, check_hash=False)
    if verdict.why == UNSEALED:
        return Verdict(ok=False, why="the record is not sealed: nobody has said how it ended", notes=verdict.notes)
    return verdict


def _is_of_fields(verdict: Verdict) -> bool:
    return not verdict and any(words in verdict.why for words in _OF_FIELDS)
