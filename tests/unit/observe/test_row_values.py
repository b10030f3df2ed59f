"""Digests of rows' values: the same for the same rows, another one for anything else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.observe import RowChanges, compare_databases, connect_recorded
from hearth.observe._row_deviation import differing_rows, loose_columns
from hearth.observe._row_values import ColumnDigests, RowValues

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary())
ROWS = st.lists(st.tuples(st.integers(0, 9), VALUES), unique_by=lambda row: row[0])


def inserted(rows: Sequence[tuple[object, object]]) -> tuple[ColumnDigests, ColumnDigests]:
    values = RowValues()
    for key, value in rows:
        values.insert([("id", key)], [("id", key), ("value", value)])
    return values.digests()


@given(ROWS, st.randoms())
def test_the_order_in_which_rows_are_told_is_nothing(rows: list[tuple[int, object]], chance: random.Random) -> None:
    other = chance.sample(rows, len(rows))
    assert inserted(rows) == inserted(other)


@given(ROWS, ROWS)
def test_other_rows_are_others(one: list[tuple[int, object]], two: list[tuple[int, object]]) -> None:
    typed = [sorted(((key, type(value).__name__, str(value)) for key, value in rows), key=str) for rows in (one, two)]
    assert (inserted(one) == inserted(two)) == (typed[0] == typed[1])


@pytest.mark.parametrize("one, two", [(1, 1.0), ("a", b"a"), (None, ""), (0.0, -0.0), ("1", 1), ("\u00e9", "e\u0301")])
def test_values_of_other_types_are_others(one: object, two: object) -> None:
    assert inserted([(1, one)]) != inserted([(1, two)])


def test_a_value_belongs_to_its_row() -> None:
    """That two rows swap their values is a change, of those inserted by their order."""
    one, two = RowValues(), RowValues()
    one.update([("name", "ann")], [("balance", 1)], [("balance", 2)])
    two.update([("name", "bob")], [("balance", 1)], [("balance", 2)])
    assert one.digests() != two.digests()
    assert inserted([(1, "a"), (2, "b")]) != inserted([(1, "b"), (2, "a")])


def test_a_counter_that_went_on_is_in_its_own_column_alone() -> None:
    (_, one), (_, two) = inserted([(7, "a"), (8, "b")]), inserted([(107, "a"), (108, "b")])
    assert dict(one)["value"] == dict(two)["value"]
    assert dict(one)["id"] != dict(two)["id"]


SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, balance);
CREATE TABLE plain (a, b);
CREATE TABLE pairs (x, y, z, PRIMARY KEY (y, x)) WITHOUT ROWID;
INSERT INTO users VALUES (1, 'ann', 100), (2, 'bob', 5);
INSERT INTO plain VALUES (1, 2), (3, 4);
INSERT INTO pairs VALUES ('p', 1, 2);
"""


def database(path: Path, *more: str) -> Path:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        for sql in more:
            connection.execute(sql)
        connection.commit()
    return path


def recorded(path: Path, *statements: str) -> dict[str, RowChanges]:
    """What a transaction tells, by table; it is rolled back."""
    with closing(connect_recorded(str(path), name="db")) as connection:
        cursor = connection.cursor()
        for statement in ("BEGIN", *statements):
            cursor.execute(statement)
        rows = connection.effects().tables
        connection.rollback()
    return {row.table: row for row in rows}


def compared(path: Path, *statements: str) -> dict[str, RowChanges]:
    """What the files tell of the same statements."""
    after = path.with_name("after.db")
    after.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(after)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return {row.table: row for row in compare_databases(path, after, name="db").tables}


NUMBERS = "RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 99)"
STATEMENTS = [
    ["UPDATE users SET balance = balance * 2 WHERE id = 1"],
    ["DELETE FROM users WHERE balance < 50", "INSERT INTO users (name, balance) VALUES ('eve', x'00ff')"],
    ["UPDATE plain SET b = NULL", "INSERT INTO plain VALUES (5.5, 'é')"],
    ["UPDATE pairs SET z = 9", "INSERT INTO pairs VALUES ('q', 3, NULL)", "DELETE FROM pairs WHERE x = 'p'"],
]


@pytest.mark.parametrize("statements", STATEMENTS)
def test_a_transaction_and_its_files_tell_the_same(tmp_path: Path, statements: list[str]) -> None:
    path = database(tmp_path / "app.db")
    told = recorded(path, *statements)
    assert told == compared(path, *statements)
    assert all(row.before or row.after for row in told.values())


@pytest.mark.parametrize("look", [recorded, compared])
@pytest.mark.parametrize(
    "drift, words",
    [
        ("UPDATE users SET balance = 7777 WHERE id = 1", "held something else before: balance"),
        ("UPDATE users SET name = 'amy' WHERE id = 1", None),
        ("INSERT INTO users VALUES (3, 'new', 1)", None),
    ],
)
def test_what_others_changed_meanwhile_is_seen_where_it_matters(
    tmp_path: Path, look: object, drift: str, words: str | None
) -> None:
    statement = STATEMENTS[0][0]
    shown = look(database(tmp_path / "app.db"), statement)  # type: ignore[operator]
    now = look(database(tmp_path / "app.db", drift), statement)  # type: ignore[operator]
    found = list(differing_rows(shown.values(), now.values()))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


