"""The recording driver: what a transaction's effects are before it commits, and that it behaves as `sqlite3` does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from hearth.observe._sqlite import connect_recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.observe._sqlite import RecordedConnection

SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INT);
CREATE TABLE notes (text, at);
CREATE TABLE tags (name TEXT PRIMARY KEY, n INT);
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
CREATE TABLE owned (id INTEGER PRIMARY KEY, user REFERENCES users ON DELETE CASCADE);
CREATE VIRTUAL TABLE docs USING fts5(body);
CREATE TRIGGER told AFTER UPDATE ON users BEGIN INSERT INTO log (what) VALUES (new.name); END;
INSERT INTO users VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 30);
INSERT INTO notes VALUES ('x', 1), ('x', 1);
INSERT INTO owned VALUES (1, 1), (2, 1), (3, 3);
"""

HOLDS_A_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print(flush=True)
input()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    db.close()
    return path


@pytest.fixture
def db(path: Path) -> Iterator[RecordedConnection]:
    db = connect_recorded(path, name="app.db")
    yield db
    db.close()


def counts(db: RecordedConnection, *statements: str) -> dict[str, tuple[int, int, int]]:
    db.execute("BEGIN IMMEDIATE")
    for statement in statements:
        db.execute(statement)
    return {row.table: (row.inserted, row.updated, row.deleted) for row in db.effects().tables}


def unseen(db: RecordedConnection, *statements: str) -> tuple[str, ...]:
    counts(db, *statements)
    return db.effects().unseen


class TestEffects:
    def test_rows_by_table_and_operation_before_the_commit(self, db: RecordedConnection, path: Path) -> None:
        found = counts(
            db,
            "INSERT INTO users VALUES (4, 'd', 1), (5, 'e', 1)",
            "UPDATE users SET age = age + 1 WHERE id < 3",
            "DELETE FROM users WHERE id = 3",
        )
        # The trigger told both updates.
        assert found == {"users": (2, 2, 1), "log": (2, 0, 0)}
        assert db.effects().unseen == ()
        assert {row.database for row in db.effects().tables} == {"app.db"}
        db.rollback()
        assert db.effects().tables == ()
        db.close()
        assert sqlite3.connect(path).execute("SELECT count(*), max(age) FROM users").fetchone() == (3, 30)

    def test_a_table_without_a_primary_key_is_seen_by_its_rowid(self, db: RecordedConnection) -> None:
        assert counts(db, "DELETE FROM notes WHERE rowid = 1", "INSERT INTO notes VALUES (1, 2)") == {
            "notes": (1, 0, 1)
        }
        assert db.effects().unseen == ()

    def test_what_foreign_keys_delete_is_seen(self, db: RecordedConnection) -> None:
        db.execute("PRAGMA foreign_keys = 1")
        assert counts(db, "DELETE FROM users WHERE id = 1") == {"users": (0, 0, 1), "owned": (0, 0, 2)}

    def test_a_table_is_emptied_row_by_row(self, db: RecordedConnection) -> None:
        assert counts(db, "DELETE FROM owned") == {"owned": (0, 0, 3)}

    def test_what_is_taken_back_within_the_transaction_is_nothing(self, db: RecordedConnection) -> None:
        assert counts(db, "SAVEPOINT s", "DELETE FROM users", "ROLLBACK TO s", "RELEASE s") == {}
        db.execute("UPDATE users SET age = 11 WHERE id = 1")
        db.execute("UPDATE users SET age = 10 WHERE id = 1")
        assert [row.table for row in db.effects().tables] == ["log"]

    def test_each_transaction_stands_for_itself(self, db: RecordedConnection) -> None:
        counts(db, "DELETE FROM owned")
        db.commit()
        assert counts(db, "INSERT INTO tags VALUES ('x', 1)") == {"tags": (1, 0, 0)}

    def test_a_transaction_that_sqlite_rolled_back_is_over(self, db: RecordedConnection) -> None:
        counts(db, "DELETE FROM owned")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT OR ROLLBACK INTO users VALUES (1, 'x', 1)")
        assert not db.in_transaction
        assert db.effects().tables == ()
        assert counts(db, "DELETE FROM owned WHERE id = 1") == {"owned": (0, 0, 1)}

    def test_temporary_tables_are_no_effect(self, db: RecordedConnection) -> None:
        assert counts(db, "CREATE TEMP TABLE t (a)", "INSERT INTO t VALUES (1)", "DROP TABLE t") == {}
        assert db.effects().unseen == ()
        assert not db.effects().schema_changed

    def test_reading_is_no_effect(self, db: RecordedConnection) -> None:
        db.execute("BEGIN")
        assert db.execute("SELECT count(*) FROM users, notes").fetchall() == [(6,)]
        assert db.effects() == type(db.effects())()


