from __future__ import annotations

import pytest

from hearth.execution.tasks._statements import read_statement
from hearth.execution.tasks._table_rows import SeenRows, did, with_named_tables
from hearth.observe import RowChanges


def row(table: str, inserted: int = 0, updated: int = 0, deleted: int = 0) -> RowChanges:
    return RowChanges(database="/app.db", table=table, inserted=inserted, updated=updated, deleted=deleted)


@pytest.mark.parametrize(
    "reason, table",
    [
        ("the schema: DROP TABLE a b", "a b"),
        ("the schema: DROP VIRTUAL TABLE words", "words"),
        ("the schema: ALTER TABLE users", "users"),
        ("rows of words, a virtual table", "words"),
        ("rows of a, b whose primary key is NULL", "a, b"),
        ("rows of t, which has no primary key and a column named _rowid_", "t"),
        ("rows of users: it was truncated or written anew", "users"),
        ("rows of far, a foreign table", "far"),
    ],
)
def test_a_table_that_a_reason_names_has_an_entry(reason: str, table: str) -> None:
    assert with_named_tables((row("z", 1),), [reason], "/app.db") == tuple(
        sorted((row(table), row("z", 1)), key=lambda one: one.table)
    )
    assert with_named_tables((row(table, 1),), [reason], "/app.db") == (row(table, 1),), "what is counted stays"


@pytest.mark.parametrize(
    "reason",
    [
        "the schema: CREATE INDEX i",
        "the schema: CREATE TABLE more",
        "the schema: DROP VIEW v",
        "rows: the server does not count them (track_counts is off)",
        "the sequence s, which",
    ],
)
def test_other_reasons_name_no_table(reason: str) -> None:
    assert with_named_tables((), [reason], "/app.db") == ()


@pytest.mark.parametrize(
    "changes, said",
    [
        (row("t", 1), "inserted 1 row into t"),
        (row("t", 0, 2), "updated 2 rows in t"),
        (row("t", 0, 0, 3), "deleted 3 rows from t"),
        (row("t", 1, 2, 3), "inserted 1, updated 2 and deleted 3 rows in t"),
        (row("t"), "changed t, its rows not counted"),
    ],
)
def test_what_was_done_in_words(changes: RowChanges, said: str) -> None:
    assert did(changes, "t") == said


@pytest.mark.parametrize(
    "statement, counted",
    [
        ("DELETE FROM users", True),
        ('INSERT INTO "Users" VALUES (1)', True),
        ("UPDATE public.users SET x = 1", True),
        ("DELETE FROM odd", False),
        ("DELETE FROM main.[odd]", False),
        ("DELETE FROM untouched", True),
        ("CREATE TABLE users (x)", False),
        ("TRUNCATE users", False),
    ],
)
def test_a_statement_is_told_by_itself_only_where_its_rows_are_not_counted(statement: str, *, counted: bool) -> None:
    rows = (row("odd"), row("users", 1))
    assert SeenRows(rows, ()).has(read_statement(statement)) is counted
    assert not SeenRows(rows, (), exact=False).has(read_statement(statement))