def test_another_row_than_the_one_that_was_shown_is_seen(tmp_path: Path) -> None:
    statement = "DELETE FROM users WHERE balance < 50"
    shown = recorded(database(tmp_path / "app.db"), statement)
    now = recorded(database(tmp_path / "app.db", "UPDATE users SET balance = 105 - balance"), statement)
    (words,) = differing_rows(shown.values(), now.values())
    assert "balance, id, name" in words


def test_patterns_loosen_a_column_a_table_and_nothing_else(tmp_path: Path) -> None:
    statement = "INSERT INTO users (name, balance) VALUES ('eve', {})"
    path = database(tmp_path / "app.db")
    (one,), (two,) = (recorded(path, statement.format(value)).values() for value in (1, 2))
    (words,) = differing_rows([one], [two])
    assert words.startswith("the rows of users in db hold other values than in the preview: balance (")
    assert 'volatile: ["db:users.balance"]' in words
    for pattern in ("db:users.balance", "db:users", "db:*.bal*"):
        assert list(differing_rows([one], [two], [pattern])) == []
    for pattern in ("db:users.name", "other:users", "users.balance", "db:groups"):
        assert list(differing_rows([one], [two], [pattern])) != []
    assert loose_columns(one, ["db:users.b*", "db:users.none"]) == ("balance",)
    more = recorded(path, statement.format(1), statement.format(2))
    assert "in another way" in next(differing_rows([one], more.values(), ["db:users"]))


def test_a_run_that_does_not_know_what_the_preview_knew_is_another(tmp_path: Path) -> None:
    (known,) = recorded(database(tmp_path / "app.db"), STATEMENTS[0][0]).values()
    unknown = RowChanges.from_dict(known.counts())
    assert list(differing_rows([known], [unknown]))
    assert list(differing_rows([unknown], [known])) == []  # the approved manifest said that it holds no values


def test_rows_around_a_change_of_the_schema_are_held_too(tmp_path: Path) -> None:
    statements = ["UPDATE users SET balance = 1", "ALTER TABLE users ADD COLUMN note", "UPDATE users SET note = '{}'"]
    path = database(tmp_path / "app.db")
    one, two = (recorded(path, *(text.format(word) for text in statements)) for word in "ab")
    assert "hold other values than in the preview: note" in next(differing_rows(one.values(), two.values()))


@pytest.mark.parametrize("look", [recorded, compared])
def test_a_table_that_is_new_or_gone_is_told_by_its_rows(tmp_path: Path, look: object) -> None:
    def statements(word: str) -> list[str]:
        return ["CREATE TABLE fresh (id INTEGER PRIMARY KEY, w)", f"INSERT INTO fresh (w) VALUES ('{word}')"]

    path = database(tmp_path / "app.db")
    one, two = (look(path, *statements(word)) for word in "ab")  # type: ignore[operator]
    assert "hold other values than in the preview: w" in next(differing_rows(one.values(), two.values()))
    gone = compared(path, "DROP TABLE plain")
    other = compared(database(path, "UPDATE plain SET b = 8 WHERE a = 3"), "DROP TABLE plain")
    assert "held something else before: b" in next(differing_rows(gone.values(), other.values()))


def test_the_first_rows_are_shown_to_a_person_and_stand_in_no_document(tmp_path: Path) -> None:
    users = recorded(database(tmp_path / "app.db"), *STATEMENTS[1], STATEMENTS[0][0])["users"]
    assert sorted(users.examples) == [
        "+ id=2, name='eve', balance=x'00ff'",
        "- id=2, name='bob', balance=5",
        "~ id=1: balance 100 -> 200",
    ] or sorted(users.examples) == ["~ id=1: balance 100 -> 200", "~ id=2: name 'bob' -> 'eve', balance 5 -> x'00ff'"]
    assert "eve" not in str(users.to_dict())
    many = recorded(tmp_path / "app.db", f"WITH {NUMBERS} INSERT INTO plain SELECT n, NULL FROM numbers")["plain"]
    assert (len(many.examples), many.inserted) == (20, 99)
    assert many.examples[0].endswith("b=NULL")


def test_texts_that_are_not_utf_8_are_said_not_to_be_held(tmp_path: Path) -> None:
    path = database(tmp_path / "app.db")
    db = apsw.Connection(str(path))
    db.execute("UPDATE users SET name = CAST(x'ff' AS TEXT)")
    db.close()
    after = tmp_path / "after.db"
    after.write_bytes(path.read_bytes())
    db = apsw.Connection(str(after))
    db.execute("UPDATE users SET name = CAST(x'fe' AS TEXT)")
    db.close()
    effects = compare_databases(path, after, name="db")
    assert [row.updated for row in effects.tables] == [2]
    assert "values in users: there are texts that are not UTF-8" in effects.unseen
