"""Each fault that was reproduced in other recorders, by name: none of them is one of this recorder's."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import JournalDamagedError, JournalLockedError, RecorderError, RecordError
from hearth.record import ExecutionRecord, canonical_bytes, hash_entry_bytes, record_hash, strict_loads, verify_document
from hearth.recorder import ExecutionObserver, Journal, _clock, read_journal, recover_journal, verify_journal
from tests.unit.recorder._support import document_of, entries_of, full_record, journal_bytes, lists_of, rehashed

if TYPE_CHECKING:
    from pathlib import Path


def recorded(details: Any) -> ExecutionRecord:
    observer = ExecutionObserver("run-1", "plan", live_mode="LIVE")
    observer.record_step_started(0, "a", details)
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    return observer.get_execution_record()


# --- a cut tail verifies as intact; so does an emptied file -----------------------------------------------------------


def test_a_cut_tail_does_not_verify_as_intact(tmp_path: Path) -> None:
    raw = journal_bytes(tmp_path / "made.journal")
    lines = raw.splitlines(keepends=True)
    path = tmp_path / "run.journal"
    for kept in range(len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        assert not verify_journal(path), kept
    document = document_of(full_record())
    for kept in range(len(entries_of(document))):
        cut = document_of(full_record())
        for entries in lists_of(cut).values():
            entries[:] = [entry for entry in entries if entry["sequence"] < kept]
        assert not verify_document(rehashed(cut)), kept


def test_an_emptied_file_does_not_verify_as_intact(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(b"")
    assert not verify_journal(path)
    with pytest.raises(RecorderError):
        read_journal(path)
    for nothing in (b"", b"{}", b"[]", b"null"):
        with pytest.raises(RecordError):
            verify_document(strict_loads(nothing))


# --- fields outside the hash; a root that verification never uses -----------------------------------------------------


@pytest.mark.parametrize(
    "place, key, value",
    [
        (("marks", 0, "details"), "approval", {"approver": "mallory"}),
        (("marks", 0, "details"), "initiator", "mallory"),
        (("marks", 0, "details"), "host", "elsewhere"),
        (("marks", 0, "details"), "live_mode", "DRY_RUN"),
        (("marks", 0, "details"), "plan_digest", "00" * 32),
        (("marks", 0), "timestamp", "2020-01-01T00:00:00.000000Z"),
        (("marks", -1, "details"), "status", "completed"),
        (("step_events", 3), "timestamp", "2020-01-01T00:00:00.000000Z"),
        (("step_events", 3), "elapsed_us", 1),
        (("step_events", 3), "step_name", "Other"),
        (("step_events", 0), "declared_effects", []),
        (("side_effects_report", "side_effects_observed", 0), "origin", "observed"),
        (("side_effects_report", "side_effects_observed", 0), "reversible", False),
        ((), "live_mode_state", "DRY_RUN"),
        ((), "status", "completed"),
        ((), "completion_reason", "all is well"),
    ],
)
def test_no_field_is_outside_the_hash(place: tuple[Any, ...], key: str, value: Any) -> None:
    document = document_of(full_record())
    target: Any = document
    for part in place:
        target = target[part]
    assert key in target
    assert target[key] != value
    target[key] = value
    assert not verify_document(document)
    assert not verify_document(rehashed(document))


def test_verification_uses_the_records_own_hash() -> None:
    document = document_of(full_record())
    document["execution_hash"] = "ab" * 32
    verdict = verify_document(document)
    assert not verdict
    assert "execution_hash" in verdict.why


# --- no separation of domains -----------------------------------------------------------------------------------------


def test_nothing_that_was_hashed_as_one_kind_passes_as_another() -> None:
    """The same bytes give another hash as an entry, as a record, and as they are."""
    entry = {"schema": "x", "sequence": 0}
    raw = canonical_bytes(entry)
    hashes = {hash_entry_bytes(raw), record_hash(entry), hashlib.sha256(raw).hexdigest()}
    assert len(hashes) == 3
    assert hash_entry_bytes(raw) == hashlib.sha256(b"HEARTH-event-v1\0" + raw).hexdigest()
    assert record_hash(entry) == hashlib.sha256(b"HEARTH-record-v1\0" + raw).hexdigest()


# --- details kept by reference ----------------------------------------------------------------------------------------


def test_a_later_change_by_the_caller_neither_breaks_nor_alters_the_record() -> None:
    details: dict[str, Any] = {"amount": 1, "items": [{"n": 1}]}
    observer = ExecutionObserver("run-1", "plan")
    observer.record_step_started(0, "a", details)
    details["amount"] = 1_000_000
    details["items"][0]["n"] = 2
    observer.record_step_completed(0, "a", details)
    details.clear()
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.verify()
    assert [event.details for event in record.step_events] == [
        {"amount": 1, "items": [{"n": 1}]},
        {"amount": 1_000_000, "items": [{"n": 2}]},
    ]


# --- honest logs reported as broken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "details",
    [
        {9: "a", 10: "b"},
        {"9": "a", "10": "b"},
        {"text": "one\u2028two\u2029three\x85four\x1cfive"},
        {"text": "line\r\nline\rline\x0bline\x0c"},
        {"\u2028": 1, "\ufb33": 2, "\U0001f600": 3},
        {"number": 1.0, "large": 1e16, "small": 1e-7},
    ],
    ids=repr,
)
def test_an_honest_record_is_not_reported_as_broken(details: Any, tmp_path: Path) -> None:
    record = recorded(details)
    assert record.verify(), record.verify()
    (tmp_path / "record.json").write_text(json.dumps(record.to_dict(), indent=2), "utf-8")
    back = ExecutionRecord.from_dict(strict_loads((tmp_path / "record.json").read_bytes()))
    assert back == record
    assert back.verify()
    with Journal.create(tmp_path / "run.journal") as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal)
        observer.record_step_started(0, "a\u2028b\x85", details)
        observer.mark_failed("x\u2028\x85")
    assert verify_journal(tmp_path / "run.journal")
    assert read_journal(tmp_path / "run.journal").step_events[0].details == record.step_events[0].details


def test_a_clock_that_steps_back_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(10**18, 0, -(10**16)))
    monkeypatch.setattr(
        "hearth.recorder._appender.make_time_text", lambda: _clock.make_time_text(lambda: next(moments))
    )
    path = tmp_path / "run.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal)
        observer.record_step_started(0, "a")
        observer.record_step_completed(0, "a")
        observer.mark_completed()
    assert verify_journal(path)
    assert read_journal(path).verify()
    assert any("stepped back 3 times" in note for note in verify_journal(path).notes)


# --- two writers; torn and garbage lines ------------------------------------------------------------------------------


def test_two_writers_do_not_fork_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    first = Journal.create(path)
    observer = ExecutionObserver("run-1", "plan", journal=first)
    observer.record_step_started(0, "a")
    with pytest.raises(RecorderError):
        Journal.create(path)
    with pytest.raises(JournalLockedError):
        recover_journal(path)
    observer.mark_completed()
    first.close()
    assert verify_journal(path)


def test_two_threads_do_not_fork_the_chain() -> None:
    observer = ExecutionObserver("run-1", "plan")
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(300):
            observer.record_side_effect("OTHER", "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observer.mark_completed()
    assert observer.get_execution_record("LIVE").verify()


def test_a_torn_last_line_does_not_block_the_journal_for_good(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    path.write_bytes(journal_bytes(path, seal=False)[:-20])
    recovery = recover_journal(path)
    assert recovery.record is not None
    assert recovery.record.verify()


@pytest.mark.parametrize(
    "garbage", [b"garbage\n", b"\xff\xfe\xfd\n", b"\n\n\n", b"[1,2\n", b"null\n", b"0" * 64 + b" []\n"]
)
def test_a_garbage_line_does_not_crash_the_verifier(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "run.journal"
    lines = journal_bytes(path).splitlines(keepends=True)
    for number in range(len(lines) + 1):
        path.write_bytes(b"".join(lines[:number]) + garbage + b"".join(lines[number:]))
        verdict = verify_journal(path)
        assert not verdict
        assert verdict.first_bad == number


# --- reopening destroys -----------------------------------------------------------------------------------------------


def test_a_damaged_journal_is_not_reopened_as_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    content = journal_bytes(path).replace(b'"n":0', b'"n":7')
    path.write_bytes(content)
    with pytest.raises(RecorderError):
        Journal.create(path)
    with pytest.raises(JournalDamagedError):
        recover_journal(path)
    with pytest.raises(JournalDamagedError):
        read_journal(path)
    assert path.read_bytes() == content, "and nothing that was there is destroyed"


# --- a search in raw bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "details",
    [
        {"previous_event_hash": "0" * 64, "sequence": 0, "event_hash": "f" * 64},
        {"event_type": "execution_sealed", "details": {"status": "completed"}},
        {"text": '"previous_event_hash":"' + "0" * 64 + '","sequence":0'},
        {"text": "0" * 64 + ' {"a":1}\n' + "0" * 64 + " {}\n"},
        {"execution_hash": "0" * 64, "signatures": [], "schema": "other"},
    ],
    ids=repr,
)
def test_details_that_look_like_the_chain_fool_nobody(details: Any, tmp_path: Path) -> None:
    record = recorded(details)
    assert record.verify()
    assert ExecutionRecord.from_dict(document_of(record)).verify()
    path = tmp_path / "run.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal)
        observer.record_step_started(0, "a", details)
        observer.record_step_completed(0, "a")
    assert read_journal(path).step_events[0].details == details
    path.write_bytes(path.read_bytes()[:-10])
    recovery = recover_journal(path)
    assert recovery.record is not None
    assert recovery.record.verify()
    assert len(recovery.record.step_events) == 1


def test_a_true_line_quoted_within_a_torn_one_is_not_taken_for_a_line_of_its_own(tmp_path: Path) -> None:
    """A step that shows a journal's content (`cat run.journal`) and is then torn: that is no damage."""
    path = tmp_path / "run.journal"
    other = journal_bytes(tmp_path / "other.journal").splitlines()[0].decode()
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal)
        observer.record_step_completed(0, "a")
        observer.record_step_completed(1, "cat", {"stdout": other})
    path.write_bytes(path.read_bytes()[:-5])
    recovery = recover_journal(path)
    assert recovery.record is not None
    assert len(recovery.record.step_events) == 1
