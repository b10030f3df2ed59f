"""The sql task on a real PostgreSQL, where one can be started."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from hearth.errors import TaskError
from tests.postgresql import PASSWORD, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.execution.tasks.conftest import Bench

ELSEWHERE = "what functions do outside of this database (other servers, files, notifications)"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server's URL without the password."""
    with running_server() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    return server.replace("postgres@", f"postgres:{quote(PASSWORD)}@")


@pytest.fixture(autouse=True)
def table(bench: Bench, url: str) -> None:
    statements = [
        "DROP TABLE IF EXISTS users",
        "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)",
        "INSERT INTO users (name) VALUES ('a%b :c'), ('b')",
    ]
    result = bench.run("sql", {"url": url, "statements": statements})
    assert not result.failed, result.error
    assert effects(result)[1:] == ["created table users", "inserted 2 rows into users"]
    assert "the sequence users_id_seq" in result.unseen


def effects(result: Any) -> list[str]:
    return [effect.description for effect in result.side_effects]


def count(bench: Bench, url: str) -> int:
    told = bench.run("sql", {"url": url, "statement": "SELECT count(*) AS n FROM users"}).details["statements"][0]
    return int(told["result"][0]["n"])


def test_changes_are_committed_and_counted(bench: Bench, url: str) -> None:
    result = bench.run(
        "sql",
        {
            "url": url,
            "statement": "UPDATE users SET name = :n WHERE id = :i RETURNING name",
            "parameters": {"n": "100%", "i": 1},
        },
    )
    assert effects(result) == ["updated 1 row in users"]
    assert result.details["statements"][0]["result"] == [{"name": "100%"}]
    many = {"url": url, "statement": "INSERT INTO users (name) VALUES (:n)", "parameters": [{"n": "x"}, {"n": "y"}]}
    assert effects(bench.run("sql", many)) == ["inserted 2 rows into users"]
    assert count(bench, url) == 4


def test_a_failure_takes_everything_back(bench: Bench, url: str) -> None:
    statements = ["DELETE FROM users", "CREATE TABLE other (x int)", "INSERT INTO users (name) VALUES (NULL)"]
    result = bench.run("sql", {"url": url, "statements": statements})
    assert result.error.startswith("statement 3 of 3: null value in column")
    assert count(bench, url) == 2


def test_a_commit_that_the_server_refuses_is_a_rollback(bench: Bench, url: str) -> None:
    statements = [
        "CREATE TABLE posts (author int REFERENCES users DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO posts VALUES (99)",
    ]
    result = bench.run("sql", {"url": url, "statements": statements})
    assert "violates foreign key constraint" in result.error
    assert result.details["commit"] == "rolled back"
    assert result.side_effects == ()


@pytest.mark.parametrize("more", [{}, {"parameters": {}}])
@pytest.mark.parametrize(
    "text", ["SELECT 1; DELETE FROM users", "DELETE FROM users; COMMIT", "DELETE FROM users; COMMIT; BEGIN; SELECT 1/0"]
)
def test_several_statements_in_one_text_are_refused(bench: Bench, url: str, text: str, more: Any) -> None:
    """The driver would send them all, tell of the first, and take a COMMIT among them as any other."""
    result = bench.run("sql", {"url": url, "statement": text, **more})
    assert "multiple commands" in result.error
    assert "list them under `statements`" in result.error
    assert result.details["commit"] == "rolled back"
    assert count(bench, url) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "DO $$ BEGIN PERFORM 1; PERFORM '100%'; END $$",
        "SELECT 'a;b'; -- a; b",
    ],
)
def test_a_statement_with_semicolons_is_one(bench: Bench, url: str, statement: str) -> None:
    result = bench.run("sql", {"url": url, "statement": statement})
    assert not result.failed, result.error


