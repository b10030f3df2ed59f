"""SqliteEffects: the rows that changed in a SQLite database, exactly, and what else did that rows do not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.observe._row_values import RowValues
from hearth.observe._rows import SCHEMA, RowChanges, schema_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import apsw

__all__ = [
    "SchemaState",
    "SqliteEffects",
    "TableState",
    "count_rows",
    "new_session",
    "quoted",
    "row_changes",
    "schema_changes",
    "values_of",
]

_ROWID = "_rowid_"
_FIELD_OF = {"INSERT": 0, "UPDATE": 1, "DELETE": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteEffects:
    """What one transaction, or a step, changed in a SQLite database.

    `tables` are sorted by name. `changeset` is SQLite's (b"" when no row changed; it holds rows' values, so it is kept
    like a secret): the net change, so that a row inserted and deleted again is not in it, and a row with another
    primary key is one deleted and one inserted. `unseen` names what stands in neither: changes of the schema, virtual
    tables, rows without a key, the database's header. The counters of AUTOINCREMENT, which only ever go up, are no
    effect. `schema` are the changes of the schema and of the header, by the name of what was changed.
    """

    tables: tuple[RowChanges, ...] = ()
    changeset: bytes = b""
    unseen: tuple[str, ...] = ()
    schema_changed: bool = False
    schema: tuple[RowChanges, ...] = ()


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as sessions see it: its kind (table, virtual, shadow, view), columns, and primary key's columns in order.

    `nullable` are the key's columns that may hold NULL (SQLite lets them, but for WITHOUT ROWID and INTEGER PRIMARY
    KEY); a session records no row with one.
    """

    kind: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    nullable: tuple[str, ...]

    @property
    def has_no_key(self) -> bool:
        """Whether its rows cannot be told apart: neither a primary key, nor a rowid that a session can name."""
        return not self.key and _ROWID in (column.lower() for column in self.columns)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """A database's schema and header at one moment: statements by (type, name), tables, user_version and the like."""

    statements: dict[tuple[str, str], str]
    tables: dict[str, TableState]
    header: dict[str, int]

    @classmethod
    def of(cls, db: apsw.Connection, schema: str = "main") -> SchemaState:
        """Read it; apsw.Error where the database refuses."""
        master = f"{quoted(schema)}.sqlite_master"
        statements = {
            (str(kind), str(name)): str(sql or "")
            for kind, name, sql in db.execute(f"SELECT type, name, sql FROM {master}")  # noqa: S608 - quoted
            if not str(name).startswith("sqlite_")  # SQLite's own: statistics, counters, indexes of constraints
        }
        listed = [(str(row[1]), str(row[2]), bool(row[4])) for row in db.execute(f"PRAGMA {quoted(schema)}.table_list")]
        tables = {
            name: _table_state(db, schema, name, kind, without_rowid=without_rowid)
            for name, kind, without_rowid in listed
            if not name.startswith("sqlite_") and kind != "view"
        }
        header = {
            name: int(db.execute(f"PRAGMA {quoted(schema)}.{name}").get) for name in ("user_version", "application_id")
        }
        return cls(statements, tables, header)

    @property
    def shadows(self) -> frozenset[str]:
        """The tables in which virtual tables keep their own things."""
        return frozenset(name for name, table in self.tables.items() if table.kind == "shadow")

    def owner_of(self, shadow: str) -> str:
        """Return the virtual table that a shadow table belongs to; its own name where none is found."""
        owners = [
            name for name, table in self.tables.items() if table.kind == "virtual" and shadow.startswith(f"{name}_")
        ]
        return max(owners, key=len, default=shadow)


def schema_changes(database: str, before: SchemaState, after: SchemaState) -> tuple[RowChanges, ...]:
    """Return what of a schema and header became another, sorted by name; what virtual tables keep goes with them."""
    changed: dict[str, list[list[object]]] = {}
    for kind, name in sorted(before.statements.keys() | after.statements.keys()):
        was, now = before.statements.get((kind, name)), after.statements.get((kind, name))
        if was != now:
            changed.setdefault(name, []).append([kind, was, now])
    inner = {
        name for state in (before, after) for name in state.shadows if state.owner_of(name) in changed.keys() - {name}
    }
    for name, value in after.header.items():
        if value != before.header[name]:
            changed.setdefault(name, []).append(["PRAGMA", before.header[name], value])
    return tuple(schema_change(database, name, changed[name]) for name in sorted(changed) if name not in inner)


