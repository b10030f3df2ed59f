"""Taking a changeset back: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.errors import DriftError, ObservationError
from hearth.observe._sqlite import compare_databases, connect_recorded, snapshot, undo_changeset

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.observe._sqlite import SqliteEffects

SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE, age);
CREATE TABLE pairs (a, b, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE notes (text, at);
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what);
CREATE TABLE owned (id INTEGER PRIMARY KEY, user REFERENCES users ON DELETE CASCADE);
CREATE TABLE made (id INTEGER PRIMARY KEY, a, b AS (a || 'x') STORED, c AS (a || 'y'));
CREATE TRIGGER told AFTER UPDATE ON users BEGIN INSERT INTO log (what) VALUES (new.name); END;
CREATE TRIGGER gone AFTER DELETE ON pairs BEGIN DELETE FROM notes WHERE at = old.a; UPDATE users SET age = 0; END;
INSERT INTO users VALUES (1, 'a', 10), (2, 'b', 1.0), (3, 'c', x'00ff');
INSERT INTO pairs VALUES (1, 1, 'x'), (1, 2, NULL);
INSERT INTO notes VALUES ('x', 1), ('x', 1), (NULL, 2);
INSERT INTO owned VALUES (1, 1), (2, 1), (3, 3);
"""
HOLDS_A_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print(flush=True)
input()
"""
TABLES = ("users", "pairs", "notes", "log", "owned", "made")


def make(path: Path) -> Path:
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    db.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "app.db")


def run(path: Path, *statements: str) -> SqliteEffects:
    db = connect_recorded(path)
    try:
        db.execute("PRAGMA foreign_keys = 1")
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            try:
                db.execute(statement)
            except sqlite3.IntegrityError:
                continue  # the statement alone was taken back
        effects = db.effects()
        db.commit()
    finally:
        db.close()
    return effects


def change(path: Path, *statements: str) -> None:
    """Change it as somebody else would: by Python's own module, in another process."""
    code = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db:\n for s in sys.argv[2:]: db.execute(s)"
    subprocess.run([sys.executable, "-c", code, path, *statements], check=True)


def content(path: Path) -> dict[str, list[str]]:
    """Return the rows with their types, and the rowids, which are not to change either."""
    db = sqlite3.connect(path)
    found = {}
    for table in TABLES:
        key = "" if table == "pairs" else "rowid, "
        rows = db.execute(f"SELECT {key}* FROM {table}").fetchall()
        found[table] = sorted(map(repr, rows))
    db.close()
    return found


def test_the_database_is_what_it_was(path: Path) -> None:
    before = content(path)
    effects = run(
        path,
        "UPDATE users SET name = name || '!' WHERE id < 3",
        "DELETE FROM pairs",
        "DELETE FROM users WHERE id = 1",
        "INSERT INTO notes VALUES ('new', 3)",
        "UPDATE users SET id = 7 WHERE id = 3",
    )
    assert content(path) != before
    undone = undo_changeset(path, effects.changeset)
    assert content(path) == before
    assert {(row.table, row.inserted, row.updated, row.deleted) for row in undone} == {
        (row.table, row.deleted, row.updated, row.inserted) for row in effects.tables
    }


@pytest.mark.parametrize(
    "later,told",
    [
        ("UPDATE users SET age = 99 WHERE id = 2", "users"),
        ("DELETE FROM users WHERE id = 2", "users"),
        ("INSERT INTO pairs VALUES (1, 1, 'again')", "1 in pairs"),
    ],
)
def test_a_row_changed_since_refuses_all_of_it(path: Path, later: str, told: str) -> None:
    effects = run(path, "UPDATE users SET age = age + 1 WHERE id = 2", "DELETE FROM pairs WHERE b = 1")
    change(path, later)
    found = content(path)
    with pytest.raises(DriftError, match=f"were changed since: .*{told}.*nothing was taken back"):
        undo_changeset(path, effects.changeset)
    assert content(path) == found


@pytest.mark.parametrize("later", ["UPDATE users SET age = 2.0 WHERE id = 2", "UPDATE users SET name = 'X'"])
def test_a_value_changed_since_to_one_that_sql_takes_for_equal(path: Path, later: str) -> None:
    effects = run(path, "UPDATE users SET age = 2, name = 'x' WHERE id = 2", "DELETE FROM users WHERE id <> 2")
    change(path, "DROP TRIGGER told", later)
    with pytest.raises(DriftError, match="users"):
        undo_changeset(path, effects.changeset)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM users").fetchone() == (1,)


def test_a_row_that_refers_to_what_would_go(path: Path) -> None:
    effects = run(path, "INSERT INTO users VALUES (9, 'new', 1)")
    change(path, "INSERT INTO owned VALUES (9, 9)")
    with pytest.raises(DriftError, match=r"1 rows .* would refer to rows that are not there"):
        undo_changeset(path, effects.changeset)
    assert ("new",) in sqlite3.connect(path).execute("SELECT name FROM users").fetchall()


