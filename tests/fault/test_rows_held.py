"""A live run changes the rows that its preview showed, or nothing: random statements, and others in between.

What a statement does to a copy of the database before and after the others is the measure: where both are the same the
run has to be let through, else it has to be stopped with the database as the others left it.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import hearth
from tests.e2e.sandboxed import approved, needs_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = needs_sandbox

TABLES = {"u": 1, "w": 2, "c": 1, "l": 1, "g": 1, "k": 1}
"""How many of its columns are each table's key."""
SCHEMA = """
CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT, bal INTEGER, note BLOB);
CREATE TABLE w (a TEXT, b INTEGER, v REAL, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE c (
    id INTEGER PRIMARY KEY, u INTEGER REFERENCES u (id) ON DELETE CASCADE ON UPDATE CASCADE,
    t TEXT COLLATE NOCASE UNIQUE
);
CREATE TABLE l (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, old, new);
CREATE TABLE g (id INTEGER PRIMARY KEY, x INTEGER, y INTEGER GENERATED ALWAYS AS (x * 2) STORED);
CREATE TABLE k (id TEXT PRIMARY KEY, n);
CREATE TRIGGER tu AFTER UPDATE OF bal ON u BEGIN
    INSERT INTO l (what, old, new) VALUES ('bal', OLD.bal, NEW.bal);
END;
CREATE TRIGGER td AFTER DELETE ON w BEGIN UPDATE g SET x = x + 1 WHERE id = 1; END;
INSERT INTO u VALUES (1, 'ann', 100, NULL), (2, 'bob', 5, x'00ff'), (3, 'eve', 0, 't'), (4, NULL, 7, NULL);
INSERT INTO w VALUES ('p', 1, 1.5), ('p', 2, NULL), ('q', 1, -0.0);
INSERT INTO c VALUES (1, 1, 'A'), (2, 2, 'b'), (3, 2, 'C');
INSERT INTO g (id, x) VALUES (1, 10), (2, 20);
INSERT INTO k VALUES ('x', 1), (NULL, 2), ('z', '3');
"""
Rows = dict[str, Counter[tuple[str, ...]]]


def statement(chance: random.Random) -> str:
    """Return a statement that changes rows, or fails."""
    one, few = chance.randrange, chance.choice
    made: list[Callable[[], str]] = [
        lambda: f"UPDATE u SET bal = bal {few('+*-')} {one(3)} WHERE id {few('=><')} {one(1, 5)}",
        lambda: f"UPDATE u SET name = name || '{few('xy')}' WHERE bal > {one(110)}",
        lambda: f"UPDATE u SET id = id + 10 WHERE id = {one(1, 5)}",
        lambda: f"DELETE FROM u WHERE id = {one(1, 5)}",
        lambda: f"INSERT INTO u (name, bal) VALUES ('n{one(3)}', {one(5)})",
        lambda: f"INSERT OR REPLACE INTO u VALUES ({one(1, 6)}, 'r', {one(3)}, NULL)",
        lambda: (
            f"INSERT INTO u VALUES ({one(1, 6)}, 'up', 1, NULL)"
            " ON CONFLICT (id) DO UPDATE SET bal = bal + 1, name = excluded.name"
        ),
        lambda: f"UPDATE u SET bal = (SELECT count(*) FROM {few(list(TABLES))}) WHERE id = {one(1, 5)}",
        lambda: f"UPDATE u SET note = {few(['NULL', 'x0', 'note'])} WHERE id = {one(1, 5)}".replace("x0", "x'00ff'"),
        lambda: f"DELETE FROM w WHERE b = {one(1, 3)}",
        lambda: f"UPDATE w SET v = {few(['0.1 + 0.2', 'NULL', '1e308 * 10', 'v + 1', '-0.0', '0.0'])} WHERE a = 'p'",
        lambda: f"INSERT OR IGNORE INTO w VALUES ('{few('pqr')}', {one(1, 3)}, 3)",
        lambda: f"INSERT OR REPLACE INTO c (u, t) VALUES ({one(1, 4)}, '{few('aBcD')}')",
        lambda: f"UPDATE c SET t = upper(t) WHERE id = {one(1, 4)}",
        lambda: f"UPDATE g SET x = x + {one(2)}",
        lambda: f"UPDATE k SET n = {few(['1', '1.0', 'NULL', 'n'])} WHERE id IS {few(['', 'NOT '])}NULL",
        lambda: f"INSERT INTO k VALUES (NULL, {one(3)})",
        lambda: f"DELETE FROM k WHERE n = {one(1, 3)}",
    ]
    return few(made)()


