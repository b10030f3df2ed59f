"""Recovering journals: each is brought to its one right end, and nothing that was written is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.errors import ExecutionNotFoundError, LedgerError
from hearth.execution._concurrency import plan_slot
from hearth.operations import Records, recover
from hearth.record import ExecutionStatus, SealCause, percent_encode
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.ledger import LedgerHome


def journal_of(home: LedgerHome, execution_id: str, *, seal: bool = False) -> Path:
    """Write a journal and close it, as the end of a process does."""
    path = home.journal_path(execution_id)
    with Journal.create(path) as journal:
        observer = ExecutionObserver(execution_id, "tidy", journal=journal, live_mode="LIVE")
        observer.record_step_started(0, "first")
        observer.record_step_completed(0, "first")
        if seal:
            observer.mark_completed()
    return path


def outcomes(records: Records, reference: str | None = None) -> dict[str | None, str]:
    return {outcome.execution_id: outcome.outcome for outcome in recover(records, reference)}


def test_nothing_to_do(records: Records) -> None:
    assert recover(records) == []


def test_what_was_killed_is_sealed_and_stored(home: LedgerHome, records: Records) -> None:
    path = journal_of(home, "killed/é")
    before = path.read_bytes()
    (outcome,) = recover(records)
    record = records.ledger.get("killed/é")
    assert outcome.outcome == "recovered"
    assert outcome.ok
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    assert record.verify()
    assert list(home.journals.iterdir()) == []
    assert outcome.kept is not None
    assert outcome.kept.parent == home.quarantine
    assert outcome.kept.read_bytes() == before
    assert recover(records) == []


def test_what_is_sealed_but_not_stored_is_stored(home: LedgerHome, records: Records) -> None:
    journal_of(home, "sealed", seal=True)
    assert outcomes(records) == {"sealed": "stored"}
    assert records.ledger.get("sealed").status is ExecutionStatus.COMPLETED
    assert list(home.journals.iterdir()) == []
    assert list(home.quarantine.iterdir()) == []


def test_what_is_stored_already_only_goes(home: LedgerHome, records: Records) -> None:
    path = journal_of(home, "sealed", seal=True)
    data = path.read_bytes()
    recover(records)
    path.write_bytes(data)
    assert outcomes(records) == {"sealed": "known"}
    assert list(home.journals.iterdir()) == []


def test_another_record_under_the_id_is_kept_and_said(home: LedgerHome, records: Records) -> None:
    journal_of(home, "same", seal=True)
    recover(records)
    path = journal_of(home, "same", seal=True)
    (outcome,) = recover(records)
    assert (outcome.outcome, outcome.ok) == ("failed", False)
    assert "another record" in outcome.message
    assert path.exists()


def test_what_runs_is_left_alone(home: LedgerHome, records: Records) -> None:
    with Journal.create(home.journal_path("busy")) as journal:
        ExecutionObserver("busy", "tidy", journal=journal).record_step_started(0, "first")
        before = journal.path.read_bytes()
        assert outcomes(records) == {"busy": "running"}
        assert journal.path.read_bytes() == before


def test_a_torn_end_is_cut_and_counted(home: LedgerHome, records: Records) -> None:
    path = journal_of(home, "torn", seal=True)
    path.write_bytes(path.read_bytes()[:-30])
    (outcome,) = recover(records)
    assert outcome.outcome == "recovered"
    assert outcome.discarded > 0
    assert str(outcome.discarded) in outcome.message
    assert records.ledger.get("torn").verify()


def test_an_empty_journal_goes_into_quarantine(home: LedgerHome, records: Records) -> None:
    home.journal_path("empty").write_bytes(b"")
    assert [outcome.outcome for outcome in recover(records)] == ["empty"]
    assert list(home.journals.iterdir()) == []
    assert len(list(home.quarantine.iterdir())) == 1


def test_damage_is_quarantined_and_never_sealed_over(home: LedgerHome, records: Records) -> None:
    path = journal_of(home, "damaged", seal=True)
    data = path.read_bytes().replace(b'"first"', b'"FIRST"', 1)
    path.write_bytes(data)
    journal_of(home, "healthy")
    found = {outcome.execution_id: outcome for outcome in recover(records)}
    assert found["damaged"].outcome == "damaged"
    assert not found["damaged"].ok
    assert found["damaged"].kept is not None
    assert found["damaged"].kept.read_bytes() == data
    assert found["healthy"].outcome == "recovered"
    assert list(records.ledger.iterate_ids()) == ["healthy"]


def test_one_of_several(home: LedgerHome, records: Records) -> None:
    journal_of(home, "alpha-1")
    journal_of(home, "alpha-2")
    with pytest.raises(ExecutionNotFoundError, match="alpha-1, alpha-2"):
        recover(records, "alpha")
    with pytest.raises(ExecutionNotFoundError, match="no journal of an execution 'beta'"):
        recover(records, "beta")
    assert outcomes(records, "alpha-2") == {"alpha-2": "recovered"}
    assert [note.execution_id for note in records.journals()] == ["alpha-1"]


def run_folder(home: LedgerHome, execution_id: str) -> Path:
    folder = home.runs / f"{percent_encode(execution_id)}.x1y2"
    folder.mkdir()
    (folder / "script.py").write_text("secret business")
    return folder


def test_copies_of_inputs_of_the_dead_go_those_of_the_living_stay(home: LedgerHome, records: Records) -> None:
    journal_of(home, "dead")
    journal_of(home, "waiting")
    dead, waiting = run_folder(home, "dead"), run_folder(home, "waiting")
    without_journal = run_folder(home, "died/early")
    starting = run_folder(home, "now/starting")
    (home.runs / "something else").mkdir()
    with plan_slot(home.locks, "some plan", 1, "now/starting"):
        assert outcomes(records, "dead") == {"dead": "recovered"}
        assert not dead.exists()
        assert without_journal.exists()  # only one was asked for
        assert outcomes(records) == {"waiting": "recovered"}
        assert not waiting.exists()
        assert not without_journal.exists()
        assert starting.exists()
    assert outcomes(records) == {}
    assert [path.name for path in home.runs.iterdir()] == ["something else"]


def test_copies_of_a_run_under_way_stay(home: LedgerHome, records: Records) -> None:
    folder = run_folder(home, "alive")
    with Journal.create(home.journal_path("alive")) as journal:
        ExecutionObserver("alive", "tidy", journal=journal).record_step_started(0, "first")
        assert outcomes(records) == {"alive": "running"}
        assert folder.exists()


def test_a_ledger_that_refuses_keeps_the_journal(
    home: LedgerHome, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise LedgerError("the disk is full")

    path = journal_of(home, "killed")
    monkeypatch.setattr(records.ledger, "store", refuse)
    (outcome,) = recover(records)
    assert outcome.outcome == "failed"
    assert "the disk is full" in outcome.message
    assert path.exists()
    monkeypatch.undo()
    assert outcomes(records) == {"killed": "stored"}
    assert records.ledger.get("killed").cause is SealCause.RECOVERED
    assert list(home.journals.iterdir()) == []
    assert len(list(home.quarantine.iterdir())) == 1
