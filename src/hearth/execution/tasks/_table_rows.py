"""What a transaction did by table: counted by the database's own means, before the commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.execution._task import TaskEffect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from hearth.execution.tasks._statements import Statement
    from hearth.observe import PostgresCounts, RowChanges
    from hearth.record import Redactor

__all__ = ["ROW_KINDS", "UNCOUNTED", "SeenRows", "TableRows", "did", "row_effect", "with_named_tables"]

ROW_KINDS = ("insert", "update", "delete", "merge")
UNCOUNTED = "rows by table: this database does not tell them, so they are the driver's counts of the statements"
_TRIGGERED = "triggers, foreign keys and functions of the database may change more than the row counts say"
# As the recorders say it; a table whose rows cannot be counted is a change of that table all the same.
_DEFINED = re.compile(r"the schema: (?:ALTER|DROP) (?:VIRTUAL |FOREIGN )?TABLE (.+)", re.DOTALL)
_ROWS_OF = re.compile(
    r"rows of (.+?)(?:, which has no primary key| whose primary key is NULL|, a (?:virtual|foreign) table"
    r"|, a table of SQLite's own|: )",
    re.DOTALL,
)
_QUOTES = str.maketrans("", "", '"`[]')


@dataclass(frozen=True, slots=True)
class SeenRows:
    """Rows by table, why there may be more, and SQLite's changeset (b"": none).

    Of a table whose rows could not all be counted, and of one that was altered or dropped, there are always rows: at
    least an entry of zeros. Changes of the schema stand there, too. `exact` says that the database counted, and not
    the driver.
    """

    rows: tuple[RowChanges, ...]
    unseen: tuple[str, ...]
    changeset: bytes = b""
    exact: bool = True

    def has(self, statement: Statement) -> bool:
        """Whether the rows that a statement changed are counted here, be they none."""
        if not self.exact or statement.kind not in ROW_KINDS:
            return False
        name = statement.table.translate(_QUOTES).lower()
        bare = name.removeprefix("public.").removeprefix("main.")
        return all(row.total for row in self.rows if row.table.lower() in (name, bare))


class TableRows:
    """Counts one transaction: `begin` before its first statement, `seen` after the last. Errors are the driver's.

    `database` is what SQLite's file is called, `elsewhere` why a server may have done more than change its rows.
    `values` says that the rows' values are asked for, which costs the server a look through the tables concerned.
    """

    def __init__(self, connection: Connection, database: str, *, elsewhere: str = "", values: bool = False) -> None:
        self._connection = connection
        self._database = database
        self._elsewhere = elsewhere
        self._values = values
        self._begun = False
        self._counts: PostgresCounts | None = None

    @property
    def _driver(self) -> Any:  # noqa: ANN401 - a DBAPI connection
        return self._connection.connection.dbapi_connection

    def begin(self) -> None:
        """Begin to count, where that has a beginning."""
        if self._begun:
            return
        self._begun = True
        dialect = self._connection.dialect
        if (dialect.name, dialect.driver) != ("postgresql", "psycopg"):
            return
        from hearth.observe import PostgresCounts

        assert dialect.loaded_dbapi is not None  # noqa: S101 - it is connected
        try:
            self._counts = PostgresCounts(self._driver)
        except dialect.loaded_dbapi.ProgrammingError:
            self._driver.rollback()  # it has no such statistics, and nothing has been done yet

    def seen(self, done: Iterable[tuple[Statement, int | None]]) -> SeenRows:
        """Return what the transaction has done so far; `done` are its statements and the driver's counts of rows."""
        if hasattr(self._driver, "effects"):
            effects = self._driver.effects()
            rows = with_named_tables(effects.tables, effects.unseen, self._database)
            return SeenRows((*rows, *effects.schema), effects.unseen, effects.changeset)
        if self._counts is not None:
            from hearth.observe import postgres_name

            counted = self._counts.effects(values=self._values)
            rows = with_named_tables(counted.tables, counted.unseen, postgres_name(self._driver))
            elsewhere = (self._elsewhere,) if self._elsewhere else ()
            return SeenRows((*rows, *counted.schema), (*counted.unseen, *elsewhere))
        return self._by_statements(done)

    def _by_statements(self, done: Iterable[tuple[Statement, int | None]]) -> SeenRows:
        from hearth.observe import RowChanges

        url = self._connection.engine.url
        port = "" if url.port is None else f":{url.port}"
        database = f"{url.host or 'localhost'}{port}/{url.database or ''}"
        counts: dict[str, dict[str, int]] = {}
        for statement, rows in done:
            for one, number in ((statement, rows), *((inner, None) for inner in statement.inner)):
                if one.kind in ("", "other"):
                    continue
                table = one.table.translate(_QUOTES).rpartition(" ")[2]
                counted = counts.setdefault(table, {})
                if one.kind in ("insert", "update", "delete") and number:
                    field = f"{one.kind.removesuffix('e')}ed"
                    counted[field] = counted.get(field, 0) + number
        tables = tuple(RowChanges.from_counts(database, name, counts[name]) for name in sorted(counts))
        return SeenRows(tables, (UNCOUNTED, _TRIGGERED), exact=False)


def with_named_tables(rows: Sequence[RowChanges], unseen: Iterable[str], database: str) -> tuple[RowChanges, ...]:
    """Return the rows with an entry, of zeros where need be, for each table that a reason in `unseen` names."""
    from hearth.observe import RowChanges

    found = {row.table: row for row in rows}
    for reason in unseen:
        match = _DEFINED.fullmatch(reason) or _ROWS_OF.match(reason)
        if match is not None and match[1] not in found:
            found[match[1]] = RowChanges(database=database, table=match[1])
    return tuple(found[table] for table in sorted(found))


def row_effect(row: RowChanges, database: str, redactor: Redactor) -> TaskEffect:
    """Return the effect of one table's rows, as an operator reads it; `database` is a URL that can be shown."""
    table = redactor.text(row.table)
    details = {
        "database": database,
        "table": table,
        "rows": row.total,
        "inserted": row.inserted,
        "updated": row.updated,
        "deleted": row.deleted,
    }
    return TaskEffect("DATA_MUTATION", did(row, table), details=details)


def did(row: RowChanges, table: str) -> str:
    """Return what was done to a table's rows: "updated 2 rows in users"."""
    if row.definition:
        return f"changed the schema ({table})"
    counts = [(row.inserted, "inserted", "into"), (row.updated, "updated", "in"), (row.deleted, "deleted", "from")]
    done = [(number, verb, where) for number, verb, where in counts if number]
    if not done:
        return f"changed {table}, its rows not counted"
    said = [f"{verb} {number}" for number, verb, _ in done]
    where = done[0][2] if len(done) == 1 else "in"
    listed = " and ".join(filter(None, (", ".join(said[:-1]), said[-1])))
    return f"{listed} row{'' if done[-1][0] == 1 else 's'} {where} {table}"
