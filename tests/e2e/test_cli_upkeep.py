"""`hearth fsck`, `purge`, `hold`, `backup` and `restore FILE` from end to end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.ledger import Ledger, LedgerHome
from tests.unit.ledger._records import make_sealed_record
from tests.unit.operations._ledgers import edit

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    """The ledger of the current folder, with three records of long ago."""
    monkeypatch.chdir(tmp_path)
    hearth("init", code=0)
    home = LedgerHome(tmp_path / ".hearth")
    with Ledger.open(home) as ledger:
        for name in ("one", "two", "three"):
            ledger.store(make_sealed_record(name))
    return home


def hearth(*arguments: str, code: int, typed: str | None = None) -> Result:
    result = CliRunner().invoke(cli, list(arguments), input=typed)
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def document(*arguments: str, code: int = 0) -> Any:
    return json.loads(hearth(*arguments, "--json", code=code).stdout)


def test_fsck_tells_damage_from_what_is_derived(home: LedgerHome) -> None:
    assert "the ledger is whole" in hearth("fsck", code=0).stdout
    edit(home, "UPDATE executions SET effects = 7 WHERE execution_id = 'two'")
    told = hearth("fsck", code=1).stdout
    assert "effects is 7, and the record says 1" in told
    assert "concerns  two" in told
    assert "repaired" in hearth("fsck", "--repair", code=0).stdout
    edit(home, "UPDATE executions SET record = replace(record, 'row 17', 'row 18') WHERE execution_id = 'two'")
    told = hearth("fsck", "--repair", code=5).stdout
    assert "DAMAGED" in told
    found = document("fsck", code=5)
    assert (found["ok"], found["damaged"]) == (False, True)
    assert [finding["records"] for finding in found["findings"]] == [["two"]]
    state = hearth("state", code=0).stdout
    assert "COMPROMISED" in state
    assert "through fsck" in state
    assert len(document("state", "--history")["history"]) == 1  # the second time it was no news


def test_what_to_purge_has_to_be_said() -> None:
    assert "say what" in hearth("purge", "--reason", "x", "--yes", code=2).stderr
    assert "say what" in hearth("purge", "one", "--plan", "p", "--reason", "x", "--yes", code=2).stderr
    assert "reason" in hearth("purge", "one", "--yes", code=2).stderr
    assert "36h" in hearth("purge", "--older-than", "soon", "--reason", "x", code=2).stderr
    assert "no terminal to ask on" in hearth("purge", "one", "--reason", "x", code=3, typed="1\n").stderr
    assert "needs a reason" in hearth("purge", "one", "--reason", " ", "--yes", code=3).stderr
    assert len(document("list")["executions"]) == 3


def test_a_purged_execution_is_still_told_of() -> None:
    assert document("purge", "--older-than", "90d", "--reason", "x", "--dry-run")["records"][0]["outcome"] == "would"
    told = document("purge", "one", "--reason", "the law", "--yes")
    assert told["emptied"] is True
    tombstone = told["records"][0]["tombstone"]
    digest = tombstone["execution_hash"]
    shown = hearth("show", "one", code=0).stdout
    assert "purged" in shown
    assert "the law" in shown
    assert digest in shown
    assert document("show", "one")["purged"]["execution_hash"] == digest
    assert digest in hearth("verify", "one", code=5).stdout
    assert document("verify", "one", code=5)["purged"]["reason"] == "the law"
    assert "was purged at" in hearth("export", "one", code=3).stderr
    assert digest in hearth("list", code=0).stdout
    listed = document("list", "--plan", "user-*")
    assert [one["execution_id"] for one in listed["purged"]] == ["one"]
    assert document("list", "--plan", "other")["purged"] == []
    assert document("list", "--since", "1h")["purged"] == []
    assert document("list", "--text", "row 17")["purged"] == []
    assert document("list", "--status", "completed")["purged"] == []
    assert document("purge", "one", "--reason", "again", "--yes", code=3)["error"]["kind"] == "ExecutionPurgedError"


def test_holds() -> None:
    assert "one of them" in hearth("hold", "add", "--reason", "x", code=2).stderr
    assert document("hold", "add", "one", "--reason", "court")["name"] == "one"
    assert "is on hold already" in hearth("hold", "add", "one", "--reason", "court", code=1).stderr
    assert "one" in hearth("hold", "list", code=0).stdout
    assert "court" in hearth("purge", "one", "--reason", "x", "--yes", code=3).stdout
    assert "refused" in hearth("purge", "--older-than", "1h", "--reason", "x", "--yes", code=0).stdout
    assert document("hold", "release", "one", "--reason", "settled") == {"kind": "execution", "name": "one"}
    assert "nothing is on hold" in hearth("hold", "list", code=0).stdout
    assert "settled" in hearth("hold", "list", "--all", code=0).stdout
    assert document("hold", "list")["holds"] == []


def test_a_backup_goes_there_and_back(tmp_path: Path) -> None:
    made = document("backup", "b.tar")
    assert made["members"] == 1, "no run, so no output, no plan, no policy"
    assert "there already" in hearth("backup", "b.tar", code=1).stderr
    assert "restored" in hearth("restore", "b.tar", "--into", "new", code=0).stdout
    assert "not an empty folder" in hearth("restore", "b.tar", code=1).stderr
    assert document("--home", "other", "restore", "b.tar")["fsck"]["ok"] is True
    assert [one["execution_id"] for one in document("--home", "other", "list")["executions"]] == ["three", "two", "one"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hearth", "b.tar", "new", "other"]


def test_restore_says_which_of_the_two_is_meant() -> None:
    assert "--reason TEXT" in hearth("restore", code=2).stderr
    assert "goes with FILE" in hearth("restore", "--into", "x", "--reason", "y", code=2).stderr
    assert "restores a backup" in hearth("restore", "b.tar", "--reason", "y", code=2).stderr


def test_long_work_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 3))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    from hearth.cli._fsck import progress_lines
    from hearth.cli._screen import Screen

    screen = Screen(to_stderr=True)
    with screen.console.capture() as capture:
        progress_lines(screen)("records", 17)
    assert "17 records checked" in capture.get()
