"""The verifier on chains made by hand: every rule of the chain has a case that keeps it and one that breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.record import ExecutionRecord, ExecutionStatus, SealCause, verify_document
from tests.unit.recorder._support import (
    Json,
    chained,
    document_of,
    entries_of,
    full_record,
    lists_of,
    observed,
    rehashed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOTES_OF_A_GOOD_ONE: tuple[str, ...] = ()


def relinked(document: Json, entries: list[Json]) -> Json:
    """Put entries, linked and hashed anew, into the lists they belong to, and fit the execution hash."""
    entries = chained(entries)
    lists = lists_of(document)
    for listed in lists.values():
        listed.clear()
    for entry in entries:
        kind = entry["event_type"]
        name = "side_effects_observed" if kind == "side_effect" else "marks" if "execution" in kind else "step_events"
        lists[name].append(entry)
    return rehashed(document)


def forged(change: Callable[[list[Json]], Any]) -> Json:
    """A record whose entries were changed and then hashed anew, as one who holds the whole file could."""
    document = document_of(full_record().with_disclosures(()))
    entries = entries_of(document)
    change(entries)
    return relinked(document, entries)


def test_forging_without_a_change_gives_a_good_record() -> None:
    """Or else the tests below would find the forger's mistakes, not the record's."""
    assert verify_document(forged(lambda _: None))


@pytest.mark.parametrize(
    "key, value, why",
    [
        ("number_of_entries", 3, "counts 3"),
        ("number_of_entries", None, "number_of_entries"),
        ("number_of_entries", 14.5, "number_of_entries"),
        ("number_of_entries", True, "number_of_entries"),
        ("cause", "completed", "cause"),
        ("cause", "escalation", "cause"),
        ("cause", "other", "cause"),
        ("cause", None, "cause"),
        ("status", "completed", "status"),
        ("status", "started", "status"),
        ("status", "done", "status"),
        ("reason", "other", "completion_reason"),
        ("unknown_effects", False, "unknown_effects"),
        ("unknown_effects_why", [], "unknown_effects_why"),
        ("security_snapshot", None, "security_snapshot"),
    ],
)
def test_a_forged_seal_is_found_by_what_stands_before_it_or_beside_it(key: str, value: Any, why: str) -> None:
    def change(entries: list[Json]) -> None:
        entries[-1]["details"][key] = value

    document = forged(change)
    last = len(entries_of(document)) - 1
    verdict = verify_document(document)
    assert not verdict
    assert verdict.first_bad == last
    assert why in verdict.why


@pytest.mark.parametrize(
    "key", ["status", "cause", "reason", "number_of_entries", "unknown_effects", "security_snapshot"]
)
def test_a_seal_that_lacks_a_statement_is_not_ok(key: str) -> None:
    assert not verify_document(forged(lambda entries: entries[-1]["details"].pop(key)))


@pytest.mark.parametrize("key", ["plan_id", "security_snapshot"])
def test_a_start_that_lacks_a_statement_is_not_ok(key: str) -> None:
    verdict = verify_document(forged(lambda entries: entries[0]["details"].pop(key)))
    assert not verdict
    assert verdict.first_bad == 0


def completed(change: Callable[[list[Json]], Any]) -> Json:
    """A record that claims COMPLETED, its steps changed and hashed anew."""
    observer = observed()
    for index in range(3):
        observer.record_step_started(index, f"step {index}")
        observer.record_step_completed(index, f"step {index}")
    observer.mark_completed()
    document = document_of(observer.get_execution_record())
    entries = entries_of(document)
    change(entries)
    for sequence, entry in enumerate(entries):
        entry["sequence"] = sequence
    entries[-1]["details"]["number_of_entries"] = len(entries)
    return relinked(document, entries)


def without_step(entries: list[Json]) -> None:
    del entries[5:7]


def fail_a_step(entries: list[Json]) -> None:
    entries[4]["event_type"] = "step_failed"


def leave_a_step_open(entries: list[Json]) -> None:
    del entries[4]


@pytest.mark.parametrize("change", [without_step, fail_a_step, leave_a_step_open])
def test_completed_is_not_believed_when_the_steps_say_otherwise(change: Callable[[list[Json]], Any]) -> None:
    """The plan's number of steps in entry 0 shows a step that was cut out, whole and hashed anew."""
    assert verify_document(completed(lambda _: None))
    verdict = verify_document(completed(change))
    assert not verdict
    assert verdict.first_bad == len(entries_of(completed(change))) - 1
    assert ExecutionStatus.COMPLETED_PARTIAL in verdict.why or "declare" in verdict.why