def _table_state(db: apsw.Connection, schema: str, name: str, kind: str, *, without_rowid: bool) -> TableState:
    if kind == "virtual":  # asking for its columns would load its module, and run what it likes
        return TableState(kind, (), (), ())
    rows = list(db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?, ?)', (name, schema)))
    key = tuple(str(row[0]) for row in sorted((row for row in rows if row[3]), key=lambda row: row[3]))
    is_rowid = len(key) == 1 and any(row[3] and str(row[1]).upper() == "INTEGER" for row in rows)
    nullable = () if without_rowid or is_rowid else tuple(str(row[0]) for row in rows if row[3] and not row[2])
    return TableState(kind, tuple(str(row[0]) for row in rows), key, nullable)


def quoted(name: str) -> str:
    """Return a name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'


def new_session(db: apsw.Connection) -> apsw.Session:
    """Return a session on the main database that also records tables without a primary key, by their rowid."""
    import apsw

    session = apsw.Session(db, "main")
    session.config(apsw.SQLITE_SESSION_OBJCONFIG_ROWID, 1)
    return session


def count_rows(changesets: Iterable[bytes]) -> dict[str, list[int]]:
    """Return for each table how many rows changesets insert, update and delete."""
    import apsw

    counts: dict[str, list[int]] = {}
    for changeset in changesets:
        for change in apsw.Changeset.iter(changeset):
            counts.setdefault(change.name, [0, 0, 0])[_FIELD_OF[change.op]] += 1
    return counts


def values_of(
    changeset: bytes, tables: Mapping[str, TableState], values: dict[str, RowValues], part: int = 0
) -> Iterator[str]:
    """Take up the values of a changeset's rows by table; yield why those of some cannot be.

    `tables` are as they were when the rows changed.
    """
    import apsw

    illegible = set()
    for change in apsw.Changeset.iter(changeset):
        table = tables.get(change.name)
        columns = () if table is None else table.columns if table.key else (_ROWID, *table.columns)
        if len(columns) != change.column_count:
            columns = tuple(f"column {number}" for number in range(1, change.column_count + 1))
        found = values.setdefault(change.name, RowValues())
        try:
            _take_up(found, change, columns, part)
        except UnicodeDecodeError:
            illegible.add(change.name)
    for name in sorted(illegible):
        yield f"values in {name}: there are texts that are not UTF-8"


def _take_up(values: RowValues, change: apsw.TableChange, columns: Sequence[str], part: int) -> None:
    import apsw

    old, new = change.old or (), change.new or ()
    keys = sorted(change.pk_columns)
    key = [(columns[number], (old or new)[number]) for number in keys]
    if change.op == "INSERT":
        # The number of a row that has none of its own is chance: what others insert meanwhile changes it.
        values.insert(key, list(zip(columns, new, strict=True)), part, hidden=(_ROWID,))
    elif change.op == "DELETE":
        values.delete(key, list(zip(columns, old, strict=True)), part)
    else:
        changed = [number for number, value in enumerate(new) if value is not apsw.no_change]
        was, is_ = ([(columns[number], side[number]) for number in changed] for side in (old, new))
        values.update(key, was, is_, part)


def row_changes(
    database: str,
    counts: dict[str, Sequence[int]] | dict[str, list[int]],
    values: Mapping[str, RowValues] | None = None,
) -> tuple[RowChanges, ...]:
    """Return counts by table as RowChanges, sorted, without the tables where nothing changed."""
    digests = {table: found.digests() for table, found in (values or {}).items()}
    return tuple(
        RowChanges(
            database=database,
            table=quoted(table) if table.startswith(SCHEMA) else table,  # none is called as changes of the schema are
            inserted=counts[table][0],
            updated=counts[table][1],
            deleted=counts[table][2],
            before=digests.get(table, ((), ()))[0],
            after=digests.get(table, ((), ()))[1],
            examples=tuple(values[table].examples) if values and table in values else (),
        )
        for table in sorted(counts)
        if any(counts[table])
    )