class TestUnseen:
    @pytest.mark.parametrize(
        "statement,reason",
        [
            ("CREATE TABLE new (a)", "the schema: CREATE TABLE new"),
            ("CREATE INDEX i ON users (age)", "the schema: CREATE INDEX i"),
            ("CREATE VIEW v AS SELECT 1", "the schema: CREATE VIEW v"),
            ("DROP TRIGGER told", "the schema: DROP TRIGGER told"),
            ("ALTER TABLE users ADD COLUMN x", "the schema: ALTER TABLE users"),
            ("CREATE VIRTUAL TABLE v USING fts5(x)", "the schema: CREATE VIRTUAL TABLE v"),
            ("INSERT INTO docs VALUES ('hello')", "rows of docs, a virtual table"),
            ("INSERT INTO tags VALUES (NULL, 1)", "rows of tags whose primary key is NULL"),
            ("UPDATE sqlite_sequence SET seq = 9", "rows of sqlite_sequence, a table of SQLite's own"),
            ("ANALYZE users", "ANALYZE users"),
            ("PRAGMA user_version = 7", "PRAGMA user_version is 7, and was 0"),
        ],
    )
    def test_it_is_named(self, db: RecordedConnection, statement: str, reason: str) -> None:
        assert reason in unseen(db, statement)
        assert db.effects().schema_changed == reason.startswith("the schema")

    def test_a_row_without_key_that_is_deleted(self, db: RecordedConnection) -> None:
        db.execute("INSERT INTO tags VALUES (NULL, 1)")
        assert unseen(db, "DELETE FROM tags") == ("rows of tags whose primary key is NULL",)

    def test_a_row_without_key_that_a_foreign_key_deletes(self, db: RecordedConnection) -> None:
        db.execute("CREATE TABLE mine (k TEXT PRIMARY KEY, u REFERENCES users ON DELETE CASCADE)")
        db.execute("INSERT INTO mine VALUES (NULL, 2)")
        db.execute("PRAGMA foreign_keys = 1")
        assert unseen(db, "DELETE FROM users WHERE id = 2") == ("rows of mine whose primary key is NULL",)

    def test_a_savepoint_across_a_change_of_the_schema(self, db: RecordedConnection) -> None:
        found = unseen(db, "SAVEPOINT s", "DELETE FROM owned", "CREATE INDEX i ON users (age)", "ROLLBACK TO s")
        assert "which rows were taken back to a savepoint: the schema was changed after it" in found

    def test_statistics_are_no_rows(self, db: RecordedConnection) -> None:
        db.execute("ANALYZE")
        assert counts(db, "INSERT INTO users VALUES (9, 'q', 1)", "ANALYZE") == {"users": (1, 0, 0)}
        assert not db.effects().schema_changed

    def test_a_column_that_hides_the_rowid(self, db: RecordedConnection) -> None:
        db.execute("CREATE TABLE odd (_rowid_, v)")
        assert unseen(db, "INSERT INTO odd VALUES (1, 2)") == (
            "rows of odd, which has no primary key and a column named _rowid_",
        )

    def test_a_migration_is_counted_across_its_changes_of_the_schema(self, db: RecordedConnection) -> None:
        found = counts(
            db,
            "DELETE FROM users WHERE id = 3",
            "ALTER TABLE users ADD COLUMN mail",
            "CREATE TABLE more (id INTEGER PRIMARY KEY)",
            "INSERT INTO more VALUES (1), (2)",
            "ALTER TABLE users DROP COLUMN age",
            "INSERT INTO users VALUES (9, 'z', NULL)",
            "DROP TABLE notes",
        )
        assert found == {"users": (1, 0, 1), "more": (2, 0, 0)}
        effects = db.effects()
        assert effects.schema_changed
        assert "the schema: DROP TABLE notes" in effects.unseen
        db.commit()

    def test_the_schema_is_not_written_as_rows(self, db: RecordedConnection) -> None:
        db.execute("PRAGMA writable_schema = 1")
        for statement in (
            "UPDATE sqlite_master SET sql = replace(sql, 'age INT', 'age TEXT') WHERE name = 'users'",
            "UPDATE sqlite_master SET rootpage = 5 - rootpage WHERE rootpage IN (2, 3)",
            "INSERT INTO docs_config VALUES ('pgsz', 1)",
        ):
            with pytest.raises(sqlite3.OperationalError, match="may not be modified"):
                db.execute(statement)

    def test_changes_of_the_schema_are_effects_by_name_and_compared_by_definition(self, db: RecordedConnection) -> None:
        def schema(*statements: str) -> dict[str, str]:
            counts(db, *statements)
            found = {row.table: row.definition for row in db.effects().schema}
            db.rollback()
            return found

        evil = "CREATE TRIGGER evil AFTER UPDATE ON users BEGIN DELETE FROM {}; END"
        first, again, other = (schema(evil.format(table)) for table in ("notes", "notes", "tags"))
        assert first == again
        assert list(first) == list(other) == ["schema:evil"]
        assert first != other
        assert list(schema("PRAGMA user_version = 7", "PRAGMA application_id = 9")) == [
            "schema:application_id",
            "schema:user_version",
        ]
        assert schema("PRAGMA user_version = 7") != schema("PRAGMA user_version = 8")
        assert list(schema("DROP TABLE notes", "CREATE INDEX i ON users (age)")) == ["schema:i", "schema:notes"]
        assert list(schema("CREATE VIRTUAL TABLE texts USING fts5(t)")) == ["schema:texts"]
        assert schema("CREATE TABLE a (x)", "DROP TABLE a", "UPDATE users SET age = 1") == {}
        counts(db, 'CREATE TABLE "schema:users" (x)', 'INSERT INTO "schema:users" VALUES (1)')
        assert [row.table for row in db.effects().tables] == ['"schema:users"']

    def test_effects_that_were_interrupted_are_not_taken_for_none(self, db: RecordedConnection) -> None:
        counts(db, "CREATE INDEX i ON notes (at)", "INSERT INTO notes VALUES (1, 1)")
        db.execute("INSERT INTO notes VALUES (2, 2)")
        db.set_progress_handler(lambda: True, 1)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            db.effects()
        db.set_progress_handler(None, 0)
        effects = db.effects()
        assert [(row.table, row.inserted) for row in effects.tables] == [("notes", 2)] or effects.unseen[-1].startswith(
            "which rows changed"
        )

    def test_another_file_cannot_be_attached(self, db: RecordedConnection, tmp_path: Path) -> None:
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            db.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        db.execute("BEGIN")
        with pytest.raises(sqlite3.OperationalError, match="cannot VACUUM from within a transaction"):
            db.execute("VACUUM INTO ?", (str(tmp_path / "other.db"),))
        assert not (tmp_path / "other.db").exists()


