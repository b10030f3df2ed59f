"""What changed between two states of a SQLite database, row by row, from its files alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ObservationError
from hearth.observe._sqlite_effects import SchemaState, SqliteEffects, count_rows, new_session, quoted, row_changes
from hearth.observe._sqlite_files import open_unchanged, readable_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

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
        same = list(self._comparable(before, after))
        changeset = self._difference(name for name in same if before.tables[name].kind == "table")
        for name, counts in count_rows([changeset]).items():
            self._counts[name] = counts
        shadows = count_rows([self._difference(name for name in same if before.tables[name].kind == "shadow")])
        for owner in sorted({after.owner_of(shadow) for shadow in shadows}):
            self._unseen.append(f"rows of {owner}, a virtual table")
        return SqliteEffects(
            tables=row_changes(self._name, self._counts),
            changeset=changeset,
            unseen=tuple(self._unseen),
            schema_changed=changed,
        )

    def _comparable(self, before: SchemaState, after: SchemaState) -> Iterator[str]:
        """Yield the tables that are on both sides alike; count those that are on one, name the others."""
        for name in sorted(before.tables.keys() | after.tables.keys()):
            was, now = before.tables.get(name), after.tables.get(name)
            if now is None or was is None:
                if was is not None and was.kind == "table":
                    self._counts[name] = [0, 0, self._count("before", name)]
                elif now is not None and now.kind == "table":
                    self._counts[name] = [self._count("main", name), 0, 0]
            elif was != now:
                self._unseen.append(f"rows of {name}: it has other columns than before")
            elif was.kind in ("table", "shadow"):
                if was.has_no_key:
                    self._unseen.append(f"rows of {name}, which has no primary key and a column named _rowid_")
                    continue
                if was.nullable and any(self._has_null(schema, name, was.nullable) for schema in ("before", "main")):
                    self._unseen.append(f"rows of {name} whose primary key is NULL")
                yield name

    def _difference(self, names: Iterator[str]) -> bytes:
        """Return the changeset that leads from the old rows of some tables to the new ones."""
        import apsw

        session = new_session(self._db)
        try:
            for name in names:
                session.attach(name)
                try:
                    session.diff("before", name)
                except apsw.Error as error:
                    self._unseen.append(f"rows of {name}: {error}")
            return session.changeset()
        finally:
            session.close()

    def _count(self, schema: str, name: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {schema}.{quoted(name)}").get)  # noqa: S608 - quoted

    def _has_null(self, schema: str, name: str, columns: tuple[str, ...]) -> bool:
        empty = " OR ".join(f"{quoted(column)} IS NULL" for column in columns)
        return bool(self._db.execute(f"SELECT EXISTS (SELECT 1 FROM {schema}.{quoted(name)} WHERE {empty})").get)  # noqa: S608 - quoted
