"""A record that was changed after the fact: every change is found, and the first bad entry is named.

Each change is tried as it is, and again with the record's own `execution_hash` made to fit it.
"""

from __future__ import annotations

import copy
import itertools
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from hearth.errors import RecordError
from hearth.record import ExecutionRecord, canonical_bytes, entry_hash, record_hash, strict_loads, verify_document
from tests.unit.recorder._support import Json, document_of, entries_of, full_record, lists_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORD = full_record().with_disclosures(())
DOCUMENT = document_of(RECORD)
ENTRIES = entries_of(DOCUMENT)
COUNT = len(ENTRIES)
LISTS = tuple(lists_of(DOCUMENT))
Path = tuple[str | int, ...]
NOWHERE = None

# Which entry states what a field of the record repeats.
OF_START = {"execution_id", "plan_id", "live_mode_state", "timestamp_start", "security_snapshot_pre"}
OF_SEAL = {
    "status",
    "completion_reason",
    "timestamp_end",
    "security_snapshot_post",
    "unknown_effects",
    "unknown_effects_why",
}
OWNERS: list[int] = [entry["sequence"] for entry in ENTRIES for _ in entry.get("declared_effects", ())]


def fresh() -> Json:
    return copy.deepcopy(DOCUMENT)


def finding(document: Json) -> tuple[bool, int | None, bool]:
    """(found, first bad entry, whether its form was refused); both ways of reading must agree."""
    try:
        verdict = verify_document(document)
    except RecordError as error:
        with pytest.raises(RecordError):
            ExecutionRecord.from_dict(document).verify()
        return True, error.first_bad, True
    assert ExecutionRecord.from_dict(document).verify() == verdict
    return not verdict.ok, verdict.first_bad, False


def check(document: Json, expected: int | None, what: str, failures: list[str], *, named: bool = True) -> None:
    """Note a failure unless the change is found, with the first bad entry `expected`, also under a fitting hash.

    Without `named` a record that is refused for its form may name the place alone: it lies in no entry.
    """
    try:
        fitting = record_hash(document)
    except RecordError:
        fitting = document.get("execution_hash", "")
    for case, stated in (("as it is", document.get("execution_hash")), ("rehashed", fitting)):
        tried = {**document, "execution_hash": stated} if "execution_hash" in document else document
        found, first_bad, refused = finding(tried)
        if not found:
            failures.append(f"{what}, {case}: NOT FOUND")
        elif first_bad != expected and (named or not refused or first_bad is not None):
            failures.append(f"{what}, {case}: names {first_bad}, not {expected}")


def entry_at(path: Path) -> int | None:
    """The sequence of the entry that a path leads into, or None."""
    at: Any = DOCUMENT
    for part in path:
        at = at[part]
        if isinstance(at, dict) and "previous_event_hash" in at:
            return int(at["sequence"])
    return None


