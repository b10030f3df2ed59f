"""Verifying files, stored records and their rows."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import LedgerError
from hearth.execution import ContentStore
from hearth.operations import (
    UNSEALED,
    PlanArchive,
    Records,
    export_record,
    recover,
    verify_all,
    verify_file,
    verify_found,
)
from hearth.recorder import ExecutionObserver, Journal
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import RunOutcome


@pytest.fixture
def stored(run: Callable[..., RunOutcome], records: Records) -> Records:
    """A ledger with one record, `one`."""
    run(WRITE, execution_id="one")
    return records


def sql(home: LedgerHome, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


def test_an_exported_record_verifies(stored: Records, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    for indent in (False, True):
        path.write_bytes(export_record(stored, stored.find("one"), indent=indent))
        found = verify_file(path)
        assert found.verdict
        assert (found.kind, found.execution_id) == ("record", "one")
        assert found.execution_hash == stored.ledger.get("one").get_execution_hash()


def test_a_changed_value_is_found_and_its_entry_named(stored: Records, tmp_path: Path) -> None:
    document = json.loads(export_record(stored, stored.find("one")))
    document["step_events"][1]["details"]["path"] = "other.txt"
    path = tmp_path / "one.json"
    path.write_text(json.dumps(document))
    found = verify_file(path)
    assert not found.verdict
    assert found.verdict.first_bad == document["step_events"][1]["sequence"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{}", b"[1]", b"not json", b"\x00\x01", b"\xff" * 100, b'{"a": 1, "a": 2}', b"0" * 200, b"null"],
)
def test_what_is_no_record_is_not_verified_and_says_why(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = verify_file(path)
    assert not found.verdict
    assert found.verdict.why


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        verify_file(tmp_path)
    with pytest.raises(LedgerError, match="No such file"):
        verify_file(tmp_path / "nothing")


def test_journals(tmp_path: Path) -> None:
    path = tmp_path / "some.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("some", "tidy", journal=journal)
        observer.record_step_started(0, "first")
        found = verify_file(path)
        assert (found.kind, found.verdict.ok, found.verdict.why) == ("journal", False, UNSEALED)
        observer.record_step_completed(0, "first")
        observer.mark_completed()
    assert verify_file(path).verdict
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"first"', b'"FIRST"', 1))
    assert not verify_file(path).verdict
    path.write_bytes(whole[:-20])
    found = verify_file(path)
    assert found.verdict.why == UNSEALED
    assert "torn" in found.verdict.notes[0]
    path.write_bytes(whole[:40])
    assert verify_file(path).kind == "journal"
    assert not verify_file(path).verdict


def test_a_stored_record_and_its_row_agree(stored: Records) -> None:
    assert verify_found(stored, stored.find("one")).verdict
    assert [found.subject for found in verify_all(stored)] == ["one"]


@pytest.mark.parametrize(
    "column, value",
    [
        ("status", "failed"),
        ("cause", "escalation"),
        ("plan_id", "other"),
        ("live_mode", "DRY_RUN"),
        ("started", "2020-01-01T00:00:00.000000Z"),
        ("ended", "2020-01-01T00:00:00.000000Z"),
        ("steps_completed", 0),
        ("steps_total", 7),
        ("effects", 0),
        ("entries", 1),
        ("execution_hash", "0" * 64),
        ("status", "nonsense"),
    ],
)
def test_a_row_that_says_something_else_is_found(stored: Records, column: str, value: object) -> None:
    sql(stored.home, f"UPDATE executions SET {column} = ?", value)
    found = verify_found(stored, stored.find("one"))
    assert not found.verdict
    assert "row" in found.verdict.why


def test_a_changed_stored_record_is_found(stored: Records) -> None:
    data = stored.ledger.get_bytes("one").replace(b"made.txt", b"mode.txt", 1)
    sql(stored.home, "UPDATE executions SET record = ?", data)
    verdict = verify_found(stored, stored.find("one")).verdict
    assert not verdict
    assert verdict.first_bad is not None


@pytest.mark.parametrize("record", [b"", b"{", b"{}", "text", None])
def test_a_damaged_stored_record_does_not_stop_the_others(
    stored: Records, run: Callable[..., RunOutcome], record: Any
) -> None:
    run(WRITE, execution_id="two")
    if record is None:
        record = stored.ledger.get_bytes("two")
    sql(stored.home, "UPDATE executions SET record = ? WHERE execution_id = 'one'", record)
    assert [(found.subject, found.verdict.ok) for found in verify_all(stored)] == [("one", False), ("two", True)]


def test_a_disclosed_value_that_does_not_fit_is_found(stored: Records) -> None:
    sql(
        stored.home,
        "INSERT INTO disclosures (execution, sequence, pointer, digest, salt, value)"
        " VALUES (1, 1, '/details/x', 'digest', 'salt', '\"value\"')",
    )
    verdict = verify_found(stored, stored.find("one")).verdict
    assert not verdict
    assert "disclosed value" in verdict.why


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM execution_texts WHERE kind = 'step'",
        "UPDATE execution_texts SET text = 'forged' WHERE kind = 'step'",
        "UPDATE execution_texts SET step_index = 7 WHERE kind = 'step'",
        "INSERT INTO execution_texts (execution, kind, text) VALUES (1, 'error', 'it failed')",
    ],
)
def test_texts_of_the_search_that_say_something_else_are_found(stored: Records, statement: str) -> None:
    sql(stored.home, statement)
    verdict = verify_found(stored, stored.find("one")).verdict
    assert not verdict
    assert "texts for the search" in verdict.why


def test_a_row_of_no_execution_is_found(stored: Records) -> None:
    sql(stored.home, "INSERT INTO execution_texts (execution, kind, text) VALUES (77, 'error', 'it failed')")
    found = list(verify_all(stored))
    assert [(item.subject, item.verdict.ok) for item in found] == [("one", True), (str(stored.home.database), False)]
    assert "execution_texts" in found[1].verdict.why


def test_a_record_of_another_ledger_is_noted(stored: Records) -> None:
    assert verify_found(stored, stored.find("one")).verdict.notes == ()
    sql(stored.home, "UPDATE ledger_meta SET ledger_id = 'another'")
    with Records(stored.home) as records:
        verdict = verify_found(records, records.find("one")).verdict
    assert verdict
    assert "this one is another" in verdict.notes[0]


def kept_file(stored: Records, run: Callable[..., RunOutcome], what: str) -> Path:
    """Run something of which something is kept, as `two`; return the kept file."""
    if what == "plan":
        outcome = run(WRITE, execution_id="two")
        return PlanArchive(stored.home).path(outcome.record.started["plan_copy"])
    step = {"name": "Say", "shell": "echo something to keep"} if what == "output" else {**WRITE, "name": "Again"}
    outcome = run(step, execution_id="two")
    details = outcome.record.step_events[-1].details
    digest = details["stdout"]["sha256"] if what == "output" else details["before"]["sha256"]
    return ContentStore(stored.home.outputs).path(digest)


@pytest.mark.parametrize("what", ["plan", "output", "before"])
def test_what_was_kept_and_changed_is_found(stored: Records, run: Callable[..., RunOutcome], what: str) -> None:
    path = kept_file(stored, run, what)
    assert verify_found(stored, stored.find("two")).verdict
    path.write_bytes(path.read_bytes() + b" ")
    verdict = verify_found(stored, stored.find("two")).verdict
    assert not verdict
    assert "changed" in verdict.why
    assert str(path) in verdict.why


@pytest.mark.parametrize("what", ["plan", "output"])
def test_what_was_kept_and_is_missing_is_noted(stored: Records, run: Callable[..., RunOutcome], what: str) -> None:
    path = kept_file(stored, run, what)
    assert verify_found(stored, stored.find("two")).verdict.notes == ()
    path.unlink()
    verdict = verify_found(stored, stored.find("two")).verdict
    assert verdict
    assert len(verdict.notes) == 1
    assert "missing" in verdict.notes[0] or "cannot be found" in verdict.notes[0]


@pytest.mark.parametrize(
    "step",
    [
        {"name": "Mode", "file": {"path": "made.txt", "mode": "0600"}},
        {"name": "Delete", "file": {"delete": "made.txt"}},
        {"name": "Compute", "python": {"script": "child.py"}},
    ],
    ids=lambda step: step["name"],
)
def test_what_need_not_be_kept_is_not_missed(
    stored: Records, run: Callable[..., RunOutcome], step: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "work" / "child.py").write_text("print(1)\n")
    outcome = run(step, execution_id="two")
    assert outcome.error is None
    assert verify_found(stored, stored.find("two")).verdict.notes == ()


def killed(home: LedgerHome, execution_id: str) -> Path:
    path = home.journal_path(execution_id)
    with Journal.create(path) as journal:
        observer = ExecutionObserver(execution_id, "tidy", journal=journal)
        observer.record_step_started(0, "first")
        observer.record_step_completed(0, "first")
        observer.record_step_started(1, "second")
    return path


def test_a_damaged_journal_does_not_pass_before_recovery_nor_after(stored: Records) -> None:
    path = killed(stored.home, "two")
    assert [found.subject for found in verify_all(stored)] == ["one"]  # without a seal, but nothing is wrong
    path.write_bytes(path.read_bytes().replace(b'"first"', b'"FIRST"', 1))
    for _ in range(2):
        found = list(verify_all(stored))
        assert [(item.subject, item.verdict.ok) for item in found] == [("one", True), ("two", False)]
        if path.exists():
            assert [outcome.outcome for outcome in recover(stored)] == ["damaged"]
    assert "quarantine" in found[1].verdict.why
    assert [note.execution_id for note in stored.quarantined()] == ["two"]


def test_the_original_of_a_recovered_journal_is_no_finding(stored: Records) -> None:
    killed(stored.home, "two")
    assert [outcome.outcome for outcome in recover(stored)] == ["recovered"]
    assert len(list(stored.home.quarantine.iterdir())) == 1
    assert [(item.subject, item.verdict.ok) for item in verify_all(stored)] == [("one", True), ("two", True)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_among_the_journals_is_a_finding_and_blocks_nobody(stored: Records) -> None:
    os.mkfifo(stored.home.journal_path("pipe"))
    assert [note.execution_id for note in stored.journals()] == [None]
    found = list(verify_all(stored))
    assert [item.verdict.ok for item in found] == [True, False]
    assert "no regular file" in found[1].verdict.why
    assert [outcome.outcome for outcome in recover(stored)] == ["failed"]