class TestAsPythonsModule:
    @pytest.mark.parametrize(
        "statement,parameters",
        [
            ("SELECT * FROM nothing", ()),
            ("selec", ()),
            ("INSERT INTO users VALUES (1, 'x', 1)", ()),
            ("INSERT INTO users (id) VALUES ('x')", ()),
            ("SELECT ?", ([1],)),
            ("SELECT ?", (1 << 70,)),
            ("SELECT ?", ()),
            ("SELECT 1; SELECT 2", ()),
            ("SELECT :a", {"b": 1}),
            ("INSERT INTO users (nothing) VALUES (1)", ()),
            ("SELECT CAST(x'ff' AS TEXT)", ()),
            ("COMMIT", ()),
        ],
    )
    def test_errors_have_the_same_class(
        self, db: RecordedConnection, path: Path, statement: str, parameters: Any
    ) -> None:
        other = sqlite3.connect(path)
        with pytest.raises((sqlite3.Error, OverflowError)) as wanted:
            other.execute(statement, parameters).fetchall()
        other.close()
        with pytest.raises(type(wanted.value)) as found:
            db.execute(statement, parameters).fetchall()
        assert type(found.value) is type(wanted.value)
        assert getattr(found.value, "sqlite_errorname", "") == getattr(wanted.value, "sqlite_errorname", "")

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT id, name AS n, 1.5, x'00', NULL FROM users",
            "SELECT 1 AS a WHERE 0",
            "INSERT INTO users VALUES (7, 'q', 1)",
            "-- why\nUPDATE users SET age = 1",
            "WITH w AS (SELECT 1) DELETE FROM users",
            "INSERT INTO users VALUES (8, 'r', 1) RETURNING id, name",
            "CREATE TABLE x (a)",
            "SELECT 1; -- that is all",
            "",
        ],
    )
    def test_rows_columns_and_counts_are_the_same(self, db: RecordedConnection, path: Path, statement: str) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        told: list[tuple[Any, ...]] = []
        for connection in (other, db):
            cursor: Any = connection.cursor()
            connection.execute("BEGIN")
            cursor.execute(statement)
            told.append((cursor.description, cursor.fetchmany(2), cursor.fetchone(), cursor.fetchall()))
            if not statement.endswith("name"):  # Python's versions differ in when they count with RETURNING
                told[-1] += (cursor.rowcount,)
            cursor.close()
            connection.rollback()
        other.close()
        assert told[0] == told[1]

    @pytest.mark.parametrize(
        "statement,values",
        [
            ("INSERT INTO users VALUES (?, ?, 1)", [(7, "q"), (8, "r"), (9, "s")]),
            ("INSERT INTO users VALUES (?, ?, 1) RETURNING id", [(7, "q"), (8, "r"), (9, "s")]),
            ("UPDATE users SET age = ? WHERE id < ?", [(5, 3), (6, 2)]),
            ("UPDATE users SET age = ?", []),
        ],
    )
    def test_many_sets_of_parameters(
        self, db: RecordedConnection, path: Path, statement: str, values: list[Any]
    ) -> None:
        told = []
        for connection in (sqlite3.connect(path, isolation_level=None), db):
            cursor: Any = connection.cursor()
            connection.execute("BEGIN")
            cursor.executemany(statement, values)
            # Python's versions differ in what they count with RETURNING.
            rows = None if "RETURNING" in statement else cursor.rowcount
            told.append((rows, cursor.fetchall(), connection.execute("SELECT * FROM users").fetchall()))
            connection.rollback()
        assert told[0] == told[1]
        db.execute("BEGIN")
        db.cursor().executemany(statement, values)
        assert [row.total for row in db.effects().tables if row.table == "users"] == ([len(values)] if values else [])

    def test_many_end_with_the_first_that_fails(self, db: RecordedConnection) -> None:
        db.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError):
            db.cursor().executemany("INSERT INTO tags VALUES (?, 1)", [("a",), ("a",), ("b",)])
        assert [(row.table, row.inserted) for row in db.effects().tables] == [("tags", 1)]

    def test_a_running_statement_is_interrupted(self, db: RecordedConnection) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        over = time.monotonic() + 0.05
        db.set_progress_handler(lambda: time.monotonic() > over, 1000)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            db.execute(endless)
        db.set_progress_handler(None, 0)
        timer = threading.Timer(0.05, db.interrupt)
        timer.start()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            db.execute(endless)
        timer.join()

    def test_another_process_lock_is_respected(self, db: RecordedConnection, path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", HOLDS_A_LOCK, path], stdin=-1, stdout=-1, text=True) as other:
            assert other.stdout is not None
            other.stdout.readline()
            db.execute("PRAGMA busy_timeout = 10")
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                db.execute("BEGIN IMMEDIATE")
            assert not db.in_transaction
            other.communicate("\n")
        assert counts(db, "DELETE FROM owned") == {"owned": (0, 0, 3)}

    def test_a_refused_commit_leaves_the_transaction_open(self, db: RecordedConnection) -> None:
        db.execute("PRAGMA foreign_keys = 1")
        db.execute("CREATE TABLE late (u REFERENCES users DEFERRABLE INITIALLY DEFERRED)")
        assert counts(db, "INSERT INTO late VALUES (99)") == {"late": (1, 0, 0)}
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            db.commit()
        assert db.in_transaction
        assert [row.table for row in db.effects().tables] == ["late"]

    def test_closing_takes_an_open_transaction_back(self, path: Path) -> None:
        db = connect_recorded(path)
        counts(db, "DELETE FROM owned")
        db.close()
        assert sqlite3.connect(path).execute("SELECT count(*) FROM owned").fetchone() == (3,)

    def test_sqlalchemy_takes_it(self, path: Path) -> None:
        engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)

        @sqlalchemy.event.listens_for(engine, "do_connect")
        def recorded(_: Any, __: Any, arguments: Any, options: Any) -> Any:
            return connect_recorded(*arguments, **options)

        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(
                sqlalchemy.text("UPDATE users SET age = :age WHERE name = :name"), {"age": 1, "name": "a"}
            )
            driver: Any = connection.connection.dbapi_connection
            (log, users) = driver.effects().tables
            assert (users.table, users.updated, users.database) == ("users", 1, str(path))
            assert (log.table, log.inserted) == ("log", 1)
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                connection.exec_driver_sql("INSERT INTO users VALUES (1, 'x', 1)")
            connection.commit()
        engine.dispose()

    def test_it_is_loaded_when_it_is_used(self) -> None:
        code = "import sys, hearth.observe._sqlite; sys.exit('apsw' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