def expected_at(path: Path, other: Any = None) -> int | None:
    """The first bad entry when what stands at `path` is changed (to `other`)."""
    inside = entry_at(path)
    if inside is not None:
        # An earlier entry's number: that one stands twice. Else the entry is missing at its place.
        twice = path[-1] == "sequence" and type(other) is int and 0 <= other < inside
        return other if twice else inside
    if path and isinstance(other, list) and len(other) <= 1:
        if path[-1] in LISTS:
            return int(at(DOCUMENT, path)[0]["sequence"])
        if path[-1] == "side_effects_declared":
            return OWNERS[0]
    for part in path:
        if part in OF_START:
            return 0
        if part in OF_SEAL:
            return COUNT - 1
    if "side_effects_declared" in path and len(path) > 2:
        return OWNERS[int(path[2])]
    return NOWHERE


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value at every depth, containers included."""
    yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield from walk(item, (*path, key))


def set_at(document: Json, path: Path, value: Any) -> Json:
    target: Any = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return document


def at(document: Json, path: Path) -> Any:
    for part in path:
        document = document[part]  # type: ignore[index]
    return document


def others(value: Any) -> list[Any]:
    """Values that differ from this one: of the same type and near, of the same type and far, of every other type."""
    near: list[Any]
    if isinstance(value, bool):
        near = [not value]
    elif isinstance(value, int):
        near = [value + 1, value - 1, -value - 7, 2**60]
    elif isinstance(value, float):
        near = [value + 1e-9, -value]
    elif isinstance(value, str):
        near = [value + "x", value[:-1], value.swapcase(), value[::-1], " " + value, ""]
        if len(value) == 64:
            near += [
                "0" * 64,
                ("1" if value[0] == "0" else "0") + value[1:],
                value[:-1] + ("1" if value[-1] == "0" else "0"),
            ]
        if value.endswith("Z") and "T" in value:
            near += [value[:-2] + ("1Z" if value[-2] == "0" else "0Z"), "1970-01-01T00:00:00.000000Z"]
        near += [other for group in WORDS for other in group if value in group]
    else:
        near = []
    plain = canonical_bytes(value) if not isinstance(value, float) else repr(value).encode()
    far = [None, True, False, 0, 1, 0.5, "", "x", [], {}, [value], {"value": value}]
    return [other for other in near + far if _bytes(other) != plain]


def _bytes(value: Any) -> bytes:
    try:
        return canonical_bytes(value)
    except RecordError:
        return b"none"


WORDS = (
    ("started", "completed", "completed_partial", "failed", "incomplete"),
    ("execution_started", "step_started", "step_completed", "step_failed", "side_effect", "execution_sealed"),
    ("file_system", "network", "data_mutation", "configuration", "system", "other"),
    ("reported", "observed"),
    ("completed", "failed", "escalation", "interrupted", "recovered", "recorder_failure"),
    ("DRY_RUN", "STAGING", "LIVE"),
)


def test_the_record_itself_is_found_good() -> None:
    """With every kind of entry, and values at every depth; or else nothing below would mean anything."""
    assert finding(fresh()) == (False, None, False)
    assert len({entry["event_type"] for entry in ENTRIES}) == 6
    assert max(len(path) for path, _ in walk(DOCUMENT)) >= 6
    assert sum(1 for _ in walk(DOCUMENT)) > 300


@pytest.mark.parametrize("part", sorted(DOCUMENT))
def test_every_value_at_every_depth(part: str) -> None:
    failures: list[str] = []
    tried = 0
    for path, value in walk(DOCUMENT[part], (part,)):
        if path == ("execution_hash",) or "signatures" in path:
            continue
        for other in others(value):
            document = set_at(fresh(), path, other)
            check(
                document,
                expected_at(path, other),
                f"{path} = {other!r}"[:120],
                failures,
                named=entry_at(path) is not None,
            )
            tried += 1
    assert not failures, failures[:20]
    assert tried or part in {"execution_hash", "signatures"}


@pytest.mark.parametrize(
    "value",
    ["0" * 64, "f" * 64, "", None, 0, DOCUMENT["execution_hash"].upper(), DOCUMENT["execution_hash"][:-1]],
    ids=["zeros", "effs", "empty", "null", "a number", "upper case", "too short"],
)
def test_another_execution_hash(value: Any) -> None:
    found, first_bad, _ = finding({**fresh(), "execution_hash": value})
    assert found
    assert first_bad is NOWHERE


def test_every_key_removed() -> None:
    failures: list[str] = []
    for path, value in list(walk(DOCUMENT)):
        if isinstance(value, dict):
            for key in value:
                document = fresh()
                del at(document, path)[key]
                check(
                    document,
                    expected_at((*path, key)),
                    f"without {(*path, key)}",
                    failures,
                    named=entry_at(path) is not None,
                )
    assert not failures, failures[:20]


def test_every_key_renamed() -> None:
    failures: list[str] = []
    for path, value in list(walk(DOCUMENT)):
        if isinstance(value, dict):
            for key in value:
                document = fresh()
                mapping = at(document, path)
                mapping[key + "_"] = mapping.pop(key)
                check(
                    document,
                    expected_at((*path, key)),
                    f"renamed {(*path, key)}",
                    failures,
                    named=entry_at(path) is not None,
                )
    assert not failures, failures[:20]


@pytest.mark.parametrize(
    "key", ["extra", "event_hash", "signature", "$sha256", "declared_effects", "elapsed_us", "origin"]
)
def test_a_key_added_to_every_object(key: str) -> None:
    failures: list[str] = []
    for path, value in list(walk(DOCUMENT)):
        if isinstance(value, dict) and key not in value:
            items: tuple[Any, ...] = (None, "x", [])
            for item in items:
                document = fresh()
                at(document, path)[key] = item
                check(document, expected_at(path), f"{key} in {path}", failures, named=entry_at(path) is not None)
    assert not failures, failures[:20]


def test_every_list_within_entries_and_fields() -> None:
    """Items dropped, doubled, exchanged, appended; the lists of entries have tests of their own."""
    failures: list[str] = []
    for path, value in list(walk(DOCUMENT)):
        if not isinstance(value, list) or path[-1] in {*LISTS, "signatures"}:
            continue
        changes: list[tuple[str, Any]] = [("appended", [*value, "x"]), ("appended an object", [*value, {}])]
        for position in range(len(value)):
            changes.append((f"dropped {position}", value[:position] + value[position + 1 :]))
            changes.append((f"doubled {position}", value[: position + 1] + value[position:]))
        if len(value) > 1:
            changes.append(("reversed", value[::-1]))
        for what, changed in changes:
            if canonical_bytes(changed) == canonical_bytes(value):
                continue
            expected = expected_at(path)
            if path[-1] == "side_effects_declared":
                expected = owner_of_first_difference(changed)
            check(
                set_at(fresh(), path, copy.deepcopy(changed)),
                expected,
                f"{path} {what}",
                failures,
                named=entry_at(path) is not None,
            )
    assert not failures, failures[:20]


def owner_of_first_difference(changed: list[Any]) -> int:
    """The entry that declares the first effect that differs; the last entry where all stand and more follow."""
    stated = DOCUMENT["side_effects_report"]["side_effects_declared"]
    for position, (one, other) in enumerate(itertools.zip_longest(stated, changed)):
        if one != other:
            return OWNERS[position] if position < len(OWNERS) else COUNT - 1
    raise AssertionError


# --- entries ----------------------------------------------------------------------------------------------------------


def edited(change: Callable[[dict[str, list[Json]]], Any]) -> Json:
    document = fresh()
    change(lists_of(document))
    return document


def place_of(sequence: int) -> tuple[str, int]:
    """The list that holds an entry, and where."""
    for name, entries in lists_of(DOCUMENT).items():
        for position, entry in enumerate(entries):
            if entry["sequence"] == sequence:
                return name, position
    raise AssertionError


@pytest.mark.parametrize("sequence", range(COUNT))
def test_an_entry_deleted(sequence: int) -> None:
    failures: list[str] = []
    name, position = place_of(sequence)
    check(edited(lambda lists: lists[name].pop(position)), sequence, f"deleted {sequence}", failures)
    assert not failures, failures


@pytest.mark.parametrize("sequence", range(COUNT))
def test_an_entry_deleted_and_the_rest_renumbered(sequence: int) -> None:
    """What followed does not hold under its new number; behind the last one there is nothing: the seal is missing."""
    failures: list[str] = []
    name, position = place_of(sequence)
    document = edited(lambda lists: lists[name].pop(position))
    for entry in entries_of(document):
        entry["sequence"] -= entry["sequence"] > sequence
    check(document, sequence, f"deleted {sequence}, renumbered", failures)
    assert not failures, failures


@pytest.mark.parametrize("sequence", range(COUNT))
@pytest.mark.parametrize("where", ["beside it", "at the end", "at the beginning"])
def test_an_entry_doubled(sequence: int, where: str) -> None:
    failures: list[str] = []
    name, position = place_of(sequence)
    twin = copy.deepcopy(ENTRIES[sequence])
    length = len(lists_of(DOCUMENT)[name])
    at_position = {"beside it": position, "at the end": length, "at the beginning": 0}[where]
    check(edited(lambda lists: lists[name].insert(at_position, twin)), sequence, f"doubled {sequence}", failures)
    assert not failures, failures


@pytest.mark.parametrize("sequence", range(1, COUNT))
def test_an_entry_inserted(sequence: int) -> None:
    """Made up, well linked to the one before it and well hashed; those behind renumbered, or not."""
    failures: list[str] = []
    previous = ENTRIES[sequence - 1]
    made = {
        **copy.deepcopy(ENTRIES[2]),
        "sequence": sequence,
        "previous_event_hash": previous["event_hash"],
        "step_name": "made up",
    }
    assert made["event_type"] == "step_completed"
    made["event_hash"] = entry_hash(made)
    for renumber in (False, True):
        document = fresh()
        for entry in entries_of(document):
            entry["sequence"] += renumber and entry["sequence"] >= sequence
        steps = document["step_events"]
        steps.append(copy.deepcopy(made))
        steps.sort(key=lambda entry: entry["sequence"])
        # Not renumbered, two entries claim one number; renumbered, the next one does not hold any more.
        check(document, sequence + renumber, f"inserted {sequence}, renumbered {renumber}", failures)
    assert not failures, failures


def test_two_entries_of_a_list_exchanged() -> None:
    """They stand in the wrong order; their contents are true."""
    failures: list[str] = []
    for name in LISTS:
        for one, other in itertools.combinations(range(len(lists_of(DOCUMENT)[name])), 2):
            document = fresh()
            entries = lists_of(document)[name]
            entries[one], entries[other] = entries[other], entries[one]
            first = min(entries[one]["sequence"], entries[other]["sequence"])
            check(document, first, f"{name}: {one} and {other} exchanged", failures)
    assert not failures, failures[:20]


def test_two_entries_exchanged_with_their_numbers() -> None:
    """Each takes the other's place and number; what they say stands at another point of the story."""
    failures: list[str] = []
    for name in LISTS:
        for one, other in itertools.combinations(range(len(lists_of(DOCUMENT)[name])), 2):
            document = fresh()
            entries = lists_of(document)[name]
            entries[one], entries[other] = entries[other], entries[one]
            first, second = entries[one], entries[other]
            first["sequence"], second["sequence"] = second["sequence"], first["sequence"]
            check(document, min(first["sequence"], second["sequence"]), f"{name}: {one}, {other}", failures)
    assert not failures, failures[:20]


