"""Exporting: the same record in every form, and disclosed values only when they are asked for."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError
from hearth.operations import export_record, write_file
from hearth.record import ExecutionRecord, Redactor
from hearth.recorder import ExecutionObserver
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.operations import Records, RunOutcome


def test_compact_and_indented_are_the_same_record(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, execution_id="one")
    compact = export_record(records, records.find("one"))
    indented = export_record(records, records.find("one"), indent=True)
    assert compact == records.ledger.get_bytes("one") + b"\n"
    assert len(indented.splitlines()) > 50
    assert (
        ExecutionRecord.from_dict(json.loads(indented))
        == ExecutionRecord.from_dict(json.loads(compact))
        == outcome.record
    )


def test_disclosed_values_are_exported_on_demand_only(records: Records) -> None:
    observer = ExecutionObserver("one", "p", live_mode="LIVE", redactor=Redactor(disclosable=("customer",)))
    observer.record_step_started(0, "first", {"customer": "Ada Lovelace"})
    observer.record_step_completed(0, "first")
    observer.mark_completed()
    records.ledger.store(observer.get_execution_record(), observer.disclosures)
    found = records.find("one")
    assert b"Ada" not in export_record(records, found)
    document = json.loads(export_record(records, found, disclose=True))
    assert [item["value"] for item in document["disclosures"]] == ["Ada Lovelace"]
    assert ExecutionRecord.from_dict(document).verify()


def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    write_file(path, b"new\n")
    assert path.read_bytes() == b"new\n"
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match="cannot be written"):
        write_file(tmp_path / "folder", b"x")
    with pytest.raises(LedgerError, match="cannot be written"):
        write_file(tmp_path / "nowhere" / "x", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
