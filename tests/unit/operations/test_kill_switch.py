"""The kill switch and reports on a database changed past HEARTH: they stand, or say that they do not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import LedgerDamagedError, LedgerError
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import load_key, lock_down, report_states, restore_posture
from hearth.security import KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.ledger import LedgerHome

LAST = (1 << 63) - 1
DISABLED = [
    "PRAGMA application_id = 0",
    "UPDATE alembic_version SET version_num = '0003'",
    "DELETE FROM alembic_version",
    "DROP TABLE alembic_version",
    "UPDATE alembic_version SET version_num = CAST(x'ff' AS TEXT)",
    "DROP TABLE ledger_meta",
    "ALTER TABLE postures ADD COLUMN x TEXT",
]
SWALLOWED = (
    "ALTER TABLE postures ADD COLUMN x TEXT GENERATED ALWAYS AS (CASE security WHEN 'OPERATIONAL' THEN 1 END) "
    "VIRTUAL NOT NULL ON CONFLICT IGNORE"
)
RENAMED = ("ALTER TABLE postures RENAME COLUMN why TO why2", "ALTER TABLE postures ADD COLUMN why TEXT")


def change(home: LedgerHome, *statements: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def securities(home: LedgerHome) -> list[str]:
    with closing(sqlite3.connect(home.database)) as connection:
        return [row[0] for row in connection.execute("SELECT security FROM postures ORDER BY version")]


@pytest.mark.parametrize("statement", DISABLED)
def test_a_lockdown_and_a_report_need_the_table_of_postures_alone(home: LedgerHome, statement: str) -> None:
    change(home, statement)
    entry = report_states(home, security=SecurityState.COMPROMISED, why="a shell", source="falco", who="ann")
    assert entry.kept.posture.security is SecurityState.COMPROMISED
    assert lock_down(home, who="ann", why="an intruder").new
    assert securities(home) == ["COMPROMISED", "LOCKDOWN"]


@pytest.mark.parametrize(
    "statements", [RENAMED, ("DROP TABLE postures",), (SWALLOWED,)], ids=["renamed", "dropped", "swallowed"]
)
@pytest.mark.parametrize(
    "command",
    [["lockdown", "--reason", "stop"], ["report", "COMPROMISED", "--reason", "a shell", "--source", "falco"]],
    ids=["lockdown", "report"],
)
def test_what_does_not_stand_says_that_runs_go_on(
    home: LedgerHome, statements: tuple[str, ...], command: list[str]
) -> None:
    change(home, *statements)
    said = CliRunner().invoke(cli, ["--home", str(home.root), *command])
    assert said.exit_code != 0
    assert "NOT" in said.output
    assert "Runs go on: end their processes" in said.output


def test_a_worsening_is_read_back_on_the_ordinary_path(home: LedgerHome) -> None:
    with Ledger.open(home) as ledger:
        change(home, SWALLOWED)
        worse = KeptPosture(Posture(SecurityState.COMPROMISED), 1, "ann", "a shell", "falco")
        with pytest.raises(LedgerError, match=r"COMPROMISED/NOMINAL does NOT stand .*Runs go on"):
            ledger.postures.compare_and_set(0, worse)
        with pytest.raises(LedgerError, match=r"LOCKDOWN/LOCKDOWN does NOT stand"):
            ledger.postures.lock_down(who="ann", why="stop", source="lockdown")


def test_a_kernel_says_that_its_report_was_swallowed(home: LedgerHome) -> None:
    with HearthKernel.open(home) as kernel:
        change(home, SWALLOWED)
        with pytest.raises(LedgerError, match="does NOT stand"):
            kernel.escalate("COMPROMISED", "a shell")


@pytest.mark.parametrize("most", [LAST, LAST - 1, 1 << 60])
def test_a_count_of_versions_at_its_end_keeps_nobody_from_locking_down(home: LedgerHome, key: Path, most: int) -> None:
    change(home, f"INSERT INTO sqlite_sequence VALUES ('postures', {most})")
    assert lock_down(home, who="ann", why="stop").kept.posture.security is SecurityState.LOCKDOWN
    assert securities(home) == ["LOCKDOWN"]
    with pytest.raises(LedgerDamagedError, match=r"count of the versions.*restore the last backup"):
        restore_posture(home, load_key(home, key), why="over")