def test_two_events_hashes_exchanged() -> None:
    failures: list[str] = []
    for one, other in itertools.combinations(range(COUNT), 2):
        document = fresh()
        entries = entries_of(document)
        entries[one]["event_hash"], entries[other]["event_hash"] = (
            entries[other]["event_hash"],
            entries[one]["event_hash"],
        )
        check(document, one, f"hashes of {one} and {other}", failures)
    assert not failures, failures[:20]


@pytest.mark.parametrize("sequence", range(COUNT))
def test_an_entry_changed_and_hashed_anew(sequence: int) -> None:
    """It now holds by itself: the next one does not follow it any more, or the record's fields tell."""
    failures: list[str] = []
    document = fresh()
    entry = entries_of(document)[sequence]
    entry["details"]["added"] = "later"
    entry["event_hash"] = entry_hash(entry)
    if sequence < COUNT - 1:
        check(document, sequence + 1, f"changed {sequence}", failures)
        assert not failures, failures
    else:
        # A seal with one more word and everything recomputed is another record, with another execution hash, which a
        # log or a copy kept elsewhere tells apart; the hash that the record states tells too.
        assert finding(document)[0]


@pytest.mark.parametrize("names", [names for size in (1, 2, 3) for names in itertools.combinations(LISTS, size)])
def test_whole_lists_dropped(names: tuple[str, ...]) -> None:
    failures: list[str] = []
    first = min(entry["sequence"] for name in names for entry in lists_of(DOCUMENT)[name])
    document = fresh()
    for name in names:
        lists_of(document)[name].clear()
    check(document, first, f"dropped {names}", failures)
    assert not failures, failures