def test_the_url_cannot_take_the_transaction_away(bench: Bench, url: str) -> None:
    result = bench.run("sql", {"url": f"{url}&autocommit=1", "statements": ["DELETE FROM users", "SELECT 1/0"]})
    assert (result.error.partition(" ")[0], result.details["commit"]) == ("autocommit", "not begun")
    assert count(bench, url) == 2


@pytest.mark.parametrize(
    "statement, told, left",
    [
        ("EXPLAIN ANALYZE DELETE FROM users", ["ran EXPLAIN", "deleted 2 rows from users"], 0),
        ("EXPLAIN DELETE FROM users", [], 2),
        ("SELECT * INTO TEMP copied FROM users", ["created table copied"], 2),
        (
            "WITH gone AS (DELETE FROM users RETURNING id) SELECT count(*) FROM gone",
            ["deleted 2 rows from users"],
            0,
        ),
        (
            "WITH gone AS (DELETE FROM users RETURNING *) INSERT INTO users SELECT * FROM gone WHERE id < 0",
            ["deleted 2 rows from users"],
            0,
        ),
        (
            "MERGE INTO users USING (VALUES (1)) AS v (id) ON users.id = v.id WHEN MATCHED THEN DELETE",
            ["deleted 1 row from users"],
            1,
        ),
        ("SELECT * FROM users FOR NO KEY UPDATE OF users", [], 2),
    ],
)
def test_changes_in_disguise_are_told(bench: Bench, url: str, statement: str, told: list[str], left: int) -> None:
    result = bench.run("sql", {"url": url, "statement": statement})
    assert (result.error, effects(result)) == ("", told)
    assert count(bench, url) == left


@pytest.mark.parametrize("statement", ["COPY users TO STDOUT", "COPY users FROM STDIN", "PREPARE TRANSACTION 'x'"])
def test_what_would_leave_the_connection_unusable(bench: Bench, url: str, statement: str) -> None:
    result = bench.run("sql", {"url": url, "statements": ["DELETE FROM users", statement]})
    assert "is not possible here" in result.error
    assert count(bench, url) == 2


def test_values_of_all_kinds(bench: Bench, url: str) -> None:
    values = {
        "'NaN'::float8": "nan",
        "9223372036854775807": "9223372036854775807",
        "1.10::numeric": "'1.10'",
        "NULL": "None",
        "true": "True",
        "ARRAY[1, NULL]": "'[1, None]'",
        """'{"a": [1]}'::jsonb""": "\"{'a': [1]}\"",
        "'\\x00ff'::bytea": "'<2 bytes>'",
        "'2026-11-22'::date": "'2026-11-22'",
        "'1 day'::interval": "'1 day, 0:00:00'",
    }
    statement = f"SELECT {', '.join(f'{sql} AS c{number}' for number, sql in enumerate(values))}"
    told = bench.run("sql", {"url": url, "statement": statement}).details["statements"][0]
    assert [repr(value) for value in told["result"][0].values()] == list(values.values())


