"""`hearth state`, `lockdown`, `report` and `restore` from end to end."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger that trusts a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARTH_KEY", str(tmp_path / "ann.pem"))
    hearth("init", code=0)
    hearth("keygen", "--trust", "ann", code=0)
    (tmp_path / "plan.yaml").write_text("plan: p\nsteps: [{name: Look, shell: 'true'}]\n")
    return tmp_path


def hearth(*arguments: str, code: int) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def document(*arguments: str, code: int = 0) -> Any:
    return json.loads(hearth(*arguments, "--json", code=code).stdout)


def test_a_lockdown_and_the_way_back() -> None:
    assert "OPERATIONAL/NOMINAL\n  permits  DRY_RUN, STAGING, LIVE" in hearth("state", code=0).stdout
    locked = hearth("lockdown", "--reason", "an intruder", code=0).stdout
    assert "LOCKDOWN/NOMINAL  an intruder (by " in locked
    assert "no run was under way" in locked
    assert "since before" in hearth("lockdown", "--reason", "again", code=0).stdout
    shown = hearth("state", code=0).stdout
    assert "through lockdown" in shown
    assert "an intruder" in shown
    assert "permits  nothing" in shown
    assert "does not permit" in hearth("run", "plan.yaml", code=3).stderr
    assert "OPERATIONAL/NOMINAL  we found him (by ann)" in hearth("restore", "--reason", "we found him", code=0).stdout
    hearth("run", "plan.yaml", code=0)
    history = document("state", "--history")
    assert history["ok"] is True
    assert [(one["security"], one["source"], one["signature"]) for one in history["history"]] == [
        ("LOCKDOWN", "lockdown", ""),
        ("OPERATIONAL", "operator", "verified"),
    ]
    assert "verified" in hearth("state", "--history", code=0).stdout
    assert "signed   verified" in hearth("state", code=0).stdout


def test_reports_and_partial_restoration() -> None:
    because = ("--reason", "a shell", "--source", "falco")
    assert document("report", "elevated", *because)["boundary"] == "ELEVATED"
    assert document("report", "COMPROMISED", *because)["security"] == "COMPROMISED"
    assert document("report", "COMPROMISED", "--boundary", *because)["boundary"] == "COMPROMISED"
    assert "a shell (by " in hearth("report", "DEGRADED", *because, code=0).stdout
    assert document("restore", "--to", "DEGRADED", "--reason", "less")["security"] == "DEGRADED"
    assert document("restore", "--to", "ELEVATED", "--reason", "less")["boundary"] == "ELEVATED"
    assert document("state")["permits"] == {"DRY_RUN": None, "STAGING": None}
    assert "is worse than the present posture" in hearth("restore", "--to", "LOCKDOWN", "--reason", "x", code=3).stderr
    assert "no worsening" in hearth("report", "NOMINAL", *because, code=2).stderr
    assert "'SUNNY' is no state; known are OPERATIONAL" in hearth("report", "SUNNY", *because, code=2).stderr
    assert "Missing option '--source'" in hearth("report", "DEGRADED", "--reason", "x", code=2).stderr
    assert (
        "needs a reason and a source" in hearth("report", "DEGRADED", "--reason", " ", "--source", "x", code=3).stderr
    )


def test_a_key_that_is_no_operator_s_restores_nothing(folder: Path) -> None:
    hearth("lockdown", "--reason", "an intruder", code=0)
    hearth("keygen", "mallory", "--out", "mallory.pem", code=0)
    refused = hearth("restore", "--reason", "let me", "--key", "mallory.pem", code=3)
    assert "does not trust mallory.pem as an operator's" in refused.stderr
    assert document("state")["security"] == "LOCKDOWN"


def test_a_history_that_was_changed_is_not_verified(folder: Path) -> None:
    hearth("lockdown", "--reason", "an intruder", code=0)
    hearth("restore", "--reason", "found", code=0)
    with closing(sqlite3.connect(folder / ".hearth" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE postures SET why = 'never mind' WHERE version = 2")
    assert document("state", "--history", code=5)["ok"] is False
    assert "another one than the one asked for" in hearth("state", "--history", code=5).stdout
    hearth("state", code=5)


def test_the_first_history_is_empty() -> None:
    assert "since the ledger was made" in hearth("state", "--history", code=0).stdout


def test_a_posture_that_nobody_signed_runs_nothing_and_is_not_verified(folder: Path) -> None:
    hearth("lockdown", "--reason", "an intruder", code=0)
    with closing(sqlite3.connect(folder / ".hearth" / "ledger.db")) as connection, connection:
        connection.execute(
            "INSERT INTO postures SELECT 2, 'OPERATIONAL', boundary, 'x', 'x', 'operator', created, x'00' FROM postures"
        )
    assert "no run is started, for the posture is not known" in hearth("run", "plan.yaml", code=3).stderr
    shown = hearth("state", code=5).stdout
    assert "LOCKDOWN/NOMINAL" in shown
    assert "permits  nothing" in shown
    assert document("state", code=5)["permits"] == {}
    assert document("state", "--history", code=5)["ok"] is False
    hearth("restore", "--reason", "it was Mallory", code=0)
    hearth("run", "plan.yaml", code=0)


@pytest.mark.parametrize("security", ["'SUNNY'", "x'00ff'", "CAST(x'ff' AS TEXT)"])
def test_a_posture_that_cannot_be_read_is_refused_by_run_and_not_verified_by_state(folder: Path, security: str) -> None:
    hearth("report", "DEGRADED", "--reason", "noise", "--source", "edr", code=0)
    with closing(sqlite3.connect(folder / ".hearth" / "ledger.db")) as connection, connection:
        connection.execute(f"UPDATE postures SET security = {security}")
    for mode in ("dry-run", "staging"):
        assert "version 1 of the posture is not readable" in hearth("run", "plan.yaml", "--mode", mode, code=3).stderr
    assert "LOCKDOWN/LOCKDOWN" in hearth("state", code=5).stdout
    hearth("state", "--history", code=5)


def test_a_run_that_finds_no_room_is_refused_and_says_nothing_against_the_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", "plan.yaml", "--mode", "live", "--yes", "--reason", "a test")
    with monkeypatch.context() as full:
        full.setattr("hearth.execution._health._look_at", lambda _: (0, False))
        assert "make room" in hearth(*arguments, code=3).stderr
    assert document("state")["version"] == 0
    hearth(*arguments, code=0)


def test_a_history_whose_end_was_cut_off_is_not_called_good(folder: Path) -> None:
    hearth("lockdown", "--reason", "an intruder", code=0)
    with closing(sqlite3.connect(folder / ".hearth" / "ledger.db")) as connection, connection:
        connection.execute("DELETE FROM postures")
    assert "version 1 was there; rows were removed" in hearth("state", "--history", code=5).stdout
    assert "LOCKDOWN/LOCKDOWN" in hearth("state", code=5).stdout
