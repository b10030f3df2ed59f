"""PostgresImages: what the rows that a transaction changed in PostgreSQL held before, and what they hold now.

Until it commits, others see each row as it was: a second connection reads that, and the transaction reads its own. No
row is locked, no trigger made, and nothing is asked of the server but to read the tables that were changed.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from hearth.observe._row_values import RowValues

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["PostgresImages", "UnreadRowsError"]

_LARGEST = 1 << 30  # bytes of a table that is read through
_MOST_ROWS = 200_000
_ABOUT = """
SELECT n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid), pg_catalog.has_table_privilege(c.oid, 'SELECT'),
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
          WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum),
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
          LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND (a.attidentity <> '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%')),
    EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.pid = pg_catalog.pg_backend_pid() AND l.relation = c.oid
            AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
# The transaction's own number, and those of its subtransactions, are the newest that are under way and can be seen.
_OURS = """
pg_catalog.age(t.xmin) <= pg_catalog.age(%(xid)s::xid) AND pg_catalog.pg_xact_status((
    %(whole)s::bigint - %(low)s::bigint + t.xmin::text::bigint
    + CASE WHEN t.xmin::text::bigint < %(low)s::bigint THEN 4294967296 ELSE 0 END)::text::xid8) = 'in progress'
"""

_Row = dict[str, Any]


class UnreadRowsError(Exception):
    """Why the values of a table's rows are not known, in words."""


class PostgresImages:
    """Reads the rows that the open transaction of a connection changed; close it at the end.

    `connection` is psycopg's, and its transaction has changed something. The second connection goes where the first one
    went, as the same role.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._other: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._other is not None:
            self._other.close()

    def of(self, relation: int) -> RowValues:
        """Return the values that changed in a table, which is named by its number; UnreadRowsError."""
        import psycopg

        try:
            with self._connection.transaction():  # a savepoint: what fails here does not end the caller's
                return self._read(relation)
        except psycopg.Error as error:
            raise UnreadRowsError(str(error).strip().partition("\n")[0] or type(error).__name__) from error

    def _read(self, relation: int) -> RowValues:
        from psycopg import sql

        about = self._connection.execute(_ABOUT, (relation,)).fetchone()
        if about is None:
            raise UnreadRowsError("it is not there any more")
        schema, name, size, allowed, key, counted, locked = about
        if not allowed:
            raise UnreadRowsError("the role may not read the table")
        if locked:
            raise UnreadRowsError("the transaction keeps everybody else from the table")
        if size > _LARGEST:
            raise UnreadRowsError(f"the table has more than {_LARGEST >> 30} GiB")
        table = sql.Identifier(str(schema), str(name))
        old, new = self._old(table), self._new(table)
        return _compared(old, new, list(key), frozenset(counted))

    def _old(self, table: Any) -> list[_Row]:  # noqa: ANN401 - psycopg's Identifier
        """Return the rows as they were: others see them, and the transaction does not any more."""
        from psycopg import sql

        other = self._second()
        query = sql.SQL("SELECT t.ctid::text, row_to_json(t.*)::text FROM ONLY {} t WHERE t.xmax::text <> '0'")
        found = {str(place): str(row) for place, row in _limited(other.execute(query.format(table)))}
        there = sql.SQL("SELECT t.ctid::text FROM ONLY {} t WHERE t.ctid = ANY(%s::tid[])").format(table)
        for place in [str(row[0]) for row in self._connection.execute(there, (list(found),))]:
            del found[place]
        # What is gone by now somebody else has removed meanwhile.
        still = {str(row[0]) for row in other.execute(there, (list(found),))}
        return [_row(row) for place, row in found.items() if place in still]

    def _new(self, table: Any) -> list[_Row]:  # noqa: ANN401 - psycopg's Identifier
        """Return the rows as they are: made by the transaction, so that nobody else sees them."""
        from psycopg import sql

        query = sql.SQL("SELECT pg_catalog.row_to_json(t.*)::text FROM ONLY {} t WHERE").format(table) + sql.SQL(_OURS)
        whole = self._number()
        asked = {"xid": str(whole % 2**32), "low": whole % 2**32, "whole": whole}
        return [_row(row) for (row,) in _limited(self._connection.execute(query, asked))]

    def _number(self) -> int:
        found = self._connection.execute("SELECT pg_catalog.pg_current_xact_id()::text").fetchone()
        return int(found[0]) if found else 0

    def _second(self) -> psycopg.Connection[Any]:
        if self._other is None:
            import psycopg

            info = self._connection.info
            other = psycopg.connect(info.dsn, password=info.password or None, connect_timeout=5, autocommit=True)
            self._other = other
            for setting in ("search_path = pg_catalog", "lock_timeout = '1s'", "statement_timeout = '60s'"):
                other.execute(f"SET {setting}")
            number = self._number()
            sees = other.execute("SELECT pg_xact_status(%s::text::xid8)", (str(number),)).fetchone()
            if sees is None or sees[0] != "in progress":
                raise UnreadRowsError("a second connection does not reach the same server")
        return self._other


def _limited(rows: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - psycopg's cursor
    for number, row in enumerate(rows):
        if number == _MOST_ROWS:
            raise UnreadRowsError(f"more than {_MOST_ROWS} rows were changed")
        yield row


def _row(text: str) -> _Row:
    row = json.loads(text, parse_float=Decimal)
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: object) -> object:
    """Return a value as one of those that are digested: what is neither text nor a whole number, as its text."""
    if value is None or isinstance(value, str | int):
        return value
    return str(value) if isinstance(value, Decimal) else json.dumps(value, sort_keys=True, default=str)


def _compared(old: list[_Row], new: list[_Row], key: list[str], counted: frozenset[str]) -> RowValues:
    """Pair the rows by their key and take up what changed; of a table without one, what went and what came.

    `counted` are the columns that a sequence fills: it goes on whatever becomes of a transaction, so that the numbers
    of inserted rows are others each time; they are not held.
    """
    values = RowValues()
    before, after = _by_name(old, key), _by_name(new, key)
    if not key:
        for both in before.keys() & after.keys():
            del before[both], after[both]
    for name, row in sorted(before.items(), key=str):
        number = list(zip(key or ("row", "number"), name, strict=True))
        now = after.pop(name, None)
        if now is None:
            values.delete(number, list(row.items()))
        else:
            changed = [column for column in row if row[column] != now[column]]
            values.update(number, [(one, row[one]) for one in changed], [(one, now[one]) for one in changed])
    for name, row in after.items():
        number = list(zip(key, name, strict=True)) if key else [("row", _text_without(row, counted))]
        values.insert(number, list(row.items()), hidden=counted)
    return values


def _text_without(row: _Row, columns: frozenset[str]) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in columns}, sort_keys=True)


def _by_name(rows: list[_Row], key: list[str]) -> dict[tuple[Any, ...], _Row]:
    """Return rows by their keys; where there are none by all that they hold, equal ones one after the other."""
    if key:
        return {tuple(row[column] for column in key): row for row in rows}
    numbers: Counter[str] = Counter()
    found = {}
    for row in rows:
        text = json.dumps(row, sort_keys=True)
        numbers[text] += 1
        found[text, numbers[text]] = row
    return found
