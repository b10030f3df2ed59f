"""SqliteRecorder: watches one connection's transaction, so that its changeset is known before it commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import apsw

    from hearth.observe._row_values import RowValues
    from hearth.observe._sqlite_effects import TableState

__all__ = ["SqliteRecorder"]


class SqliteRecorder:
    """Records what a transaction does to the main database: rows by a session, the rest by what has to be allowed.

    `before()` is called before a statement is compiled, `compiled()` before it runs, `effects()` before the commit,
    `end()` after it. A change of the schema ends a session (SQLite gives no changeset across it), and the next
    statement begins another, so that a migration's rows are seen too. ATTACH and DETACH are refused: what happens in
    another file would go unseen. `database` is the name that effects are told under.
    """

    def __init__(self, db: apsw.Connection, database: str) -> None:
        self._db = db
        self._database = database
        self._reset()
        db.authorizer = self._authorize

    def _reset(self) -> None:
        self._before: SchemaState | None = None
        self._now: SchemaState | None = None
        self._session: apsw.Session | None = None
        self._pieces: list[tuple[bytes, dict[str, TableState]]] = []
        self._written: set[str] = set()
        self._looked_at: set[str] = set()
        self._unseen: dict[str, None] = {}
        self._defines = False
        self._ours = False

    def before(self) -> None:
        """Get ready for a statement that is about to be compiled. apsw.Error, as for a statement of its own.

        SQLite looks for a session when it compiles: without one, `DELETE FROM t` drops all rows unseen.
        """
        if not self._db.in_transaction:
            self.end()  # also where SQLite itself has rolled back, as for ON CONFLICT ROLLBACK
            return
        if self._session is not None:
            return
        self._ours = True
        try:
            self._now = SchemaState.of(self._db)
            if self._before is None:
                self._before = self._now
            self._session = new_session(self._db)
            shadows = self._now.shadows
            self._session.table_filter(lambda table: table not in shadows and not table.startswith("sqlite_"))
        finally:
            self._ours = False

    def compiled(self) -> None:
        """Take note that the statement just compiled is about to run. apsw.Error as above."""
        if not self._db.in_transaction:
            return
        self._ours = True
        try:
            if self._defines:
                self._close_session()
                self._now = None
            self._look_for_rows_without_key()
        finally:
            self._ours = False
            self._defines = False

    def effects(self) -> SqliteEffects:
        """Return what the open transaction has done so far; it may go on. apsw.Error where SQLite cannot tell."""
        if self._before is None or not self._db.in_transaction:
            return SqliteEffects()
        import apsw

        self._ours = True
        try:
            after = SchemaState.of(self._db)
            self._close_session()
            self._now = None
            self._looked_at.clear()
            self._now = after
            self._look_for_rows_without_key()
            self._now = None
        finally:
            self._ours = False
        pieces = [piece for piece, _ in self._pieces if piece]
        unseen = dict(self._unseen)
        values: dict[str, RowValues] = {}
        for part, (piece, tables) in enumerate(self._pieces):
            unseen |= dict.fromkeys(values_of(piece, tables, values, part))
        changeset = b"".join(pieces[:1])
        if len(pieces) > 1:
            builder = apsw.ChangesetBuilder()  # type: ignore[no-untyped-call]
            try:
                for piece in pieces:
                    builder.add(piece)
                changeset = builder.output()
                pieces = [changeset]
            except apsw.Error:
                changeset = b""
                unseen["which rows changed: a table has other columns than before, so they are counted only"] = None
            finally:
                builder.close()
        for name, value in after.header.items():
            if value != self._before.header[name]:
                unseen[f"PRAGMA {name} is {value}, and was {self._before.header[name]}"] = None
        changed = self._before.statements != after.statements
        if changed and not any(reason.startswith("the schema: ") for reason in unseen):
            unseen["the schema was changed by writing into it"] = None
        return SqliteEffects(
            tables=row_changes(self._database, count_rows(pieces), values),
            changeset=changeset,
            unseen=tuple(unseen),
            schema_changed=changed,
            schema=schema_changes(self._database, self._before, after),
        )

    def end(self) -> None:
        """Forget the transaction, which has ended; closing the connection comes after it."""
        if self._session is not None:
            self._session.close()
        self._reset()

    def _close_session(self) -> None:
        """Keep what the session has recorded, and end it."""
        if self._session is None:
            return
        import apsw

        try:
            self._pieces.append((self._session.changeset(), {} if self._now is None else self._now.tables))
        except apsw.SchemaChangeError:
            self._unseen["which rows changed: the schema did so under them"] = None
        except apsw.Error:
            self._unseen["which rows changed: SQLite was interrupted when it was asked"] = None
            raise
        finally:
            self._session.close()
            self._session = None

    def _look_for_rows_without_key(self) -> None:
        """Name the tables that are written and hold rows which no session can record."""
        now = self._now
        if now is None:
            return
        for name in sorted(self._written - self._looked_at):
            self._looked_at.add(name)
            table = now.tables.get(name)
            if table is None:
                continue
            if table.kind == "virtual":
                self._unseen[f"rows of {name}, a virtual table"] = None
            elif table.kind == "shadow":
                self._unseen[f"rows of {now.owner_of(name)}, a virtual table"] = None
            elif table.has_no_key:
                self._unseen[f"rows of {name}, which has no primary key and a column named _rowid_"] = None
            elif table.nullable:
                empty = " OR ".join(f"{quoted(column)} IS NULL" for column in table.nullable)
                if self._db.execute(f"SELECT EXISTS (SELECT 1 FROM main.{quoted(name)} WHERE {empty})").get:  # noqa: S608 - quoted
                    self._unseen[f"rows of {name} whose primary key is NULL"] = None

    def _authorize(
        self, operation: int, first: str | None, second: str | None, database: str | None, _: str | None
    ) -> int:
        """Take note of what a statement will do; SQLite calls this while it compiles one (sqlite3_set_authorizer)."""
        import apsw

        if operation in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH):  # a name that is a parameter is not told
            return apsw.SQLITE_DENY
        if self._ours or first is None:
            return apsw.SQLITE_OK
        if operation in (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE):
            if database == "main":
                self._write(first)
            return apsw.SQLITE_OK
        if operation == apsw.SQLITE_SAVEPOINT and first == "ROLLBACK" and self._pieces:
            self._unseen["which rows were taken back to a savepoint: the schema was changed after it"] = None
        name = str(apsw.mapping_authorizer_function[operation]).removeprefix("SQLITE_")
        if name == "ANALYZE":
            self._unseen[f"{name} {first}"] = None
        elif operation == apsw.SQLITE_ALTER_TABLE:  # it is told database first, then the table
            if first == "main":
                self._define("ALTER TABLE", second or "")
        elif name.startswith(("CREATE_", "DROP_")) and "TEMP" not in name and not first.startswith("sqlite_autoindex_"):
            self._define(name.replace("VTABLE", "VIRTUAL TABLE").replace("_", " "), first)
        return apsw.SQLITE_OK

    def _write(self, table: str) -> None:
        if table.startswith("sqlite_"):
            if table not in ("sqlite_master", "sqlite_schema"):  # a change of the schema is told by its statement
                self._unseen[f"rows of {table}, a table of SQLite's own"] = None
            return
        self._written.add(table)

    def _define(self, what: str, name: str) -> None:
        self._unseen[f"the schema: {what} {name}"] = None
        self._defines = True
