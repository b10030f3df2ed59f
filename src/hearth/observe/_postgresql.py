"""PostgresCounts: how many rows of which table one transaction has changed in PostgreSQL, told before it commits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import ObservationError
from hearth.observe._postgresql_images import PostgresImages, UnreadRowsError
from hearth.observe._postgresql_schema import changed_catalogs, changed_relations
from hearth.observe._rows import SCHEMA, RowChanges

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["PostgresCounts", "PostgresEffects", "postgres_name"]

_NO_COUNTS = "rows: the server does not count them (track_counts is off)"
_USUAL_PORT = 5432
# Tables by their name as it is told: with the schema, but for "public".
_TOLD = "CASE WHEN {0}.nspname = 'public' THEN {1}.relname ELSE {0}.nspname || '.' || {1}.relname END"
_OURS = "n.nspname !~ '^pg_(toast|temp)' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
_ROWS = (
    "SELECT s.relid, CASE WHEN s.schemaname = 'public' THEN s.relname ELSE s.schemaname || '.' || s.relname END,"
    " s.n_tup_ins, s.n_tup_upd, s.n_tup_del FROM pg_stat_xact_user_tables s WHERE s.schemaname !~ '^pg_temp'"
)
_CATALOGS = (
    "SELECT s.relid, s.relname, s.n_tup_ins, s.n_tup_upd, s.n_tup_del FROM pg_stat_xact_sys_tables s"
    " WHERE s.schemaname = 'pg_catalog'"
)
_RELATIONS = (
    f"SELECT c.oid, {_TOLD.format('n', 'c')}, c.relfilenode, c.relkind::text"  # noqa: S608 - constants
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS} AND c.relkind <> 'i'"
)
# Who calls nextval() or setval() keeps a lock on the sequence until the transaction ends, as who writes a table does.
_WRITTEN = (
    f"SELECT DISTINCT c.relkind::text, {_TOLD.format('n', 'c')} FROM pg_locks l"  # noqa: S608 - constants
    " JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND {_OURS}"
    " AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
    " AND c.relkind IN ('S', 'f') ORDER BY 2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresEffects:
    """What a transaction has changed: rows by table, the schema, and reasons why it may have done more than that."""

    tables: tuple[RowChanges, ...]
    unseen: tuple[str, ...]
    schema_changed: bool
    schema: tuple[RowChanges, ...] = ()


class PostgresCounts:
    """Counts what a transaction does from now on: made at its beginning, asked by `effects()` before its commit.

    `connection` is psycopg's. The counts are the server's own for this transaction (pg_stat_xact_user_tables and
    pg_stat_xact_sys_tables), with what triggers, foreign keys and functions do; exact, but that rows which were taken
    back to a savepoint are counted too. A partition counts as a table. psycopg.Error as the server says it;
    ObservationError when the connection has no transaction, as with autocommit.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._database = postgres_name(connection)
        self._counted = self._is_counted()
        # Until the server has taken them over, what earlier transactions of this connection did is counted too.
        self._rows = self._counts(_ROWS)
        self._catalogs = self._counts(_CATALOGS)
        self._relations = self._relations_now()
        # PQTRANS_INTRANS of libpq: within a transaction, and no error in it
        if int(connection.info.transaction_status) != 2:  # noqa: PLR2004 - see above
            raise ObservationError("rows are counted in a transaction: the connection has none (autocommit)")

    def effects(self, *, values: bool = False) -> PostgresEffects:
        """Return what was done so far; deferred constraints and triggers are worked off for it, as a commit does.

        With `values` the rows have digests of what they held and hold, and examples; where that cannot be read, it
        stands in `unseen`.
        """
        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        counted = self._counted and self._is_counted()
        unseen = [] if counted else [_NO_COUNTS]
        changed_rows = self._since(_ROWS, self._rows)
        tables = [
            RowChanges(
                database=self._database,
                table=f'"{name}"'
                if name.startswith(SCHEMA)
                else name,  # no table is called as the schema's changes are
                inserted=counts[0],
                updated=counts[1],
                deleted=counts[2],
            )
            for _, name, counts in changed_rows
        ]
        if values:
            tables = list(self._with_values(tables, [oid for oid, _, _ in changed_rows], unseen))
        before, after = self._relations, self._relations_now()
        written = [(name, counts) for _, name, counts in self._since(_CATALOGS, self._catalogs)]
        catalogs = [name for name, _ in written]
        schema = [
            *changed_relations(self._database, before, after),
            *changed_catalogs(self._connection, self._database, written),
        ]
        for oid in sorted(before.keys() | after.keys()):
            was, now = before.get(oid), after.get(oid)
            if was is None or now is None:
                name, _, kind = now or was or ("", 0, "")
                unseen.append(
                    f"the schema: {'DROP' if now is None else 'CREATE'} {_KINDS.get(kind, 'relation')} {name}"
                )
            elif was[0] != now[0]:
                unseen.append(f"the schema: {was[0]} is {now[0]} now")
            elif was[1] != now[1] and now[2] != "S":
                unseen.append(f"rows of {now[0]}: it was truncated or written anew")
        changed = bool(catalogs) or before.keys() != after.keys()
        if catalogs:
            unseen.append(f"the schema: {', '.join(sorted(catalogs))} changed (a temporary table does that too)")
        for kind, name in self._connection.execute(_WRITTEN.encode()).fetchall():
            if kind == "S":
                unseen.append(f"the sequence {name}, which stays advanced whatever becomes of the transaction")
            else:
                unseen.append(f"rows of {name}, a foreign table")
        return PostgresEffects(
            tables=tuple(sorted(tables, key=lambda row: row.table)),
            unseen=tuple(unseen),
            schema_changed=changed,
            schema=tuple(schema),
        )

    def _with_values(self, tables: list[RowChanges], oids: list[int], unseen: list[str]) -> Iterator[RowChanges]:
        with PostgresImages(self._connection) as images:
            for row, oid in zip(tables, oids, strict=True):
                try:
                    values = images.of(oid)
                except UnreadRowsError as why:
                    unseen.append(f"values in {row.table}: {why}")
                    yield row
                else:
                    before, after = values.digests()
                    yield replace(row, before=before, after=after, examples=tuple(values.examples))

    def _is_counted(self) -> bool:
        found = self._connection.execute("SELECT current_setting('track_counts')").fetchone()
        return found is not None and found[0] == "on"

    def _counts(self, query: str) -> dict[int, tuple[str, tuple[int, int, int]]]:
        found = self._connection.execute(query.encode()).fetchall()
        return {int(oid): (str(name), (int(ins), int(upd), int(gone))) for oid, name, ins, upd, gone in found}

    def _since(
        self, query: str, before: dict[int, tuple[str, tuple[int, int, int]]]
    ) -> list[tuple[int, str, tuple[int, int, int]]]:
        """Return what was counted since the beginning, without the tables where nothing was."""
        grown = []
        for oid, (name, counts) in self._counts(query).items():
            earlier = before.get(oid, (name, (0, 0, 0)))[1]
            # TRUNCATE sets the counts of its own transaction back, and is told by itself.
            more = tuple(max(0, now - was) for now, was in zip(counts, earlier, strict=True))
            if any(more):
                grown.append((oid, name, (more[0], more[1], more[2])))
        return grown

    def _relations_now(self) -> dict[int, tuple[str, int, str]]:
        found = self._connection.execute(_RELATIONS.encode()).fetchall()
        return {int(oid): (str(name), int(file), str(kind)) for oid, name, file, kind in found}


_KINDS = {
    "r": "TABLE",
    "p": "TABLE",
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "S": "SEQUENCE",
    "f": "FOREIGN TABLE",
    "c": "TYPE",
    "I": "INDEX",
}


def postgres_name(connection: psycopg.Connection[Any]) -> str:
    """Return server/database as effects tell it: `db.example/app`, with the port where it is not 5432, no user."""
    info = connection.info
    host = "localhost" if not info.host or info.host.startswith(("/", "@")) else info.host
    port = "" if info.port == _USUAL_PORT else f":{info.port}"
    return f"{host}{port}/{info.dbname}"