def test_the_report_or_a_list_replaced_by_nothing() -> None:
    for key in ("step_events", "marks", "side_effects_report"):
        for nothing in cast("tuple[Any, ...]", (None, {}, "")):
            assert finding({**fresh(), key: nothing})[2]


# --- the tail ---------------------------------------------------------------------------------------------------------


def cut(kept: int) -> Json:
    """The record with its first `kept` entries alone."""
    document = fresh()
    for entries in lists_of(document).values():
        entries[:] = [entry for entry in entries if entry["sequence"] < kept]
    return document


@pytest.mark.parametrize("kept", range(COUNT))
def test_the_tail_cut_anywhere(kept: int) -> None:
    failures: list[str] = []
    check(cut(kept), kept, f"{kept} entries kept", failures)
    assert not failures, failures


@pytest.mark.parametrize("kept", range(COUNT))
def test_the_tail_cut_and_the_fields_made_to_fit(kept: int) -> None:
    """The best that one can do without the seal is an unsealed record, and that is not ok."""
    document = cut(kept)
    document.update(status="started", timestamp_end=None, security_snapshot_post=None, completion_reason="")
    report = document["side_effects_report"]
    report.update(unknown_effects=False, unknown_effects_why=[])
    report["side_effects_declared"] = report["side_effects_declared"][: sum(owner < kept for owner in OWNERS)]
    document["execution_hash"] = record_hash(document)
    found, first_bad, _ = finding(document)
    assert found
    assert first_bad == (0 if kept == 0 else None)
    assert verify_document(document).why == "unsealed" or kept == 0