@pytest.mark.parametrize("later", ["DROP TABLE notes", "ALTER TABLE notes RENAME TO old", "ALTER TABLE notes DROP at"])
def test_a_table_that_is_another_one_now(path: Path, later: str) -> None:
    effects = run(path, "INSERT INTO notes VALUES (1, 1)", "INSERT INTO users VALUES (9, 'new', 1)")
    if later.startswith("ALTER TABLE notes DROP"):
        later = "ALTER TABLE notes DROP COLUMN at"
        change(path, "DROP TRIGGER gone")
    change(path, later)
    with pytest.raises(DriftError, match="notes"):
        undo_changeset(path, effects.changeset)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM users").fetchone() == (4,)


def test_a_locked_database_says_so(path: Path) -> None:
    effects = run(path, "DELETE FROM notes")
    with subprocess.Popen([sys.executable, "-c", HOLDS_A_LOCK, path], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ObservationError, match="locked"):
            undo_changeset(path, effects.changeset, timeout=0.05)
        other.communicate("\n")
    undo_changeset(path, effects.changeset)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 ?#%41.db")
    try:
        make(path)
    except sqlite3.OperationalError as error:
        pytest.skip(f"no such name is possible here: {error}")
    before = content(path)
    effects = run(path, "DELETE FROM notes")
    assert effects.tables[0].database == str(path)
    copy = path.with_name(os.fsdecode(b"\xff"))
    snapshot(path, copy)
    assert compare_databases(copy, path).tables == ()
    undo_changeset(path, effects.changeset)
    assert compare_databases(copy, path).tables[0].inserted == 3
    assert content(path) == before


def test_what_is_no_changeset_or_no_database(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ObservationError):
        undo_changeset(path, b"nonsense")
    with pytest.raises(ObservationError, match="there is no database"):
        undo_changeset(tmp_path / "nothing.db", b"")
    assert not (tmp_path / "nothing.db").exists()
    assert undo_changeset(path, b"") == ()


VALUES = st.sampled_from(["NULL", "0", "1", "2", "1.0", "'a'", "'A'", "''", "x'00'", "1e300", "-9223372036854775808"])
KEYS = st.sampled_from(["1", "2", "3", "4", "5"])
STATEMENTS = st.one_of(
    st.builds("INSERT OR IGNORE INTO users VALUES ({}, {}, {})".format, KEYS, VALUES, VALUES),
    st.builds("INSERT OR REPLACE INTO users VALUES ({}, {}, {})".format, KEYS, VALUES, VALUES),
    st.builds("UPDATE users SET age = {} WHERE id >= {}".format, VALUES, KEYS),
    st.builds("UPDATE OR REPLACE users SET id = {} WHERE id = {}".format, KEYS, KEYS),
    st.builds("DELETE FROM users WHERE id = {}".format, KEYS),
    st.builds("INSERT OR REPLACE INTO pairs VALUES ({}, {}, {})".format, KEYS, KEYS, VALUES),
    st.builds("UPDATE pairs SET v = {}, b = b + 1 WHERE a = {}".format, VALUES, KEYS),
    st.builds("DELETE FROM pairs WHERE b = {}".format, KEYS),
    st.builds("INSERT INTO notes VALUES ({}, {})".format, VALUES, VALUES),
    st.builds("UPDATE notes SET text = {} WHERE at IS {}".format, VALUES, VALUES),
    st.builds("DELETE FROM notes WHERE rowid = {}".format, KEYS),
    st.builds("INSERT OR IGNORE INTO owned VALUES ({}, {})".format, KEYS, KEYS),
    st.builds("INSERT OR REPLACE INTO made (id, a) VALUES ({}, {})".format, KEYS, VALUES),
    st.builds("UPDATE made SET a = {} WHERE id < {}".format, VALUES, KEYS),
    st.sampled_from(["DELETE FROM notes", "DELETE FROM pairs", "DELETE FROM users", "SAVEPOINT s", "ROLLBACK TO s"]),
)


@settings(max_examples=30)
@given(statements=st.lists(STATEMENTS, min_size=1, max_size=12))
def test_any_statements(tmp_path_factory: pytest.TempPathFactory, statements: list[str]) -> None:
    """The changeset leads from the state before to the one after, and its inverse back."""
    folder = tmp_path_factory.mktemp("any")
    path, before = make(folder / "app.db"), folder / "before.db"
    shutil.copyfile(path, before)
    if "SAVEPOINT s" not in statements:
        statements = [statement for statement in statements if statement != "ROLLBACK TO s"]
    elif "ROLLBACK TO s" in statements:
        statements = ["SAVEPOINT s", *(statement for statement in statements if statement != "SAVEPOINT s")]
    effects = run(path, *statements)
    assert effects.unseen == ()
    assert not effects.schema_changed
    after = content(path)
    compared = compare_databases(before, path)
    assert (compared.tables, compared.unseen) == (effects.tables, ())
    forward = folder / "forward.db"
    shutil.copyfile(before, forward)
    _apply(forward, effects.changeset)
    assert content(forward) == after
    undo_changeset(path, effects.changeset)
    assert content(path) == content(before)
    undo_changeset(forward, compared.changeset)
    assert content(forward) == content(before)
    shutil.rmtree(folder)


def _apply(path: Path, changeset: bytes) -> None:
    import apsw

    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    apsw.Changeset.apply(changeset, db)
    db.close()
