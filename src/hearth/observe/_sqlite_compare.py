"""What changed between two states of a SQLite database, row by row, from its files alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ObservationError
from hearth.observe._row_values import RowValues
from hearth.observe._sqlite_effects import (
    SchemaState,
    SqliteEffects,
    count_rows,
    new_session,
    quoted,
    row_changes,
    schema_changes,
    values_of,
)
from hearth.observe._sqlite_files import open_unchanged, readable_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import apsw

    from hearth.observe._sqlite_effects import TableState
    from hearth.observe._sqlite_files import DatabaseFiles

__all__ = ["compare_databases"]


def compare_databases(
    before: Path | DatabaseFiles, after: Path | DatabaseFiles, *, name: str | None = None
) -> SqliteEffects:
    """Compare two states of a database; neither is written, nor anything beside it.

    A path brings the log and journal that lie beside it, DatabaseFiles say where they are. `name` is what effects call
    the database (the path of `after` where None). Tables that are new or gone are counted, and their change of the
    schema is named; a table whose columns changed is named only. ObservationError when one of them cannot be read.
    """
    import apsw

    if name is None:
        name = os.fspath(after if isinstance(after, Path) else after.main)
    try:
        with readable_uri(before) as old, open_unchanged(after) as db:
            db.execute("ATTACH ? AS before", (old,))
            db.execute("BEGIN")  # what is read of both is one moment
            return _Comparison(db, name).effects()
    except (apsw.Error, OSError) as error:
        raise ObservationError(f"the database {name} cannot be compared with what it was: {error}") from error


class _Comparison:
    """One comparison, on a connection whose main database is the new state; the old one is attached as `before`."""

    def __init__(self, db: apsw.Connection, name: str) -> None:
        self._db = db
        self._name = name
        self._unseen: list[str] = []
        self._counts: dict[str, list[int]] = {}
        self._values: dict[str, RowValues] = {}

    def effects(self) -> SqliteEffects:
        """Return what the comparison shows."""
        before, after = SchemaState.of(self._db, "before"), SchemaState.of(self._db)
        changed = before.statements != after.statements
        for (kind, name), sql in sorted((before.statements | after.statements).items()):
            was, now = before.statements.get((kind, name)), after.statements.get((kind, name))
            if was != now and sql:
                what = "CREATE" if was is None else "DROP" if now is None else "ALTER"
                self._unseen.append(f"the schema: {what} {kind.upper()} {name}")
        for name, value in after.header.items():
            if value != before.header[name]:
                self._unseen.append(f"PRAGMA {name} is {value}, and was {before.header[name]}")
        same = {name: before.tables[name] for name in self._comparable(before, after)}
        changeset = self._difference({name: table for name, table in same.items() if table.kind == "table"})
        for name, counts in count_rows([changeset]).items():
            self._counts[name] = counts
        self._unseen += values_of(changeset, same, self._values)
        inner = {name: table for name, table in same.items() if table.kind == "shadow"}
        shadows = count_rows([self._difference(inner)])
        for owner in sorted({after.owner_of(shadow) for shadow in shadows}):
            self._unseen.append(f"rows of {owner}, a virtual table")
        return SqliteEffects(
            tables=row_changes(self._name, self._counts, self._values),
            changeset=changeset,
            unseen=tuple(self._unseen),
            schema_changed=changed,
            schema=schema_changes(self._name, before, after),
        )

    def _comparable(self, before: SchemaState, after: SchemaState) -> Iterator[str]:
        """Yield the tables that are on both sides alike; count those that are on one, name the others."""
        for name in sorted(before.tables.keys() | after.tables.keys()):
            was, now = before.tables.get(name), after.tables.get(name)
            if now is None or was is None:
                if was is not None and was.kind == "table":
                    self._counts[name] = [0, 0, self._count("before", name)]
                    self._take_up("before", name, was)
                elif now is not None and now.kind == "table":
                    self._counts[name] = [self._count("main", name), 0, 0]
                    self._take_up("main", name, now)
            elif was != now:
                self._unseen.append(f"rows of {name}: it has other columns than before")
            elif was.kind in ("table", "shadow"):
                if was.has_no_key:
                    self._unseen.append(f"rows of {name}, which has no primary key and a column named _rowid_")
                    continue
                if was.nullable and any(self._has_null(schema, name, was.nullable) for schema in ("before", "main")):
                    self._unseen.append(f"rows of {name} whose primary key is NULL")
                yield name

    def _difference(self, tables: Mapping[str, TableState]) -> bytes:
        """Return the changeset that leads from the old rows of some tables to the new ones."""
        import apsw

        builder = apsw.ChangesetBuilder()  # type: ignore[no-untyped-call]
        builder.schema(self._db, "main")
        session = new_session(self._db)
        try:
            for name, table in tables.items():
                session.attach(name)
                try:
                    session.diff("before", name)
                    self._add_equals(builder, name, table)
                except apsw.Error as error:
                    self._unseen.append(f"rows of {name}: {error}")
            builder.add(session.changeset())
            return builder.output()
        finally:
            session.close()
            builder.close()

    def _add_equals(self, builder: apsw.ChangesetBuilder, name: str, table: TableState) -> None:
        """Add the rows that SQL takes for equal and that are not: 1 and 1.0, or 'a' and 'A' where case does not count.

        Session.diff compares as the columns do.
        """
        import apsw

        columns, key = (table.columns, table.key) if table.key else (("_rowid_", *table.columns), ("_rowid_",))
        values = [column for column in columns if column not in key]
        other = {column: _differs(column) for column in columns}
        same_key = " AND ".join(f"a.{quoted(column)} = b.{quoted(column)}" for column in key)
        key_differs = " OR ".join(other[column] for column in key)
        found = f"({key_differs})"
        if values:
            equal = " AND ".join(f"a.{quoted(column)} IS b.{quoted(column)}" for column in values)
            found += f" OR ({equal} AND ({' OR '.join(other[column] for column in values)}))"
        listed = ", ".join(f"{side}.{quoted(column)}" for side in "ba" for column in columns)
        query = f"SELECT {listed} FROM main.{quoted(name)} a JOIN before.{quoted(name)} b ON {same_key} WHERE {found}"  # noqa: S608 - quoted
        for row in self._db.execute(query):
            old, new = row[: len(columns)], row[len(columns) :]
            changed = [(type(x), x) != (type(y), y) for x, y in zip(old, new, strict=True)]
            if any(change and column in key for change, column in zip(changed, columns, strict=True)):
                self._unseen.append(f"rows of {name} whose keys differ in case or type alone")
                return
            builder.add_update(
                name,
                False,  # noqa: FBT003 - apsw's own: not done by a trigger
                tuple(
                    x if change or column in key else apsw.no_change
                    for x, change, column in zip(old, changed, columns, strict=True)
                ),
                tuple(y if change else apsw.no_change for y, change in zip(new, changed, strict=True)),
            )

    def _take_up(self, schema: str, name: str, table: TableState) -> None:
        """Take up the values of a whole table, which is new or gone."""
        values = self._values[name] = RowValues()
        columns, key = (table.columns, table.key) if table.key else (("_rowid_", *table.columns), ("_rowid_",))
        if table.has_no_key:
            columns = key = table.columns
        listed = ", ".join(map(quoted, columns))
        try:
            for row in self._db.execute(f"SELECT {listed} FROM {schema}.{quoted(name)}"):  # noqa: S608 - quoted
                named = dict(zip(columns, row, strict=True))
                number = [(column, named[column]) for column in key]
                if schema == "main":
                    values.insert(number, list(named.items()), hidden=("_rowid_",))
                else:
                    values.delete(number, list(named.items()))
        except UnicodeDecodeError:
            self._unseen.append(f"values in {name}: there are texts that are not UTF-8")

    def _count(self, schema: str, name: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {schema}.{quoted(name)}").get)  # noqa: S608 - quoted

    def _has_null(self, schema: str, name: str, columns: tuple[str, ...]) -> bool:
        empty = " OR ".join(f"{quoted(column)} IS NULL" for column in columns)
        return bool(self._db.execute(f"SELECT EXISTS (SELECT 1 FROM {schema}.{quoted(name)} WHERE {empty})").get)  # noqa: S608 - quoted


def _differs(column: str) -> str:
    a, b = f"a.{quoted(column)}", f"b.{quoted(column)}"
    return f"(typeof({a}) <> typeof({b}) OR {a} COLLATE BINARY IS NOT {b} COLLATE BINARY)"
