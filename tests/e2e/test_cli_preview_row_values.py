"""A live run is held to the values of the rows that its preview showed, not to their number alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import approved, live, needs_sandbox, record, stopped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox

PLAN = """\
plan: double
steps:
  - name: Double
    sql: {url: "sqlite:///app.db", statement: "STATEMENT"}
    effects: [{data_mutation: "app.db:users"}]
"""
SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, balance INTEGER, at TEXT);
INSERT INTO users VALUES (1, 'ann', 100, ''), (2, 'bob', 5, '');
"""
DOUBLE = "UPDATE users SET balance = balance * 2 WHERE name = 'ann'"
STAMP = "UPDATE users SET at = hex(randomblob(8)) WHERE id = 1"


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Path:
    with closing(sqlite3.connect(ledger_folder / "app.db")) as db:
        db.executescript(SCHEMA)
    return ledger_folder


def plan(folder: Path, statement: str, more: str = "") -> str:
    (folder / "plan.yaml").write_text(PLAN.replace("STATEMENT", statement) + more)
    return approved()


def ask(folder: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "app.db")) as db, db:
        return db.execute(sql).fetchall()


def test_a_value_that_somebody_else_set_meanwhile_stops_it(folder: Path) -> None:
    request = plan(folder, DOUBLE)
    ask(folder, "UPDATE users SET balance = 7777 WHERE name = 'ann'")
    said = live(request, code=4).output
    assert "or held something else before: balance" in " ".join(said.split())
    stopped("not what was approved", "the rows of users")
    assert ask(folder, "SELECT balance FROM users") == [(7777,), (5,)]


def test_another_row_of_the_same_number_stops_it(folder: Path) -> None:
    request = plan(folder, "DELETE FROM users WHERE balance < 50")
    ask(folder, "UPDATE users SET balance = 105 - balance")
    live(request, code=4)
    assert ask(folder, "SELECT name FROM users") == [("ann",), ("bob",)]


def test_what_others_do_elsewhere_does_not(folder: Path) -> None:
    request = plan(folder, DOUBLE)
    ask(folder, "UPDATE users SET balance = 6 WHERE name = 'bob'")
    ask(folder, "INSERT INTO users (name, balance) VALUES ('eve', 1)")
    live(request, code=0)
    assert ask(folder, "SELECT balance FROM users") == [(200,), (6,), (1,)]


def test_what_differs_by_nature_stops_it_too(folder: Path) -> None:
    said = " ".join(live(plan(folder, STAMP), code=4).output.split())
    assert 'the plan says so: volatile: ["app.db:users.at"]' in said
    assert ask(folder, "SELECT at FROM users") == [("",), ("",)]


def test_unless_the_plan_names_it_which_is_marked(folder: Path) -> None:
    request = plan(folder, STAMP, '    volatile: ["app.db:users.at"]\n')
    said = " ".join(hearth("preview", "plan.yaml", code=0).output.split())
    assert "users +0 ~1 -0 (volatile: values of at may differ)" in said
    live(request, code=0)
    assert ask(folder, "SELECT length(at) FROM users WHERE id = 1") == [(16,)]


def test_the_manifest_has_digests_by_column_and_the_record_counts(folder: Path) -> None:
    live(plan(folder, DOUBLE), code=0)
    (row,) = document("preview", "plan.yaml")["steps"][0]["rows"]
    assert row["before"].keys() == row["after"].keys() == {"balance"}
    assert row["before"]["balance"] not in str(record())
