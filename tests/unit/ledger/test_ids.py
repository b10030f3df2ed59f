from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ExecutionNotFoundError, LedgerError
from tests.unit.ledger._records import NOON, make_sealed_record

if TYPE_CHECKING:
    from hearth.ledger import Ledger


def test_a_prefix_that_is_enough_finds_the_id(ledger: Ledger) -> None:
    for name in ("import-20250901T120000Z-aa", "import-20250901T120000Z-ab", "export-1", "export-10", "ä"):
        ledger.store(make_sealed_record(name))
    assert ledger.find_id("import-20250901T120000Z-ab") == "import-20250901T120000Z-ab"
    assert ledger.find_id("export-10") == "export-10"
    assert ledger.find_id("export-1") == "export-1"
    assert ledger.find_id("ä") == "ä"
    with pytest.raises(LedgerError, match=r"more than one.*import-20250901T120000Z-aa, import-20250901T120000Z-ab"):
        ledger.find_id("imp")
    with pytest.raises(ExecutionNotFoundError, match=r"'Import'.*`hearth list`"):
        ledger.find_id("Import")
    with pytest.raises(LedgerError, match="no execution named"):
        ledger.find_id("")


@pytest.mark.parametrize("prefix", ["%", "_", "run%", "*", "run*", "[r]", "'", '"', "\\", "\x00"])
def test_a_prefix_has_no_wildcards(ledger: Ledger, prefix: str) -> None:
    ledger.store(make_sealed_record("run-1"))
    with pytest.raises(ExecutionNotFoundError):
        ledger.find_id(prefix)


def test_too_many_candidates_are_cut_short(ledger: Ledger) -> None:
    for number in range(12):
        ledger.store(make_sealed_record(f"run-{number:02}"))
    with pytest.raises(LedgerError, match=r"run-00, .*, run-07, …; give more"):
        ledger.find_id("run")


def test_all_ids_come_in_the_order_of_storing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.ledger._ledger._BATCH", 3)
    names = [f"run-{number}" for number in (5, 3, 9, 1, 7, 2, 8)]
    for position, name in enumerate(names):
        ledger.store(make_sealed_record(name, started=NOON - timedelta(hours=position)))
    found = []
    for name in ledger.iterate_ids():
        found.append(name)
        if name == "run-2":
            ledger.store(make_sealed_record("late"))
    assert found == [*names, "late"]
