"""The database as a file of SQLite: is it whole, is it a ledger's, is no row missing."""

from __future__ import annotations

import re
import sqlite3
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import is_time
from hearth.operations._fsck._report import Mend
from hearth.operations._fsck._schema import (
    APPLICATION_ID,
    DECIDING,
    INDEXES,
    LAST_OF,
    MADE_BY,
    NUMBERED,
    REVISIONS,
    TABLES,
    columns_of,
    number_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_file", "check_identity", "check_numbers", "check_schema", "connect", "rows"]

_WAIT_SECONDS = 30.0
_MOST = 1000
# Messages about rows: every column is looked at by itself, and told with the execution's id.
_OF_ROWS = re.compile(r"NULL value in|CHECK constraint failed in")
_OF_INDEX = re.compile(r"(?:in|from) index (\S+)$")
_TREE = re.compile(r"(?:Tree|On tree page) (\d+)")


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open the database, for reading unless `write`; texts that are not UTF-8 come as surrogates."""
    mode = "rw" if write else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_SECONDS)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        _begin(connection, "BEGIN IMMEDIATE" if write else "BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: sqlite3.Connection, begin: str) -> None:
    """Begin; where SQLite does not wait by itself (recovery, the last one closing), wait for it."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute(begin)
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def rows(connection: sqlite3.Connection, findings: Findings, table: str, order: str = "id") -> Iterator[dict[str, Any]]:
    """Yield a table's rows; a table that cannot be read to its end is a finding."""
    names = columns_of(table)
    try:
        for row in connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}"):  # noqa: S608 - constants
            yield dict(zip(names, row, strict=True))
    except sqlite3.Error as error:
        findings.damage("table", f"the table cannot be read to its end: {error}", where=table)


def check_file(connection: sqlite3.Connection, findings: Findings) -> None:
    """Run SQLite's own checks: pages and trees, indexes, foreign keys."""
    indexes: dict[str, str] = {}
    roots: dict[int, str] = {}
    try:
        for name, table, page in connection.execute(
            "SELECT name, tbl_name, rootpage FROM sqlite_master WHERE type = 'index'"
        ):
            indexes[str(name)], roots[page] = str(table), str(name)
        messages = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST})")]
    except sqlite3.Error as error:
        messages = [str(error)]
    for text in (line for message in messages for line in message.splitlines()):
        tree = _TREE.search(text)
        if text == "ok" or text.startswith("*** in database") or _OF_ROWS.search(text):
            continue
        named = _OF_INDEX.search(text)
        index = named[1] if named else roots.get(int(tree[1])) if tree else None
        if index is not None and indexes.get(index) in DECIDING:
            # Whoever hides a denial from what runs does it here; made anew, it would be the last trace of that.
            findings.damage("index", f"{text}: rows may have been hidden from what decides on runs", where="ledger.db")
        elif index is not None:
            findings.derived("index", text, where="ledger.db", mend=Mend("reindex", index))
        else:
            findings.damage("database", text, where="ledger.db")
    try:
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            what = f"row {row} belongs to a row of {parent} that is not there"
            if table == "execution_texts":
                findings.derived("loose-row", what, where=table, mend=Mend("delete-text", row=row))
            else:
                findings.damage("loose-row", what, where=str(table))
    except sqlite3.Error as error:
        findings.damage("database", f"foreign keys cannot be checked: {error}", where="ledger.db")


