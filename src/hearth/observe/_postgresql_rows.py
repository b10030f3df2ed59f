"""preview_rows: which rows statements would change in PostgreSQL, exactly; they run, and are rolled back."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hearth.errors import ObservationError
from hearth.observe._postgresql import PostgresCounts, postgres_name
from hearth.observe._rows import RowChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

__all__ = ["PostgresPreview", "RowImage", "preview_rows"]

_LOCK_WAIT = "5s"
_SEES = """
CREATE FUNCTION pg_temp.hearth_see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$ BEGIN
    INSERT INTO pg_temp.hearth_seen (relation, operation, before, after) VALUES (
        TG_RELID, TG_OP,
        CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
        CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END $$
"""
_SEEN = """
CREATE TEMPORARY TABLE hearth_seen (
    number bigint GENERATED ALWAYS AS IDENTITY, relation oid, operation text, before jsonb, after jsonb)
"""
# A trigger on a partitioned table is on all its partitions. "zzz": triggers fire by name, and ours is to be the last.
_TABLES = """
SELECT c.oid, n.nspname, c.relname, has_table_privilege(c.oid, 'TRIGGER')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY c.oid
"""
_ROWS = """
SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
       s.operation, s.before::text, s.after::text
FROM pg_temp.hearth_seen s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY s.number LIMIT %s
"""
_TOTALS = """
SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
       count(*) FILTER (WHERE s.operation = 'INSERT'),
       count(*) FILTER (WHERE s.operation = 'UPDATE'),
       count(*) FILTER (WHERE s.operation = 'DELETE')
FROM pg_temp.hearth_seen s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class RowImage:
    """One change of a row: `operation` is INSERT, UPDATE or DELETE, `before` and `after` its values by column, or None.

    Values are what PostgreSQL's to_jsonb gives; numbers with a fraction are Decimal. They may hold secrets.
    """

    table: str
    operation: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class PostgresPreview:
    """What a preview has shown: empty until its block is left.

    `tables` counts every change of a row that lasted to the end of the transaction, `rows` are the first of them in
    their order, `unseen` the reasons why there may be more.
    """

    def __init__(self) -> None:
        self.tables: tuple[RowChanges, ...] = ()
        self.rows: tuple[RowImage, ...] = ()
        self.unseen: tuple[str, ...] = ()
        self.schema_changed = False


@contextlib.contextmanager
def preview_rows(
    connection: psycopg.Connection[Any], *, tables: Sequence[str] | None = None, most: int = 1000
) -> Iterator[PostgresPreview]:
    """Run the block's statements under row triggers that last as long as its transaction, which is always rolled back.

    `connection` is psycopg's, without a transaction; `tables` are the names to look at (`table` or `schema.table`; all
    where None), `most` the number of rows that are kept. While the block runs, nobody else can write to these tables
    (CREATE TRIGGER takes a SHARE ROW EXCLUSIVE lock; it is waited for 5 s). Sequences stay advanced. Tables that may
    have no trigger are in `unseen` when they were written. psycopg.Error as the server says it; ObservationError when
    there is a transaction already, or the block ended it. PostgreSQL 13 or newer.
    """
    # PQTRANS_IDLE of libpq
    if int(connection.info.transaction_status) != 0 or connection.autocommit:
        raise ObservationError("a preview needs a connection without autocommit, and without a transaction under way")
    preview = PostgresPreview()
    try:
        _place_triggers(connection, tables)
        counts = PostgresCounts(connection)
        transaction = _transaction(connection)
        yield preview
        if int(connection.info.transaction_status) == 0 or _transaction(connection) != transaction:
            _take_triggers_away(connection)
            raise ObservationError("the statements ended the transaction of their preview: look at what they committed")
        _read(connection, preview, counts, most)
    finally:
        connection.rollback()


def _transaction(connection: psycopg.Connection[Any]) -> Any:  # noqa: ANN401 - a number, compared only
    found = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    return found and found[0]


def _place_triggers(connection: psycopg.Connection[Any], tables: Sequence[str] | None) -> None:
    from psycopg import sql

    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_WAIT))
    connection.execute(_SEEN)
    connection.execute(_SEES)
    for _, schema, name, allowed in connection.execute(_TABLES).fetchall():
        told = name if schema == "public" else f"{schema}.{name}"
        if allowed and (tables is None or told in tables or f"{schema}.{name}" in tables):
            trigger = sql.SQL(
                "CREATE TRIGGER zzz_hearth_see AFTER INSERT OR UPDATE OR DELETE ON {}"
                " FOR EACH ROW EXECUTE FUNCTION pg_temp.hearth_see()"
            )
            connection.execute(trigger.format(sql.Identifier(schema, name)))
    connection.execute("SET LOCAL lock_timeout = DEFAULT")


def _take_triggers_away(connection: psycopg.Connection[Any]) -> None:
    """Remove what a commit has left; the end of the session would."""
    connection.rollback()
    connection.execute("DROP FUNCTION IF EXISTS pg_temp.hearth_see() CASCADE")
    connection.execute("DROP TABLE IF EXISTS pg_temp.hearth_seen")
    connection.commit()


def _read(connection: psycopg.Connection[Any], preview: PostgresPreview, counts: PostgresCounts, most: int) -> None:
    database = postgres_name(connection)
    effects = counts.effects()
    seen = {
        str(name): RowChanges(database=database, table=name, inserted=inserted, updated=updated, deleted=deleted)
        for name, inserted, updated, deleted in connection.execute(_TOTALS).fetchall()
    }
    unseen = []
    for row in effects.tables:
        if row.table not in seen:
            seen[row.table] = row
            unseen.append(f"which rows of {row.table}: it has no trigger of the preview, so they are counted only")
        elif row.total != seen[row.table].total:
            unseen.append(
                f"rows of {row.table}: {row.total} were counted and {seen[row.table].total} seen, since the others were"
                " taken back to a savepoint, or triggers were off"
            )
    preview.tables = tuple(seen[name] for name in sorted(seen))
    preview.rows = tuple(
        RowImage(name, operation, _values(before), _values(after))
        for name, operation, before, after in connection.execute(_ROWS, (most,)).fetchall()
    )
    preview.unseen = (*unseen, *effects.unseen)
    preview.schema_changed = effects.schema_changed


def _values(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text, parse_float=Decimal)
