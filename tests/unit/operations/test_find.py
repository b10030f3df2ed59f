"""Naming an execution: by id, by the beginning of one, by `last`; in the ledger or in a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.errors import ExecutionNotFoundError, HearthError
from hearth.record import ExecutionStatus
from hearth.recorder import ExecutionObserver, Journal
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome
    from hearth.operations import Records, RunOutcome


def unsealed(home: LedgerHome, execution_id: str) -> None:
    """Leave a journal as a killed process would."""
    journal = Journal.create(home.journal_path(execution_id))
    ExecutionObserver(execution_id, "tidy", journal=journal).record_step_started(0, "first")
    journal.close()


def test_an_id_and_its_beginning(run: Callable[..., RunOutcome], records: Records) -> None:
    run(WRITE, execution_id="alpha-1")
    run(WRITE, execution_id="beta-1")
    for reference in ("alpha-1", "alpha", "a"):
        found = records.find(reference)
        assert (found.execution_id, found.source) == ("alpha-1", "ledger")


def test_several_are_named(run: Callable[..., RunOutcome], records: Records) -> None:
    run(WRITE, execution_id="alpha-1")
    run(WRITE, execution_id="alpha-2")
    with pytest.raises(HearthError, match=r"alpha-1, alpha-2"):
        records.find("alpha")


def test_an_exact_id_wins_over_longer_ones(run: Callable[..., RunOutcome], home: LedgerHome, records: Records) -> None:
    run(WRITE, execution_id="alpha")
    unsealed(home, "alpha-2")
    assert records.find("alpha").source == "ledger"
    assert records.find("alpha-2").source == "journal"


def test_ledger_and_journals_are_one_name_space(
    run: Callable[..., RunOutcome], home: LedgerHome, records: Records
) -> None:
    run(WRITE, execution_id="alpha-1")
    unsealed(home, "alpha-2")
    with pytest.raises(ExecutionNotFoundError, match="alpha-1, alpha-2"):
        records.find("alpha")


def test_several_journals_are_named(home: LedgerHome, records: Records) -> None:
    unsealed(home, "gamma-1")
    unsealed(home, "gamma-2")
    with pytest.raises(ExecutionNotFoundError, match="gamma-1, gamma-2"):
        records.find("gamma")
    assert records.find("gamma-1").source == "journal"


def test_last_is_the_latest_started_sealed_or_not(
    run: Callable[..., RunOutcome], home: LedgerHome, records: Records
) -> None:
    with pytest.raises(ExecutionNotFoundError, match="no execution yet"):
        records.find("last")
    run(WRITE, execution_id="first")
    assert records.find("last").execution_id == "first"
    unsealed(home, "second")
    assert records.find("last").execution_id == "second"
    run(WRITE, execution_id="third")
    assert records.find("last").execution_id == "third"


def test_an_unsealed_one_is_read_as_far_as_it_is(home: LedgerHome, records: Records) -> None:
    unsealed(home, "half")
    record = records.read(records.find("half"))
    assert record.status is ExecutionStatus.STARTED
    assert [event.step_name for event in record.step_events] == ["first"]


@pytest.mark.parametrize("reference", ["", "nothing"])
def test_what_is_not_there(records: Records, reference: str) -> None:
    with pytest.raises(HearthError):
        records.find(reference)


def test_a_journal_without_a_whole_line_has_no_id(home: LedgerHome, records: Records) -> None:
    home.journal_path("torn").write_bytes(b"0123 {")
    home.journal_path("empty").write_bytes(b"")
    assert {(note.path.name, note.execution_id) for note in records.journals()} == {
        ("torn.journal", None),
        ("empty.journal", None),
    }


def test_ids_for_completion(run: Callable[..., RunOutcome], home: LedgerHome, records: Records) -> None:
    run(WRITE, execution_id="alpha-1")
    unsealed(home, "alpha-2")
    assert records.ids("alpha") == ["alpha-2", "alpha-1"]
    assert records.ids("alpha", limit=1) == ["alpha-2"]
    assert records.ids("b") == []