def check_schema(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> bool:
    """Compare tables and indexes with what they must be; False when the rest cannot be checked."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        findings.damage("identity", "its application_id is not a ledger's", where="ledger.db")
    found = {
        (kind, name): table
        for kind, name, table in connection.execute("SELECT type, name, tbl_name FROM sqlite_master")
        if not (kind in {"table", "index"} and name.startswith("sqlite_"))
    }
    versions = [row[0] for row in _fetched(connection, "SELECT version_num FROM alembic_version")]
    facts.revision = versions[0] if len(versions) == 1 else ""
    if facts.revision not in REVISIONS:
        findings.damage(
            "schema", f"the schema's revision is {versions!r}, not {REVISIONS[-1]!r}", where="alembic_version"
        )
    old = facts.revision in REVISIONS[:-1]
    _check_sql(connection, findings)
    last = LAST_OF.get(facts.revision, "")
    tables = list(TABLES)[: list(TABLES).index(last) + 1] if last else list(TABLES)
    whole = True
    for table in tables:
        names = tuple(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
        if names != columns_of(table):
            findings.damage("schema", f"its columns are {', '.join(names) or 'missing'}", where=table)
            whole = False
    for index, (table, listed, unique) in INDEXES.items():
        if table in tables:
            _check_index(connection, findings, index, table, listed, unique=unique)
    for kind, name in sorted(found):
        if (kind, name) not in {*(("table", table) for table in TABLES), *(("index", index) for index in INDEXES)}:
            findings.damage("schema", f"the {kind} {name!r} is none of HEARTH's", where="ledger.db")
    return whole and not old


def _check_sql(connection: sqlite3.Connection, findings: Findings) -> None:
    """Compare each table's SQL: a generated column or a conflict clause keeps rows out, and shows nowhere else."""
    for name, sql in _fetched(connection, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        made = sha256(" ".join(str(sql).split()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        if MADE_BY.get(str(name), made) != made:
            findings.damage("schema", f"the table is not as HEARTH makes it: {str(sql)[:300]}", where=str(name))


def _check_index(
    connection: sqlite3.Connection, findings: Findings, index: str, table: str, listed: str, *, unique: bool
) -> None:
    sql = f"CREATE {'UNIQUE ' if unique else ''}INDEX {index} ON {table} ({listed})"
    kinds = {row[1]: (bool(row[2]), row[4]) for row in connection.execute(f"PRAGMA index_list({table})")}
    names = ", ".join(str(row[2]) for row in connection.execute(f"PRAGMA index_info({index})"))
    if index not in kinds:
        findings.derived("index", "the index is missing", where=index, mend=Mend("index", sql))
    elif (names, *kinds[index]) != (listed, unique, 0):
        what = f"the index is over {names}, over other rows or unique where it must not be: it is not {sql}"
        findings.derived("index", what, where=index, mend=Mend("index", sql))


def check_identity(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> None:
    """Check the row that says which ledger it is."""
    found = list(rows(connection, findings, "ledger_meta"))
    if len(found) != 1:
        findings.damage("identity", f"there are {len(found)} rows, not one", where="ledger_meta")
        return
    row = found[0]
    facts.ledger_id = str(row["ledger_id"])
    if row["id"] != 1 or row["schema"] != "hearth-ledger-v1" or not re.fullmatch("[0-9a-f]{32}", facts.ledger_id):
        findings.damage("identity", "the ledger's id or schema is malformed", where="ledger_meta")
    if not is_time(row["created"]):
        findings.damage("identity", f"created is {row['created']!r}, which is no time", where="ledger_meta")


def check_numbers(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> None:
    """Check that no row is missing: rows are numbered, none is ever removed but by a purge, which says which."""
    given = dict(_fetched(connection, "SELECT name, seq FROM sqlite_sequence"))
    for table in NUMBERED:
        gone = facts.purged_rows if table == "executions" else set()
        last, column = 0, number_of(table)
        try:
            for (number,) in connection.execute(f"SELECT {column} FROM {table} ORDER BY 1"):  # noqa: S608 - constants
                _gap(findings, table, last + 1, number, gone)
                last = number
        except (sqlite3.Error, TypeError):
            continue  # told by whoever reads the rows
        most = max([last, *gone])
        stated = given.get(table)
        if (stated is None and most) or (isinstance(stated, int) and stated < most) or not isinstance(stated or 0, int):
            mend = Mend("sequence", table, row=most)
            findings.derived(
                "sequence", f"the last number given is {stated}, and {most} is there", where=table, mend=mend
            )
        elif isinstance(stated, int):
            _gap(findings, table, last + 1, stated + 1, gone)


def _gap(findings: Findings, table: str, first: int, behind: int, gone: set[int]) -> None:
    missing = [number for number in range(first, min(behind, first + _MOST)) if number not in gone]
    if missing:
        more = f" to {missing[-1]}" if len(missing) > 1 else ""
        findings.damage("removed-row", f"row {missing[0]}{more} was removed, and no tombstone tells of it", where=table)


def _fetched(connection: sqlite3.Connection, query: str) -> list[Any]:
    try:
        return connection.execute(query).fetchall()
    except sqlite3.Error:
        return []