@pytest.mark.parametrize(
    "change, first_bad",
    [
        (lambda entries: entries[3].update(execution_id="run-2"), 3),
        (lambda entries: entries[0].update(execution_id="run-2"), 0),
        (lambda entries: entries.insert(2, {**entries[0], "sequence": 2}), 2),
        (lambda entries: entries.insert(2, {**entries[-1], "sequence": 2}), 2),
        (lambda entries: entries.append({**entries[1], "sequence": len(entries)}), -1),
        (lambda entries: entries[1].update(step_index=None), 1),
    ],
    ids=["another execution", "another start", "two starts", "two seals", "behind the seal", "no index"],
)
def test_a_forged_chain_is_found(change: Callable[[list[Json]], Any], first_bad: int) -> None:
    def renumbered(entries: list[Json]) -> None:
        change(entries)
        for sequence, entry in enumerate(entries):
            entry["sequence"] = sequence

    document = forged(renumbered)
    verdict = verify_document(document)
    assert not verdict
    count = len(entries_of(document))
    expected = {-1: {count - 1}, 2: {2, 3}}.get(
        first_bad, {first_bad, first_bad + 1} if first_bad == 0 else {first_bad}
    )
    assert verdict.first_bad in expected


def test_no_entries_at_all() -> None:
    document = document_of(full_record())
    for entries in lists_of(document).values():
        entries.clear()
    verdict = verify_document(rehashed(document))
    assert (verdict.ok, verdict.first_bad) == (False, 0)


def test_the_verdict_of_an_unsealed_record() -> None:
    record = observed().get_execution_record()
    assert record.verify().why == "unsealed"
    document = document_of(record)
    for key, value in (
        ("status", "completed"),
        ("completion_reason", "done"),
        ("timestamp_end", record.to_dict()["timestamp_start"]),
    ):
        changed = rehashed({**document, key: value})
        verdict = verify_document(changed)
        assert (verdict.ok, verdict.first_bad) == (False, 1), "the seal is missing: entry 1"


def test_an_unanchored_live_mode_is_noted() -> None:
    record = full_record(live_mode=None)
    assert "live mode not anchored" in record.verify().notes
    assert full_record().verify().notes == NOTES_OF_A_GOOD_ONE


def test_an_unanchored_live_mode_is_held_by_the_execution_hash_alone() -> None:
    document = document_of(full_record(live_mode=None))
    assert verify_document(document)
    document["live_mode_state"] = "LIVE"
    verdict = verify_document(document)
    assert (verdict.ok, verdict.first_bad) == (False, None)
    assert "execution_hash" in verdict.why


def test_verifying_reads_only() -> None:
    document = document_of(full_record())
    before = repr(document)
    assert verify_document(document)
    assert repr(document) == before
    assert ExecutionRecord.from_dict(document).verify()
    assert repr(document) == before


@pytest.mark.parametrize("cause", list(SealCause))
def test_each_cause_has_its_status(cause: SealCause) -> None:
    def change(entries: list[Json]) -> None:
        entries[-1]["details"].update(cause=cause.value, status="incomplete")

    document = forged(change)
    document["status"] = "incomplete"
    verdict = verify_document(rehashed(document))
    assert bool(verdict) == (cause not in {SealCause.COMPLETED, SealCause.FAILED})
