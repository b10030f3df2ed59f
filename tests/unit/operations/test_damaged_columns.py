"""A column that holds what HEARTH never writes is named with its row; everything else is listed, and runs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.ledger import Ledger
from hearth.operations import run_plan
from hearth.security import LiveMode
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

NO_TEXT = "CAST(x'ff41' AS TEXT)"


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    """The plan that is asked for."""
    return make_plan({"name": "Say", "shell": "echo said"})


def change(home: LedgerHome, statement: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(statement).rowcount == 1


@pytest.mark.parametrize(
    "statement, named",
    [
        ("UPDATE approval_requests SET request_id = CAST('{bad}' AS BLOB) WHERE id = 1", "approval_requests, row 1"),
        (f"UPDATE approval_requests SET request_id = {NO_TEXT} WHERE id = 1", "approval_requests, row 1"),
        (f"UPDATE approval_requests SET plan_id = {NO_TEXT} WHERE id = 1", "approval_requests, row 1"),
        ("UPDATE approval_requests SET created = 7 WHERE id = 1", "approval_requests, row 1"),
        (f"UPDATE approval_decisions SET key = {NO_TEXT} WHERE id = 1", "approval_decisions, row 1"),
        (f"UPDATE approval_decisions SET verdict = {NO_TEXT} WHERE id = 1", "approval_decisions, row 1"),
        ("UPDATE approval_decisions SET key = x'ff41' WHERE id = 1", "approval_decisions, row 1"),
        (f"INSERT INTO approval_uses VALUES (1, '{{bad}}', {NO_TEXT}, 'x', 'no')", "approval_uses, row 1"),
        ("INSERT INTO approval_uses VALUES (1, '{bad}', 'zzz', x'ff', 'no')", "approval_uses, row 1"),
    ],
)
def test_a_damaged_row_is_named_and_hides_and_stops_no_other(
    home: LedgerHome, key: Path, plan: Plan, statement: str, named: str
) -> None:
    bad, good = (approving.approve(home, plan, key) for _ in range(2))
    change(home, statement.format(bad=bad))
    for options in ([], ["--json"]):
        listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals", *options])
        assert "internal error" not in listed.output
        assert listed.exit_code == 5, listed.output
        assert good in listed.output
        told = listed.output
        if options:
            document = json.loads(listed.stdout)
            told = " ".join([*document["unreadable"], *(one["why"] for one in document["approvals"])])
        assert named in " ".join(told.split())
    for command in ("list", "state"):
        result = CliRunner().invoke(cli, ["--home", str(home.root), command])
        assert result.exit_code == 0, result.output
    outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=good, execution_id="good")
    assert outcome.record.status.value == "completed"
    assert run_plan(plan, home=home).record.status.value == "completed"


@pytest.mark.parametrize("stored", ["CAST(x'ff' AS TEXT)", "x'ff'", "7", "'yesterday'"])
def test_a_time_that_cannot_be_read_beside_a_record_stops_nothing(
    home: LedgerHome, key: Path, plan: Plan, stored: str
) -> None:
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=approving.approve(home, plan, key))
    change(home, f"UPDATE executions SET stored = {stored}")
    result = CliRunner().invoke(cli, ["--home", str(home.root), "state"])
    assert result.exit_code == 0, result.output
    assert run_plan(plan, home=home).record.status.value == "completed"
    with Ledger.open(home) as ledger:
        assert ledger.postures.load().version == 0
