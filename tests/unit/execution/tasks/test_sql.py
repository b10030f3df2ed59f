from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import PlanError
from hearth.execution.tasks._new_file import NewFile
from hearth.execution.tasks._statements import is_empty, read_statement, split_sqlite
from hearth.execution.tasks.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.execution.tasks.conftest import Bench

    Query = Callable[[str], list[Any]]

URL = "sqlite:///app.db"


@pytest.fixture
def query(bench: Bench) -> Query:
    """Ask the database directly; it has a table `users` with three rows."""
    path = bench.folder / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, password TEXT)")
        connection.executemany("INSERT INTO users (name) VALUES (?)", [("ann",), ("bob",), ("cid",)])
    connection.close()

    def ask(sql: str) -> list[Any]:
        connection = sqlite3.connect(path)
        try:
            return [row[0] if len(row) == 1 else row for row in connection.execute(sql)]
        finally:
            connection.close()

    return ask


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Hold the write lock from another process: locks belong to a process, and the task's SQLite is another library."""
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN IMMEDIATE');"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n"
        try:
            yield holder.stdin.close
        finally:
            holder.stdin.close()


def effects(result: Any) -> list[str]:
    return [effect.description for effect in result.side_effects]


class TestOneTransaction:
    def test_a_change_is_committed_and_told(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "UPDATE users SET name = upper(name) WHERE id < 3"})
        assert (result.failed, result.error) == (False, "")
        assert query("SELECT name FROM users") == ["ANN", "BOB", "cid"]
        assert effects(result) == ["updated 2 rows in users"]
        effect = result.side_effects[0]
        assert (effect.category, effect.reversible) == ("DATA_MUTATION", False)
        assert effect.details == {
            "database": URL,
            "table": "users",
            "rows": 2,
            "inserted": 0,
            "updated": 2,
            "deleted": 0,
        }
        assert result.details["commit"] == "done"
        assert result.details["url"] == URL
        assert result.details["statements"] == [
            {"sql": "UPDATE users SET name = upper(name) WHERE id < 3", "table": "users", "rows": 2}
        ]

    def test_several_statements_are_one_transaction(self, bench: Bench, query: Query) -> None:
        script = """
            -- a comment; with a semicolon
            CREATE TABLE log (line TEXT);
            INSERT INTO log VALUES ('a;b'), ('c');
            DELETE FROM users WHERE name = 'bob';
            /* another; comment */
            CREATE TRIGGER t AFTER INSERT ON users BEGIN
                INSERT INTO log VALUES (new.name); DELETE FROM log WHERE line = 'a;b';
            END;
            ALTER TABLE users ADD COLUMN email TEXT
        """
        result = bench.run("sql", {"url": URL, "statement": script})
        assert not result.failed, result.error
        assert effects(result) == [
            "created table log",
            "created trigger t",
            "altered table users",
            "inserted 2 rows into log",
            "deleted 1 row from users",
        ]
        assert query("SELECT line FROM log") == ["a;b", "c"]

    @pytest.mark.parametrize(
        "bad",
        ["INSERT INTO users (name) VALUES (NULL)", "SELECT * FROM nowhere", "INSERT INTO", "CREATE TABLE log (x)"],
    )
    def test_a_failure_takes_everything_back_also_tables(self, bench: Bench, query: Query, bad: str) -> None:
        good = ["CREATE TABLE log (line TEXT)", "DELETE FROM users", "DROP TABLE users", "CREATE TABLE users (x)"]
        result = bench.run("sql", {"url": URL, "statements": [*good[:2], bad]})
        assert result.failed
        assert result.error.startswith("statement 3 of 3: ")
        assert result.error.endswith("; nothing was changed (rolled back)")
        assert result.side_effects == ()
        assert result.details["commit"] == "rolled back"
        assert len(result.details["statements"]) == 2
        assert query("SELECT count(*) FROM users") == [3]
        assert query("SELECT name FROM sqlite_master") == ["users"]

    def test_the_databases_own_message_is_given(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "UPDATE users SET id = 1"})
        assert result.error == "UNIQUE constraint failed: users.id; nothing was changed (rolled back)"

    def test_a_commit_that_is_refused_is_a_rollback(self, bench: Bench, query: Query) -> None:
        from sqlalchemy import create_engine, event, pool

        from hearth.execution.tasks._database import commit, message

        def prepare(connection: Any, _: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys = ON")

        posts = "CREATE TABLE posts (user INTEGER REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED)"
        bench.run("sql", {"url": URL, "statement": posts})
        engine = create_engine(f"sqlite:///{bench.folder}/app.db", poolclass=pool.NullPool)
        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        with engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO posts VALUES (98)")
            outcome, refusal = commit(connection)
        assert outcome == "rolled back"
        assert refusal is not None
        assert message(refusal) == "FOREIGN KEY constraint failed"
        assert query("SELECT user FROM posts") == []

    def test_a_commit_whose_outcome_is_unknown_fails_and_says_so(
        self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from sqlalchemy import Connection
        from sqlalchemy.exc import OperationalError

        def lost(connection: Connection) -> None:
            connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

        monkeypatch.setattr(Connection, "commit", lost)
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
        assert result.failed
        assert result.error.startswith("server closed the connection; whether the database has committed is unknown")
        assert result.details["commit"] == "unknown"
        assert result.side_effects == ()
        assert query("SELECT count(*) FROM users") == [0]

    @pytest.mark.parametrize("word", ["COMMIT", "BEGIN", "begin immediate", "ROLLBACK", "END", "/* x */ Rollback to a"])
    def test_transactions_are_not_the_plans_business(self, bench: Bench, query: Query, word: str) -> None:
        result = bench.run("sql", {"url": URL, "statement": f"DELETE FROM users; {word}; SELECT 1"})
        assert "is not possible here: the statements of a step are one transaction" in result.error
        assert result.details["commit"] == "not begun"
        assert query("SELECT count(*) FROM users") == [3]

    def test_other_files_cannot_be_attached(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "ATTACH 'other.db' AS other"})
        assert "give each database a step of its own" in result.error
        assert not list(bench.folder.glob("other*"))
        assert query("SELECT count(*) FROM users") == [3]

    def test_savepoints_are_possible(self, bench: Bench, query: Query) -> None:
        statement = "SAVEPOINT a; DELETE FROM users WHERE id = 1; RELEASE a"
        assert not bench.run("sql", {"url": URL, "statement": statement}).failed
        assert query("SELECT count(*) FROM users") == [2]


class TestEffects:
    def test_reading_is_no_effect(self, bench: Bench, query: Query) -> None:
        result = bench.run(
            "sql",
            {"url": URL, "statements": ["SELECT 1", "WITH x AS (SELECT 1) SELECT * FROM x", "PRAGMA user_version"]},
        )
        assert result.side_effects == ()

    def test_a_change_of_no_row_is_no_effect_but_is_told(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users WHERE id = 99"})
        assert result.side_effects == ()
        assert result.details["statements"][0]["rows"] == 0

    def test_rows_changed_by_triggers_and_foreign_keys_are_told(self, bench: Bench, query: Query) -> None:
        setup = """
            CREATE TABLE log (x);
            CREATE TRIGGER t AFTER DELETE ON users BEGIN INSERT INTO log VALUES (old.id), (old.id); END;
        """
        bench.run("sql", {"url": URL, "statement": setup})
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users WHERE id < 3"})
        assert effects(result) == ["inserted 4 rows into log", "deleted 2 rows from users"]
        assert query("SELECT count(*) FROM log") == [4]

    def test_returning_counts_the_rows(self, bench: Bench, query: Query) -> None:
        result = bench.run(
            "sql", {"url": URL, "statement": "INSERT INTO users (name) VALUES ('d'), ('e') RETURNING id, name"}
        )
        assert effects(result) == ["inserted 2 rows into users"]
        assert result.details["statements"][0]["result"] == [{"id": 4, "name": "d"}, {"id": 5, "name": "e"}]
        assert query("SELECT count(*) FROM users") == [5]

    def test_a_change_within_a_with_is_seen(self, bench: Bench, query: Query) -> None:
        statement = "WITH x AS (SELECT 1 AS id) DELETE FROM users WHERE id IN (SELECT id FROM x)"
        assert effects(bench.run("sql", {"url": URL, "statement": statement})) == ["deleted 1 row from users"]

    def test_many_statements_are_told_by_table(self, bench: Bench, query: Query) -> None:
        (bench.folder / "load.sql").write_text(
            "".join(f"INSERT INTO users (name) VALUES ('u{number}');\n" for number in range(500))
            + "DELETE FROM users WHERE id = 1;"
        )
        result = bench.run("sql", {"url": URL, "file": "load.sql"})
        assert effects(result) == ["inserted 500 and deleted 1 row in users"]
        assert len(result.details["statements"]) == 50
        assert result.details["statements_before"] == 451
        assert query("SELECT count(*) FROM users") == [502]

    def test_a_new_database_is_an_effect(self, bench: Bench) -> None:
        result = bench.run("sql", {"url": "sqlite:///new.db", "statement": "CREATE TABLE a (x)", "create": True})
        assert effects(result) == [f"created the database {bench.folder / 'new.db'}", "created table a"]
        assert result.side_effects[0].category == "FILE_SYSTEM"

    def test_a_new_database_that_comes_to_nothing_is_taken_away_again(self, bench: Bench) -> None:
        for wrong in ({"statement": "CREATE TABLE a (x)", "expect_rows": 5}, {"statement": "CREATE nonsense"}):
            result = bench.run("sql", {"url": "sqlite:///new.db", "create": True, **wrong})
            assert result.error.endswith("; nothing was changed (rolled back)")
            assert result.details["commit"] == "rolled back"
            assert result.details["created_and_removed"] == str(bench.folder / "new.db")
            assert effects(result) == []
            assert not list(bench.folder.iterdir())

    def test_a_new_database_that_is_not_surely_empty_and_ours_is_told(self, bench: Bench) -> None:
        """A link to nowhere: the file is made at its end, by the driver, and could be somebody else's."""
        (bench.folder / "link.db").symlink_to("real.db")
        params = {"url": "sqlite:///link.db", "create": True, "statement": "CREATE TABLE a (x)", "expect_rows": 5}
        result = bench.run("sql", params)
        path = str(bench.folder / "link.db")
        assert result.error.endswith(
            f"; the database file {path} was made, and stays; nothing else was changed (rolled back)"
        )
        assert effects(result) == [f"created the database {path}"]
        assert result.side_effects[0].category == "FILE_SYSTEM"
        assert "created_and_removed" not in result.details
        assert (bench.folder / "real.db").read_bytes() == b""

    def test_what_somebody_else_wrote_meanwhile_is_not_taken_away(self, bench: Bench, tmp_path: Path) -> None:
        path = tmp_path / "new.db"
        new = NewFile(path)
        new.make()
        path.write_bytes(b"not empty any more")
        new.take_away()
        assert (path.read_bytes(), new.removed, new.there) == (b"not empty any more", False, True)
        path.unlink()
        other = NewFile(path)
        other.make()
        (tmp_path / "theirs").touch()
        (tmp_path / "theirs").replace(path)
        other.take_away()
        assert (path.exists(), other.removed) == (True, False)

    def test_a_new_database_that_cannot_be_opened_leaves_nothing(self, bench: Bench) -> None:
        bench.cancellation.request("enough")
        result = bench.run("sql", {"url": "sqlite:///new.db", "statement": "CREATE TABLE a (x)", "create": True})
        assert result.failed
        assert effects(result) == []
        assert not list(bench.folder.iterdir())

    def test_setting_a_pragma_is_an_effect(self, bench: Bench, query: Query) -> None:
        assert effects(bench.run("sql", {"url": URL, "statement": "PRAGMA user_version = 7"})) == ["ran PRAGMA"]
        assert query("PRAGMA user_version") == [7]


class TestQueries:
    def test_rows_come_with_their_columns(self, bench: Bench, query: Query) -> None:
        statement = "SELECT id, name, NULL AS missing, 1.5 AS real, x'0102' AS blob FROM users LIMIT 1"
        told = bench.run("sql", {"url": URL, "statement": statement}).details["statements"][0]
        assert told["columns"] == ["id", "name", "missing", "real", "blob"]
        assert told["result"] == [{"id": 1, "name": "ann", "missing": None, "real": 1.5, "blob": "<2 bytes>"}]
        assert told["rows"] == 1

    def test_columns_of_the_same_name_are_all_there(self, bench: Bench, query: Query) -> None:
        told = bench.run("sql", {"url": URL, "statement": "SELECT 1 AS a, 2 AS a"}).details["statements"][0]
        assert told["result"] == [{"a": 1, "a (2)": 2}]

    def test_large_results_are_bounded_but_counted(self, bench: Bench, query: Query) -> None:
        numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000) "
        told = bench.run("sql", {"url": URL, "statement": numbers + "SELECT x FROM n"}).details["statements"][0]
        assert (told["rows"], len(told["result"]), told["result_truncated"]) == (5000, 100, True)
        wide = bench.run("sql", {"url": URL, "statement": numbers + "SELECT hex(zeroblob(5000)) AS y FROM n LIMIT 99"})
        told = wide.details["statements"][0]
        assert told["rows"] == 99
        assert len(str(told["result"])) < 20_000
        assert told["result"][0]["y"] == "0" * 500 + " …"


class TestExpectRows:
    @pytest.mark.parametrize(
        "statement, expected, error",
        [
            ("DELETE FROM users", 3, ""),
            ("DELETE FROM users", 2, "the last statement touched 3 rows, expected 2"),
            ("SELECT * FROM users", 3, ""),
            ("DELETE FROM users WHERE id = 9", 0, ""),
            ("DELETE FROM users", {"min": 1}, ""),
            ("DELETE FROM users", {"max": 2}, "the last statement touched 3 rows, expected 0 to 2"),
            ("DELETE FROM users WHERE id = 9", {"min": 1}, "the last statement touched 0 rows, expected at least 1"),
            ("SELECT 1; CREATE TABLE x (y)", 0, "the last statement touched an unknown number of rows, expected 0"),
        ],
    )
    def test_another_number_takes_everything_back(
        self, bench: Bench, query: Query, statement: str, expected: object, error: str
    ) -> None:
        result = bench.run("sql", {"url": URL, "statement": statement, "expect_rows": expected})
        assert result.error == (error and f"{error}; nothing was changed (rolled back)")
        if error:
            assert query("SELECT count(*) FROM users") == [3]


class TestParameters:
    def test_values_are_bound_not_pasted(self, bench: Bench, query: Query) -> None:
        params = {"name": "x'; DROP TABLE users; --", "id": 2}
        bench.run(
            "sql", {"url": URL, "statement": "UPDATE users SET name = :name WHERE id = :id", "parameters": params}
        )
        assert query("SELECT name FROM users WHERE id = 2") == ["x'; DROP TABLE users; --"]

    def test_a_list_executes_the_statement_for_each(self, bench: Bench, query: Query) -> None:
        rows = [{"name": f"n{number}"} for number in range(5)]
        result = bench.run(
            "sql", {"url": URL, "statement": "INSERT INTO users (name) VALUES (:name)", "parameters": rows}
        )
        assert effects(result) == ["inserted 5 rows into users"]
        assert query("SELECT count(*) FROM users") == [8]

    def test_several_statements_share_them(self, bench: Bench, query: Query) -> None:
        statement = "DELETE FROM users WHERE id = :a; SELECT 'plain \\:b' AS x WHERE :c; UPDATE users SET name = :b"
        result = bench.run("sql", {"url": URL, "statement": statement, "parameters": {"a": 1, "b": "z", "c": 1}})
        assert not result.failed, result.error
        assert query("SELECT name FROM users") == ["z", "z"]
        assert result.details["statements"][1]["result"] == [{"x": "plain :b"}]

    @pytest.mark.parametrize(
        "statement, parameters, error",
        [
            ("SELECT :a", {"b": 1}, "required for bind parameter 'a'"),
            ("SELECT 1", {"b": 1}, "no statement has the parameter :b"),
            ("SELECT :a", {"a": [1, 2]}, "type 'list' is not supported"),
            ("SELECT :a; SELECT 2", [{"a": 1}], "needs exactly one statement"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, bench: Bench, query: Query, statement: str, parameters: object, error: str
    ) -> None:
        result = bench.run("sql", {"url": URL, "statement": statement, "parameters": parameters})
        assert result.failed
        assert error in result.error

    def test_without_parameters_colons_and_percents_are_plain(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "SELECT ':x 12:30 100%' AS t"})
        assert result.details["statements"][0]["result"] == [{"t": ":x 12:30 100%"}]


class TestTheDatabase:
    def test_a_file_that_is_not_there_is_not_made(self, bench: Bench) -> None:
        result = bench.run("sql", {"url": "sqlite:///none.db", "statement": "CREATE TABLE a (x)"})
        assert (
            result.error == f"there is no database {bench.folder / 'none.db'}; say `create: true` if it is to be made"
        )
        assert not (bench.folder / "none.db").exists()

    def test_a_folder_that_is_not_there(self, bench: Bench) -> None:
        result = bench.run("sql", {"url": "sqlite:///no/none.db", "statement": "SELECT 1", "create": True})
        assert "there is no folder" in result.error

    def test_relative_paths_start_at_cwd(self, bench: Bench) -> None:
        (bench.folder / "data").mkdir()
        bench.run("sql", {"url": "sqlite:///a.db", "statement": "CREATE TABLE a (x)", "create": True}, cwd="data")
        assert (bench.folder / "data" / "a.db").is_file()

    def test_sqlites_own_urls(self, bench: Bench, query: Query) -> None:
        read_only = "sqlite:///file:app.db?mode=ro&uri=true"
        assert (
            bench.run("sql", {"url": read_only, "statement": "SELECT count(*) FROM users"}).details["statements"][0][
                "rows"
            ]
            == 1
        )
        assert "readonly" in bench.run("sql", {"url": read_only, "statement": "DELETE FROM users"}).error

    def test_in_memory(self, bench: Bench) -> None:
        assert not bench.run(
            "sql", {"url": "sqlite://", "statement": "CREATE TABLE a (x); INSERT INTO a VALUES (1)"}
        ).failed

    @pytest.mark.parametrize(
        "url, error",
        [
            ("no url", "the database URL cannot be read"),
            ("nosuchdb://h/d", "the database URL cannot be used"),
            ("oracle+oracledb://h/d", "the driver for oracle+oracledb is not installed here"),
            ("sqlite:///plain.txt", "file is not a database"),
        ],
    )
    def test_urls_that_lead_nowhere(self, bench: Bench, url: str, error: str) -> None:
        (bench.folder / "plain.txt").write_text("this is no database, it is a text of some length\n" * 10)
        result = bench.run("sql", {"url": url, "statement": "SELECT 1 FROM x"})
        assert result.failed
        assert error in result.error

    def test_a_file_of_sql_comes_from_the_private_copy(self, bench: Bench, query: Query) -> None:
        (bench.folder / "change.sql").write_bytes(b"\xef\xbb\xbfDELETE FROM users;\n")
        plan = bench.plan({"url": URL, "file": "change.sql"}, task="sql")
        assert list(plan.inputs) == ["change.sql"]
        assert effects(bench.run("sql", {"url": URL, "file": "change.sql"})) == ["deleted 3 rows from users"]

    @pytest.mark.parametrize(
        "content, error",
        [(b"-- nothing\n;;", "no statement"), (b"SELECT '\xff'", "not UTF-8"), (b"SELECT '\0;';", "cannot be split")],
    )
    def test_files_that_are_no_sql(self, bench: Bench, query: Query, content: bytes, error: str) -> None:
        (bench.folder / "bad.sql").write_bytes(content)
        assert error in bench.run("sql", {"url": URL, "file": "bad.sql"}).error


class TestTimeAndLocks:
    ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

    def test_a_timeout_interrupts_and_takes_back(self, bench: Bench, query: Query) -> None:
        started = time.monotonic()
        result = bench.run("sql", {"url": URL, "statement": f"DELETE FROM users; {self.ENDLESS}"}, timeout="200ms")
        assert result.error == "timed out after 0.2 s; nothing was changed (rolled back)"
        assert time.monotonic() - started < 2
        assert query("SELECT count(*) FROM users") == [3]

    def test_a_cancellation_interrupts_too(self, bench: Bench, query: Query) -> None:
        timer = threading.Timer(0.2, lambda: bench.cancellation.request("LOCKDOWN", immediate=True))
        timer.start()
        result = bench.run("sql", {"url": URL, "statement": f"DELETE FROM users; {self.ENDLESS}"})
        timer.join()
        assert result.error == "stopped: LOCKDOWN; nothing was changed (rolled back)"

    def test_a_lock_is_waited_for(self, bench: Bench, query: Query) -> None:
        with locked(bench.folder / "app.db") as release:
            timer = threading.Timer(0.2, release)
            timer.start()
            result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
            timer.join()
        assert not result.failed, result.error
        assert result.details["duration_us"] > 100_000

    def test_waiting_for_a_lock_ends_with_the_timeout(self, bench: Bench, query: Query) -> None:
        with locked(bench.folder / "app.db"):
            started = time.monotonic()
            result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"}, timeout="200ms")
            assert time.monotonic() - started < 2
        assert result.failed
        assert "timed out" in result.error
        assert query("SELECT count(*) FROM users") == [3]

    def test_readers_do_not_need_the_write_lock(self, bench: Bench, query: Query) -> None:
        with locked(bench.folder / "app.db"):
            result = bench.run("sql", {"url": URL, "statement": "SELECT count(*) FROM users"}, timeout="2s")
        assert not result.failed, result.error


class TestSecrets:
    def test_no_secret_is_recorded(self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEW_PASSWORD", "n3w-passw0rd")
        reference = {"secret": "env:NEW_PASSWORD"}
        bench.run("sql", {"url": URL, "statement": "UPDATE users SET password = :p", "parameters": {"p": reference}})
        assert query("SELECT DISTINCT password FROM users") == ["n3w-passw0rd"]
        bench.run("sql", {"url": URL, "statement": "SELECT name, password AS p FROM users"})
        bench.run(
            "sql", {"url": URL, "statement": "SELECT * FROM nowhere WHERE x = :p", "parameters": {"p": reference}}
        )
        bench.run("sql", {"url": URL, "statement": "SELECT :p", "parameters": {"q": reference}})
        bench.run("sql", {"url": URL, "statement": "CREATE TABLE [n3w-passw0rd] (x)"})
        bench.assert_nowhere("n3w-passw0rd")

    @pytest.mark.parametrize("form", ["SELECT '{secret: env:X}'", {"secret": "env:X"}])
    def test_a_secret_is_never_made_code(self, bench: Bench, form: object) -> None:
        for key, value in (("statement", form), ("statements", ["SELECT 1", form])):
            with pytest.raises(PlanError, match=f"the secret env:X cannot stand in {key}.*parameters"):
                bench.run("sql", {"url": URL, key: value})

    def test_no_part_of_a_secret_is_recorded(self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is long is cut, after secrets are out."""
        secret = "n3w-passw0rd"
        monkeypatch.setenv("NEW_PASSWORD", secret)
        parameters = {"p": {"secret": "env:NEW_PASSWORD"}}
        long = {"url": URL, "statement": f"SELECT '{'x ' * 247}' || :p AS value", "parameters": parameters}
        assert not bench.run("sql", long).failed
        failing = {**long, "statement": f"SELECT {'x' * 970} || :p"}
        monkeypatch.setattr("hearth.execution.tasks._database.message", lambda _: "y " * 497 + secret)
        assert len(bench.run("sql", failing).error) > 900
        bench.assert_nowhere("n3w-")

    def test_a_password_that_only_its_column_tells(self, bench: Bench, query: Query) -> None:
        with sqlite3.connect(bench.folder / "app.db") as connection:
            connection.execute("UPDATE users SET password = 'blue sky at noon'")
        connection.close()
        bench.run("sql", {"url": URL, "statement": "SELECT name, password FROM users"})
        bench.assert_nowhere("blue sky at noon")

    def test_the_whole_url_may_be_a_secret(self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", URL)
        params = {"url": {"secret": "env:DATABASE_URL"}, "statement": "DELETE FROM users"}
        assert (SQL.targets(params), SQL.summary(params)) == (("sql:***",), "DELETE FROM users on ***")
        assert not bench.run("sql", params).failed
        assert query("SELECT count(*) FROM users") == [0]

    def test_no_password_of_the_url(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGPASS", "p@ss/w:rd")
        params = {
            "url": "postgresql://app:{secret: env:PGPASS}@127.0.0.1:1/x?sslpassword=tops3cret",
            "statement": "SELECT 1",
        }
        assert SQL.targets(params) == ("sql:postgresql://app:***@127.0.0.1:1/x?sslpassword=***",)
        assert SQL.summary(params) == "SELECT 1 on postgresql://app:***@127.0.0.1:1/x?sslpassword=***"
        result = bench.run("sql", params)
        assert result.failed
        committed = r"\[redacted:[\w-]{43}\]"
        shown = rf"postgresql://app:{committed}@127\.0\.0\.1:1/x\?sslpassword={committed}"
        assert re.fullmatch(shown, result.details["url"])
        bench.assert_nowhere("p@ss/w:rd", "p%40ss%2Fw%3Ard", "tops3cret")


class TestStatements:
    @pytest.mark.parametrize(
        "text, statements",
        [
            ("", []),
            (";;  ;", []),
            ("-- only a comment", []),
            ("SELECT 1", ["SELECT 1"]),
            ("SELECT 1; SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
            ("SELECT ';'; SELECT \"a;b\"; SELECT [c;d]", ["SELECT ';';", 'SELECT "a;b";', "SELECT [c;d]"]),
            ("SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;';", "SELECT 2"]),
            ("SELECT 1 -- a;b\n; SELECT /* ; */ 2", ["SELECT 1 -- a;b\n;", "SELECT /* ; */ 2"]),
            ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END; SELECT 3",
             ["CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;", "SELECT 3"]),
        ],
    )  # fmt: skip
    def test_splitting(self, text: str, statements: list[str]) -> None:
        assert split_sqlite(text) == statements

    @pytest.mark.parametrize(
        "text, verb, kind, table",
        [
            ("SELECT 1", "SELECT", "", ""),
            ("insert or replace into a.b values (1)", "INSERT", "insert", "a.b"),
            ('REPLACE INTO "my table" VALUES (1)', "REPLACE", "insert", '"my table"'),
            ("UPDATE OR IGNORE users SET x = 1", "UPDATE", "update", "users"),
            ("UPDATE ONLY public . users SET x = 1", "UPDATE", "update", "public.users"),
            ("DELETE FROM users", "DELETE", "delete", "users"),
            ("-- DELETE FROM a\nUPDATE b SET c = 'DELETE FROM d'", "UPDATE", "update", "b"),
            ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "WITH", "insert", "t"),
            ("WITH x AS (SELECT 'DELETE FROM y') SELECT * FROM x", "WITH", "", ""),
            ("WITH x AS (SELECT 1) SELECT * INTO t FROM x", "WITH", "define", "table t"),
            ("SELECT * INTO UNLOGGED TABLE a.t FROM x", "SELECT", "define", "table a.t"),
            ('SELECT ")" || (SELECT 1)  INTO "a  (b" FROM x', "SELECT", "define", 'table "a  (b"'),
            ("SELECT 1 INTO OUTFILE '/x'", "SELECT", "other", ""),
            ("SELECT 1 INTO @x", "SELECT", "", ""),
            ("SELECT * FROM t FOR\n  NO KEY  UPDATE OF t", "SELECT", "", ""),
            ("WITH x AS (SELECT 1) SELECT * FROM t FOR NO KEY\n UPDATE OF t", "WITH", "", ""),
            (
                "WITH x AS (SELECT 1) MERGE INTO t USING x ON 1 WHEN MATCHED THEN  UPDATE SET y = 1",
                "WITH",
                "merge",
                "t",
            ),
            ("EXPLAIN DELETE FROM t", "EXPLAIN", "", ""),
            ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN", "", ""),
            ("explain verbose analyse delete from t", "EXPLAIN", "other", "t"),
            ("EXPLAIN (COSTS off, ANALYZE) WITH x AS (DELETE FROM t) SELECT 1", "EXPLAIN", "other", ""),
            ("CREATE TEMP TABLE IF NOT EXISTS t (x)", "CREATE", "define", "table t"),
            ("CREATE UNIQUE INDEX i ON t (x)", "CREATE", "define", "index i"),
            ("DROP VIEW IF EXISTS v", "DROP", "define", "view v"),
            ("ALTER TABLE t ADD COLUMN x", "ALTER", "define", "table t"),
            ("TRUNCATE TABLE t", "TRUNCATE", "truncate", "t"),
            ("MERGE INTO t USING s ON 1", "MERGE", "merge", "t"),
            ("PRAGMA user_version", "PRAGMA", "", ""),
            ("PRAGMA user_version = 3", "PRAGMA", "other", ""),
            ("GRANT ALL ON t TO u", "GRANT", "other", ""),
            ("VACUUM", "VACUUM", "other", ""),
            ("", "", "other", ""),
        ],
    )
    def test_reading(self, text: str, verb: str, kind: str, table: str) -> None:
        statement = read_statement(text)
        assert (statement.verb, statement.kind, statement.table, statement.refused) == (verb, kind, table, "")
        assert statement.inner == ()

    @pytest.mark.parametrize(
        "text, kind, inner",
        [
            ("WITH x AS (DELETE FROM a RETURNING *) SELECT count(*) FROM x", "", ["delete a"]),
            ("WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x", "insert", ["delete a"]),
            (
                "WITH x AS (UPDATE a SET y = (SELECT 1)), z AS (INSERT INTO b VALUES (1)) DELETE FROM a",
                "delete",
                ["update a", "insert b"],
            ),
            ("WITH x AS (INSERT INTO b VALUES (1)) INSERT INTO b VALUES (2)", "insert", ["insert b"]),
        ],
    )
    def test_changes_within_a_with(self, text: str, kind: str, inner: list[str]) -> None:
        statement = read_statement(text)
        assert (statement.kind, [f"{each.kind} {each.table}" for each in statement.inner]) == (kind, inner)

    @pytest.mark.parametrize(
        "text", ["PREPARE\nTRANSACTION 'x'", "copy t (a, b) from stdin", "COPY (SELECT ')' FROM t) TO\n STDOUT", "end"]
    )
    def test_what_is_not_possible(self, text: str) -> None:
        assert "is not possible here" in read_statement(text).refused

    @pytest.mark.parametrize(
        "text", ["PREPARE x AS SELECT 1", "COPY t FROM '/x' -- FROM STDIN", "COPY stdin FROM '/x'"]
    )
    def test_what_is_possible(self, text: str) -> None:
        assert read_statement(text).refused == ""

    @pytest.mark.parametrize("text", ["", " ;\n; ", "-- x", "/* a */;"])
    def test_nothing_to_do(self, bench: Bench, query: Query, text: str) -> None:
        assert is_empty(text)
        if text:
            result = bench.run("sql", {"url": URL, "statement": text})
            assert (result.error, result.details["commit"]) == ("there is no statement in the SQL", "not begun")


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        "params, summary, target",
        [
            ({"url": URL, "statement": "DELETE FROM a"}, "DELETE FROM a on sqlite:///app.db", "sql:sqlite:///app.db"),
            (
                {"url": URL, "statements": ["SELECT 1", "SELECT 2"]},
                "SELECT 1 … on sqlite:///app.db",
                "sql:sqlite:///app.db",
            ),
            (
                {"url": "mysql://u:p@h:3/d", "file": "a.sql"},
                "file a.sql on mysql://u:***@h:3/d",
                "sql:mysql://u:***@h:3/d",
            ),
        ],
    )
    def test_summary_and_target(self, params: Any, summary: str, target: str) -> None:
        assert (SQL.summary(params), SQL.targets(params)) == (summary, (target,))

    @pytest.mark.parametrize(
        "params",
        [
            {"statement": "SELECT 1"},
            {"url": URL},
            {"url": URL, "statement": "a", "file": "b"},
            {"url": URL, "statements": []},
            {"url": URL, "statement": "a", "expect_rows": -1},
            {"url": URL, "statement": "a", "expect_rows": {}},
            {"url": URL, "statement": "a", "parameters": [1]},
        ],
    )
    def test_what_is_wrong_is_refused_before_anything_runs(self, bench: Bench, params: Any) -> None:
        with pytest.raises(PlanError):
            bench.plan(params, task="sql")
