"""The sql task's rows by table: told, shown before the commit, refused, kept for an undo."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError, TaskError
from hearth.observe._sqlite import undo_changeset
from hearth.security import BoundaryState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.execution.tasks.conftest import Bench

    Query = Callable[[str], list[Any]]

URL = "sqlite:///app.db"
SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE log (line TEXT);
CREATE TRIGGER told AFTER DELETE ON users BEGIN INSERT INTO log VALUES (old.name); END;
INSERT INTO users (name) VALUES ('ann'), ('bob'), ('cid');
"""


@pytest.fixture
def query(bench: Bench) -> Query:
    path = bench.folder / "app.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
    connection.close()

    def ask(sql: str) -> list[Any]:
        connection = sqlite3.connect(path)
        try:
            return [row[0] if len(row) == 1 else row for row in connection.execute(sql)]
        finally:
            connection.close()

    return ask


class Asked:
    """What `before_commit` was told."""

    def __init__(self, bench: Bench, refusal: BaseException | None = None) -> None:
        bench.before_commit = self
        self.rows: dict[str, tuple[int, int, int]] = {}
        self.databases: set[str] = set()
        self.unseen: tuple[str, ...] = ()
        self.times = 0
        self._refusal = refusal

    def __call__(self, rows: Any, unseen: tuple[str, ...]) -> None:
        self.times += 1
        self.rows = {row.table: (row.inserted, row.updated, row.deleted) for row in rows}
        self.databases = {row.database for row in rows}
        self.unseen = unseen
        if self._refusal is not None:
            raise self._refusal


def real(path: Path) -> str:
    return str(path.resolve())


class TestBeforeCommit:
    def test_it_is_told_the_net_change_by_table(self, bench: Bench, query: Query) -> None:
        asked = Asked(bench)
        script = """
            DELETE FROM users WHERE id = 1; UPDATE users SET name = 'x' WHERE id = 2; INSERT INTO users VALUES (9, 'i')
        """
        result = bench.run("sql", {"url": URL, "statement": script})
        assert not result.failed, result.error
        assert asked.rows == {"users": (1, 1, 1), "log": (1, 0, 0)}
        assert asked.databases == {real(bench.folder / "app.db")}
        assert (asked.unseen, asked.times) == ((), 1)
        assert result.details["rows"] == [
            {"database": real(bench.folder / "app.db"), "table": "log", "inserted": 1, "updated": 0, "deleted": 0},
            {"database": real(bench.folder / "app.db"), "table": "users", "inserted": 1, "updated": 1, "deleted": 1},
        ]
        assert [effect.description for effect in result.side_effects] == [
            "inserted 1 row into log",
            "inserted 1, updated 1 and deleted 1 row in users",
        ]

    @pytest.mark.parametrize(
        "refusal", [ArtemisEscalationError(BoundaryState.ELEVATED, "no"), TaskError("no"), KeyboardInterrupt()]
    )
    def test_what_it_raises_rolls_back_and_is_passed_on(
        self, bench: Bench, query: Query, refusal: BaseException
    ) -> None:
        Asked(bench, refusal)
        with pytest.raises(type(refusal)) as raised:
            bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
        assert raised.value is refusal
        assert query("SELECT count(*) FROM users") == [3]
        assert query("SELECT count(*) FROM log") == [0]
        assert not list(bench.store.folder.rglob("*"))

    def test_a_refused_new_database_is_taken_away(self, bench: Bench) -> None:
        Asked(bench, TaskError("no"))
        with pytest.raises(TaskError):
            bench.run("sql", {"url": "sqlite:///new.db", "create": True, "statement": "CREATE TABLE a (x)"})
        assert not list(bench.folder.iterdir())

    @pytest.mark.parametrize("more", [{"statement": "DELETE FROM nowhere"}, {"expect_rows": 7}])
    def test_it_is_not_asked_of_what_is_rolled_back_anyhow(self, bench: Bench, query: Query, more: Any) -> None:
        asked = Asked(bench)
        assert bench.run("sql", {"url": URL, "statement": "DELETE FROM users", **more}).failed
        assert asked.times == 0

    def test_a_stop_while_it_is_asked_rolls_back(self, bench: Bench, query: Query) -> None:
        bench.before_commit = lambda _rows, _unseen: bench.cancellation.request("LOCKDOWN", immediate=True)
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
        assert result.error == "stopped: LOCKDOWN; nothing was changed (rolled back)"
        assert query("SELECT count(*) FROM users") == [3]

    @pytest.mark.parametrize(
        "statement, tables, reason",
        [
            ("CREATE TABLE more (x)", {"schema:more": (0, 0, 0)}, "the schema: CREATE TABLE more"),
            (
                "DROP TABLE users",
                {"users": (0, 0, 0), "schema:users": (0, 0, 0), "schema:told": (0, 0, 0)},
                "the schema: DROP TABLE users",
            ),
            (
                "ALTER TABLE users ADD COLUMN x",
                {"users": (0, 0, 0), "schema:users": (0, 0, 0)},
                "the schema: ALTER TABLE users",
            ),
            ("CREATE VIEW v AS SELECT 1", {"schema:v": (0, 0, 0)}, "the schema: CREATE VIEW v"),
            (
                "CREATE TABLE m (x); INSERT INTO m VALUES (1)",
                {"m": (1, 0, 0), "schema:m": (0, 0, 0)},
                "the schema: CREATE TABLE m",
            ),
            ("CREATE INDEX i ON users (name)", {"schema:i": (0, 0, 0)}, "the schema: CREATE INDEX i"),
            ("PRAGMA user_version = 7", {"schema:user_version": (0, 0, 0)}, "PRAGMA user_version is 7, and was 0"),
        ],
    )
    def test_tables_whose_rows_are_not_all_counted_are_named(
        self, bench: Bench, query: Query, statement: str, tables: Any, reason: str
    ) -> None:
        asked = Asked(bench)
        assert not bench.run("sql", {"url": URL, "statement": statement}).failed
        assert asked.rows == tables
        assert reason in asked.unseen

    def test_rows_that_cannot_be_counted_are_told_by_their_statement(self, bench: Bench, query: Query) -> None:
        asked = Asked(bench)
        script = "CREATE TABLE odd (k TEXT PRIMARY KEY); INSERT INTO odd VALUES (NULL)"
        result = bench.run("sql", {"url": URL, "statement": script})
        assert asked.rows == {"odd": (0, 0, 0), "schema:odd": (0, 0, 0)}
        assert [effect.description for effect in result.side_effects] == [
            "created table odd",
            "inserted 1 row into odd",
        ]
        assert result.unseen == "rows of odd whose primary key is NULL"