def snapshot(path: Path) -> Rows:
    """Return all rows, each value with its type."""
    with closing(sqlite3.connect(path)) as database:
        found: Rows = {}
        for table in TABLES:
            columns = [str(row[1]) for row in database.execute(f"PRAGMA table_xinfo ({table})")]
            told = ", ".join(f"typeof({name}) || ':' || quote({name})" for name in columns)
            found[table] = Counter(tuple(row) for row in database.execute(f"SELECT {told} FROM {table}"))
        return found


def changes(before: Rows, after: Rows) -> set[object]:
    """Return what was changed: rows that came and went, and of one row the columns that differ."""
    found: set[object] = set()
    for table, width in TABLES.items():
        gone, came = before[table] - after[table], after[table] - before[table]
        for row in list(gone):
            (*others,) = [other for other in came if other[:width] == row[:width]]
            if len(others) == 1 == gone[row] == came[others[0]] and "null:NULL" not in row[:width]:
                pairs = enumerate(zip(row, others[0], strict=True))
                found |= {(table, row[:width], place, pair) for place, pair in pairs if pair[0] != pair[1]}
                del gone[row], came[others[0]]
        found |= {(table, "gone", row, count) for row, count in gone.items()}
        found |= {(table, "came", row, count) for row, count in came.items()}
    return found


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(sql)


def effect_of(sql: str, on: Path) -> tuple[set[object] | None, Rows]:
    """Return what a statement changes in a copy of a database, and the rows after it; None where it fails."""
    copy = on.with_name("copy.db")
    shutil.copy(on, copy)
    before = snapshot(copy)
    try:
        execute(copy, sql)
    except sqlite3.Error:
        return None, before
    after = snapshot(copy)
    return changes(before, after), after


def try_one(folder: Path, seed: int) -> str:
    """Preview, approve, let others act, run; return what became of it."""
    chance = random.Random(seed)  # noqa: S311 - samples
    database = folder / "app.db"
    with closing(sqlite3.connect(database)) as made:
        made.executescript(SCHEMA)
    sql = statement(chance)
    previewed, _ = effect_of(sql, database)
    if previewed is None:
        return "it fails"
    step = {
        "name": "Change",
        "sql": {"url": "sqlite:///app.db", "statement": sql},
        "effects": [{"data_mutation": f"app.db:{table}"} for table in TABLES],
    }
    (folder / "plan.yaml").write_text(json.dumps({"plan": "p", "steps": [step]}))
    request = approved()
    others = [statement(chance) for _ in range(chance.randrange(3))]
    for other in others:
        with suppress(sqlite3.Error):
            execute(database, other)
    now, after = effect_of(sql, database)
    before = snapshot(database)
    answer = hearth("run", "plan.yaml", "--mode", "live", "--approval", request)
    told = f"seed {seed}: {sql}; in between {others}; {answer.output[-500:]}"
    same = now == previewed
    assert (answer.exit_code == 0) == same, told
    assert snapshot(database) == (after if same else before), told
    return "let through" if same else "stopped"


def each(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> Counter[str]:
    ended: Counter[str] = Counter()
    for seed in seeds:
        here = folder / str(seed)
        here.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "settings"))
        hearth("init", code=0)
        hearth("keygen", "--trust", "ann", code=0)
        ended[try_one(here, seed)] += 1
        shutil.rmtree(here)
    return ended


def test_what_was_previewed_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = each(tmp_path, monkeypatch, range(8))
    assert ended["let through"]
    assert ended["stopped"]


@pytest.mark.soak
def test_what_was_previewed_or_nothing_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = each(tmp_path, monkeypatch, range(100, 400))
    assert ended["let through"] > 50
    assert ended["stopped"] > 20