class TestSecrets:
    @pytest.fixture(autouse=True)
    def secret(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """Longer than the 64 bytes to which the server cuts the values of a failing row."""
        monkeypatch.setenv("TOKEN", "t0ken-" + "0123456789" * 9)
        return "t0ken-0123456789"

    @pytest.mark.parametrize(
        "statement, said",
        [
            ("INSERT INTO users (id, name) VALUES (NULL, :t)", "null value in column"),
            ("INSERT INTO users (id, name) VALUES (CAST(:t AS int), 'x')", "invalid input syntax for type integer"),
            (
                "INSERT INTO tokens VALUES (:t), (:t)",
                'duplicate key value violates unique constraint "tokens_pkey" (Key (t)=(',
            ),
            ("INSERT INTO tokens VALUES ('x' || :t)", "violates check constraint"),
            ("SELECT CAST(:t AS text) AS value", ""),
        ],
    )
    def test_no_part_of_one_is_recorded(self, bench: Bench, url: str, secret: str, statement: str, said: str) -> None:
        tokens = ["DROP TABLE IF EXISTS tokens", "CREATE TABLE tokens (t text PRIMARY KEY CHECK (t NOT LIKE 'x%'))"]
        assert not bench.run("sql", {"url": url, "statements": tokens}).failed
        parameters = {"t": {"secret": "env:TOKEN"}}
        result = bench.run("sql", {"url": url, "statement": statement, "parameters": parameters})
        assert said in result.error
        assert result.failed == bool(said)
        bench.assert_nowhere(secret)

    def test_the_password(self, bench: Bench, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        reference = server.replace("postgres@", "postgres:{secret: env:PGPASS}@")
        for password, error in ((PASSWORD, ""), ("battery staple", "cannot connect: ")):
            monkeypatch.setenv("PGPASS", password)
            result = bench.run("sql", {"url": reference, "statement": "SELECT 1"})
            assert result.failed == bool(error)
            assert result.error.startswith(error)
        assert "password authentication failed" in result.error
        bench.assert_nowhere(PASSWORD, quote(PASSWORD), "battery staple")


@pytest.mark.parametrize("how", ["timeout", "cancellation"])
def test_a_running_statement_is_cancelled(bench: Bench, url: str, how: str) -> None:
    timer = threading.Timer(0.2, lambda: bench.cancellation.request("LOCKDOWN", immediate=True))
    limit = {"timeout": "200ms"} if how == "timeout" else {}
    started = time.monotonic()
    if how == "cancellation":
        timer.start()
    result = bench.run("sql", {"url": url, "statements": ["DELETE FROM users", "SELECT pg_sleep(20)"]}, **limit)
    assert time.monotonic() - started < 3
    assert result.error.startswith("timed out after 0.2 s" if how == "timeout" else "stopped: LOCKDOWN")
    assert result.details["commit"] == "rolled back"


def test_a_lost_connection_takes_everything_back(bench: Bench, url: str) -> None:
    statements = ["DELETE FROM users", "SELECT pg_terminate_backend(pg_backend_pid())"]
    assert bench.run("sql", {"url": url, "statements": statements}).failed
    assert count(bench, url) == 2


def test_rows_are_counted_before_the_commit_with_what_triggers_do(bench: Bench, url: str) -> None:
    body = "BEGIN INSERT INTO log VALUES (OLD.name); RETURN NULL; END"
    setup = [
        "CREATE TABLE IF NOT EXISTS log (line text)",
        f"CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        "CREATE TRIGGER told AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell()",
        f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'",  # what a superuser's triggers do is not tried
        "GRANT SELECT, DELETE ON users TO clerk",
        "GRANT INSERT ON log TO clerk",
    ]
    assert not bench.run("sql", {"url": url, "statements": setup}).failed
    told: list[Any] = []

    def refuse(rows: Any, unseen: tuple[str, ...]) -> None:
        told.append({(row.database, row.table): (row.inserted, row.updated, row.deleted) for row in rows})
        told.append(unseen)
        raise TaskError("no")

    bench.before_commit = refuse
    with pytest.raises(TaskError, match="no"):
        bench.run("sql", {"url": url.replace("postgres:", "clerk:"), "statement": "DELETE FROM users"})
    assert told[0] == {("localhost/postgres", "log"): (2, 0, 0), ("localhost/postgres", "users"): (0, 0, 2)}
    assert told[1] == (
        "values in log: the role may not read the table",
        f"{ELSEWHERE}: the function public.tell()",
    )
    bench.before_commit = refuse
    told.clear()
    with pytest.raises(TaskError, match="no"):
        bench.run("sql", {"url": url, "statement": "INSERT INTO log VALUES ('plain')"})
    assert told[1] == ()  # nothing but rows can come of that
    bench.before_commit = None
    assert count(bench, url) == 2
    result = bench.run("sql", {"url": url, "statement": "DELETE FROM users"})
    assert effects(result) == ["inserted 2 rows into log", "deleted 2 rows from users"]
    assert result.unseen == ""
