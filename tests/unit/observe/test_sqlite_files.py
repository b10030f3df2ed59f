"""Databases as files: comparing two states, copying a live one, seeing that one is live. Nothing is written to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ObservationError
from hearth.observe._sqlite import DatabaseFiles, compare_databases, in_use, is_sqlite, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="who has a file open is known by /proc")
# Another process that has the database open, and does what it is told: SQL, one statement a line.
OTHER = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("SELECT * FROM sqlite_master").fetchall()
print(flush=True)
for line in sys.stdin:
    if line == "die\\n":
        os.kill(os.getpid(), 9)
    db.execute(line)
    print(flush=True)
"""


class Other:
    def __init__(self, path: Path) -> None:
        process = subprocess.Popen([sys.executable, "-c", OTHER, path], stdin=-1, stdout=-1, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        self._process: Any = process

    def do(self, *statements: str) -> None:
        for statement in statements:
            self._process.stdin.write(f"{statement}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline()

    def die(self) -> None:
        self._process.communicate("die\n")

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data folder ?#%"
    folder.mkdir()
    path = folder / "app.db"
    make(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    return path


@pytest.fixture
def other(path: Path) -> Iterator[Other]:
    other = Other(path)
    yield other
    other.close()


def make(path: Path, *statements: str) -> Path:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()
    return path


def state(folder: Path) -> dict[str, str]:
    return {entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in folder.iterdir() if entry.is_file()}


def rows(path: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT * FROM t").fetchall()
    db.close()
    return found


def compared(before: Path, after: Path) -> dict[str, tuple[int, int, int]]:
    tables = compare_databases(before, after).tables
    return {row.table: (row.inserted, row.updated, row.deleted) for row in tables}


class TestWhatIsOne:
    def test_by_its_first_bytes(self, path: Path, tmp_path: Path) -> None:
        assert is_sqlite(path)
        (tmp_path / "text").write_text("SQLite format 3, they said")
        (tmp_path / "empty").touch()
        for name in ("text", "empty", "nothing", "."):
            assert not is_sqlite(tmp_path / name)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no fifos here")
    def test_a_fifo_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert not is_sqlite(tmp_path / "fifo")


class TestInUse:
    def test_nobody(self, path: Path) -> None:
        assert not in_use(path)
        assert not in_use(path.with_name("nothing"))

    @LINUX
    def test_somebody_has_it_open(self, path: Path, other: Other) -> None:
        assert in_use(path)
        other.close()
        assert not in_use(path)

    @LINUX
    def test_a_lock_is_seen_by_users_who_may_not_look_into_the_process(self, path: Path, other: Other) -> None:
        from hearth.observe import _sqlite_files

        assert not _sqlite_files._is_locked(path.stat())
        other.do("BEGIN IMMEDIATE")
        assert _sqlite_files._is_locked(path.stat())

    def test_work_is_left(self, path: Path, other: Other) -> None:
        other.do("PRAGMA journal_mode = WAL", "INSERT INTO t VALUES (3, 'c')")
        other.die()
        assert in_use(path)

    def test_by_a_link_to_it(self, path: Path, other: Other, tmp_path: Path) -> None:
        other.do("PRAGMA journal_mode = WAL", "INSERT INTO t VALUES (3, 'c')")
        other.die()
        (tmp_path / "link").symlink_to(path)
        assert in_use(tmp_path / "link")


class TestSnapshot:
    @LINUX
    @pytest.mark.parametrize("mode", ["WAL", "DELETE"])
    def test_of_a_live_database(self, path: Path, other: Other, tmp_path: Path, mode: str) -> None:
        other.do(f"PRAGMA journal_mode = {mode}", "INSERT INTO t VALUES (3, 'c')")
        other.do("BEGIN", "INSERT INTO t VALUES (4, 'not committed')")
        content = {name: digest for name, digest in state(path.parent).items() if not name.endswith("-shm")}
        snapshot(path, tmp_path / "copy.db")
        after = {name: digest for name, digest in state(path.parent).items() if not name.endswith("-shm")}
        assert after == content
        assert rows(tmp_path / "copy.db") == [(1, "a"), (2, "b"), (3, "c")]
        assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("mode", ["WAL", "DELETE"])
    def test_of_one_that_nobody_has_open_leaves_nothing_beside_it(self, path: Path, tmp_path: Path, mode: str) -> None:
        make(path, f"PRAGMA journal_mode = {mode}")
        found = state(path.parent)
        snapshot(path, tmp_path / "copy.db")
        assert state(path.parent) == found
        assert rows(tmp_path / "copy.db") == rows(path)

    @pytest.mark.parametrize("mode", ["WAL", "DELETE"])
    def test_of_one_that_a_crash_has_left(self, path: Path, other: Other, tmp_path: Path, mode: str) -> None:
        other.do(f"PRAGMA journal_mode = {mode}", "PRAGMA cache_size = 1", "INSERT INTO t VALUES (3, 'c')")
        # More than the cache holds, so that pages that are not committed reach the file.
        big = "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 400) "
        other.do("BEGIN", f"{big}INSERT INTO t SELECT i, hex(randomblob(500)) FROM n")
        other.die()
        found = state(path.parent)
        assert len(found) > 1
        snapshot(path, tmp_path / "copy.db")
        assert state(path.parent) == found
        assert rows(tmp_path / "copy.db") == [(1, "a"), (2, "b"), (3, "c")]

    def test_what_is_there_is_not_written_over(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "copy.db").write_text("mine")
        with pytest.raises(ObservationError, match="is there already"):
            snapshot(path, tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text() == "mine"

    def test_of_what_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("x" * 5000)
        for name in ("text", "nothing"):
            with pytest.raises(ObservationError):
                snapshot(tmp_path / name, tmp_path / "copy.db")
        assert not (tmp_path / "copy.db").exists()

    @LINUX
    def test_of_one_that_stays_locked(self, path: Path, other: Other, tmp_path: Path) -> None:
        other.do("BEGIN EXCLUSIVE")
        with pytest.raises(ObservationError, match="locked"):
            snapshot(path, tmp_path / "copy.db", timeout=0.05)
        assert not (tmp_path / "copy.db").exists()


class TestCompare:
    def test_rows(self, path: Path, tmp_path: Path) -> None:
        before = tmp_path / "before.db"
        shutil.copyfile(path, before)
        make(path, "DELETE FROM t WHERE id = 1", "UPDATE t SET v = 'B'", "INSERT INTO t VALUES (3, 'c'), (4, 'd')")
        found = (state(tmp_path), state(path.parent))
        assert compared(before, path) == {"t": (2, 1, 1)}
        assert compared(path, before) == {"t": (1, 1, 2)}
        assert compared(path, path) == {}
        assert compare_databases(before, path, name="app").tables[0].database == "app"
        assert (state(tmp_path), state(path.parent)) == found

    @pytest.mark.parametrize("mode", ["WAL", "DELETE"])
    def test_files_as_a_crash_leaves_them(self, path: Path, other: Other, tmp_path: Path, mode: str) -> None:
        before = tmp_path / "before.db"
        shutil.copyfile(path, before)
        other.do(f"PRAGMA journal_mode = {mode}", "INSERT INTO t VALUES (3, 'c')", "BEGIN", "DELETE FROM t")
        other.die()
        found = state(path.parent)
        assert compared(before, path) == {"t": (1, 0, 0)}
        assert state(path.parent) == found

    def test_a_log_that_lies_elsewhere(self, path: Path, other: Other, tmp_path: Path) -> None:
        other.do("PRAGMA journal_mode = WAL", "PRAGMA wal_checkpoint", "INSERT INTO t VALUES (3, 'c')")
        shutil.copyfile(path, tmp_path / "lower.db")
        shutil.copyfile(f"{path}-wal", tmp_path / "upper-wal")
        other.die()
        lower = tmp_path / "lower.db"
        effects = compare_databases(lower, DatabaseFiles(lower, wal=tmp_path / "upper-wal"), name="x")
        assert [(row.table, row.inserted) for row in effects.tables] == [("t", 1)]

    def test_tables_that_come_and_go(self, path: Path, tmp_path: Path) -> None:
        before = tmp_path / "before.db"
        make(path, "CREATE TABLE old (a)", "INSERT INTO old VALUES (1), (1)", "CREATE TABLE c (k PRIMARY KEY, v)")
        shutil.copyfile(path, before)
        make(path, "DROP TABLE old", "CREATE TABLE new (a)", "INSERT INTO new VALUES (1)", "ALTER TABLE c ADD COLUMN w")
        make(path, "CREATE INDEX i ON t (v)", "PRAGMA user_version = 3", "DELETE FROM t")
        effects = compare_databases(before, path)
        assert [(row.table, row.inserted, row.updated, row.deleted) for row in effects.tables] == [
            ("new", 1, 0, 0),
            ("old", 0, 0, 2),
            ("t", 0, 0, 2),
        ]
        assert effects.schema_changed
        assert effects.unseen == (
            "the schema: CREATE INDEX i",
            "the schema: ALTER TABLE c",
            "the schema: CREATE TABLE new",
            "the schema: DROP TABLE old",
            "PRAGMA user_version is 3, and was 0",
            "rows of c: it has other columns than before",
        )

    def test_keys_that_sql_takes_for_equal_are_named(self, path: Path, tmp_path: Path) -> None:
        make(path, "CREATE TABLE k (k TEXT PRIMARY KEY COLLATE NOCASE NOT NULL)", "INSERT INTO k VALUES ('a'), ('b')")
        before = tmp_path / "before.db"
        shutil.copyfile(path, before)
        make(path, "UPDATE k SET k = 'A' WHERE k = 'a'")
        assert compare_databases(before, path).unseen == ("rows of k whose keys differ in case or type alone",)

    def test_what_cannot_be_compared_is_named(self, path: Path, tmp_path: Path) -> None:
        make(path, "CREATE TABLE k (k PRIMARY KEY, v)", "CREATE TABLE odd (_rowid_)", "CREATE TABLE plain (v)")
        make(path, "CREATE VIRTUAL TABLE docs USING fts5(body)", "INSERT INTO k VALUES (NULL, 1)")
        before = tmp_path / "before.db"
        shutil.copyfile(path, before)
        make(path, "INSERT INTO docs VALUES ('x')", "INSERT INTO plain VALUES (1)", "INSERT INTO k VALUES (1, 1)")
        effects = compare_databases(before, path)
        assert {row.table for row in effects.tables} == {"plain", "k"}
        assert set(effects.unseen) == {
            "rows of odd, which has no primary key and a column named _rowid_",
            "rows of k whose primary key is NULL",
            "rows of docs, a virtual table",
        }

    def test_what_is_no_database(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("x" * 5000)
        for wrong in (tmp_path / "text", tmp_path / "nothing"):
            for pair in ((wrong, path), (path, wrong)):
                with pytest.raises(ObservationError, match="cannot be compared"):
                    compare_databases(*pair)