class TestChangesets:
    def test_what_was_done_can_be_taken_back_by_what_is_kept(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users WHERE id < 3"})
        kept = bench.kept(result.details["changeset"])
        assert query("SELECT name FROM users") == ["cid"]
        undo_changeset(bench.folder / "app.db", kept)
        assert query("SELECT name FROM users") == ["ann", "bob", "cid"]
        assert query("SELECT * FROM log") == []

    def test_none_is_kept_where_the_step_refers_to_secrets(
        self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "t0ps3cret")
        parameters = {"p": {"secret": "env:TOKEN"}}
        result = bench.run("sql", {"url": URL, "statement": "UPDATE users SET name = :p", "parameters": parameters})
        assert query("SELECT DISTINCT name FROM users") == ["t0ps3cret"]
        assert "changeset" not in result.details
        assert "refers to some" in result.details["changeset_not_kept"]
        later = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
        assert "changeset_not_kept" in later.details, "the rows that it deleted hold the secret"
        bench.assert_nowhere("t0ps3cret")

    def test_nothing_is_kept_of_what_changed_nothing(self, bench: Bench, query: Query) -> None:
        result = bench.run("sql", {"url": URL, "statement": "SELECT * FROM users"})
        assert "changeset" not in result.details
        assert result.details["rows"] == []
        assert not list(bench.store.folder.rglob("*"))

    def test_nothing_is_committed_where_it_cannot_be_kept(
        self, bench: Bench, query: Query, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.store.folder.parent.mkdir(exist_ok=True)
        bench.store.folder.write_text("a file where the folder should be")
        result = bench.run("sql", {"url": URL, "statement": "DELETE FROM users"})
        assert result.error.startswith("what an undo needs cannot be kept: ")
        assert query("SELECT count(*) FROM users") == [3]