@pytest.mark.parametrize("kept", range(COUNT - 1))
def test_the_tail_cut_but_for_the_seal(kept: int) -> None:
    """The middle is missing; renumbered and hashed anew, the seal still counts more entries than there are."""
    failures: list[str] = []
    document = cut(kept)
    seal = copy.deepcopy(ENTRIES[-1])
    document["marks"].append(seal)
    check(document, kept, "seal as it was", failures)
    seal["sequence"] = kept
    check(document, kept, "seal renumbered", failures)
    if kept:
        seal["previous_event_hash"] = ENTRIES[kept - 1]["event_hash"]
        seal["event_hash"] = entry_hash(seal)
        check(document, kept, "seal hashed anew", failures)
    assert not failures, failures


def test_the_file_cut_at_every_byte() -> None:
    text = json.dumps(DOCUMENT, indent=1).encode()
    for length in range(len(text)):
        with pytest.raises(RecordError):
            strict_loads(text[:length])


@pytest.mark.parametrize("mask", [0x01, 0x20])
def test_every_byte_of_the_file_flipped(mask: int) -> None:
    """Whatever still reads as another document than the true one is found."""
    raw = bytearray(canonical_bytes(DOCUMENT))
    true = bytes(raw)
    for position in range(len(raw)):
        raw[position] ^= mask
        try:
            document = strict_loads(bytes(raw))
            if canonical_bytes(document) != true:
                assert not verify_document(document), f"byte {position}: {bytes(raw[position - 20 : position + 20])!r}"
        except RecordError:
            pass
        finally:
            raw[position] ^= mask
