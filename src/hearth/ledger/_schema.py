"""Opening a ledger's database: is it ours, is it whole, which schema has it; and making a new one."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import LedgerDamagedError, LedgerError, LedgerNotFoundError
from hearth.ledger._database import APPLICATION_ID, Database, is_busy
from hearth.ledger._layout import CONSTRAINTS, LAYOUT
from hearth.ledger._private import create_private_file, keep_private
from hearth.ledger._tables import ledger_meta
from hearth.record import format_time, utc_now

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPICursor

    from hearth.ledger._home import LedgerHome

__all__ = [
    "HEAD",
    "REVISIONS",
    "SCHEMA",
    "Identity",
    "create_database",
    "open_database",
    "open_to_worsen",
    "require_own_schema",
]

REVISIONS = ("0001", "0002", "0003", "0004")
"""All revisions that this version knows, oldest first (a test compares them with the migrations)."""

HEAD = REVISIONS[-1]

SCHEMA = "hearth-ledger-v1"

SCRIPTS = "hearth.ledger:migrations"
"""Where alembic finds the migrations: a folder of this package."""

# Migrations reach their connection through names that alembic keeps once per process.
_ALEMBIC = threading.Lock()
_COMPANIONS = ("-wal", "-journal", "-shm")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which ledger it is: a random id (32 hex digits) and when it was made (UTC, as text)."""

    ledger_id: str
    created: str


def open_database(home: LedgerHome, *, busy_seconds: float) -> tuple[Database, Identity]:
    """Open the database of `home` and upgrade its schema when it is older.

    What is missing, empty, damaged, foreign or newer raises LedgerError; nothing is ever made in its place.
    At the newest schema this is a few plain queries; alembic is not even imported.
    """
    _require_sqlite_file(home)
    database = Database(home.database, busy_seconds=busy_seconds)
    try:
        revision = database.read(_revision)
        if revision != HEAD:
            database.write(_upgrade)
        database.read(lambda connection: require_own_schema(connection.connection.cursor(), home.database))
        identity = database.read(_identity)
    except BaseException:
        database.close()
        raise
    return database, identity


def open_to_worsen(home: LedgerHome, *, busy_seconds: float) -> tuple[Database, str]:
    """Open a database whatever somebody has done to its schema, and return its ledger's id, "" where it has none.

    For a worse posture alone: the kill switch needs the table `postures`, and nothing else. LedgerError for what is no
    SQLite file.
    """
    _require_sqlite_file(home)
    database = Database(home.database, busy_seconds=busy_seconds)
    try:
        return database, database.read(_identity).ledger_id
    except LedgerError:
        return database, ""
    except BaseException:
        database.close()
        raise


def require_own_schema(cursor: sqlite3.Cursor | DBAPICursor, path: Path) -> None:
    """Raise LedgerError unless application id, revision, tables and indexes are just those of the newest schema.

    A trigger, a view, an index, a generated column or another conflict clause could change what is written or read.
    """
    try:
        what = _foreign(cursor)
    except sqlite3.OperationalError as error:
        if is_busy(error):
            raise
        what = f"has a schema that cannot be read ({error})"
    if what:
        message = (
            f"{path} {what}: somebody has changed the ledger's schema. Nothing was read or written. Keep "
            "a copy of the whole folder, then restore the last backup"
        )
        raise LedgerError(message)


def _foreign(cursor: sqlite3.Cursor | DBAPICursor) -> str:
    cursor.execute("SELECT type, name, sql FROM sqlite_master")
    found: dict[str, str] = {}
    for kind, name, sql in cursor.fetchall():
        if kind == "table" and str(name).startswith("sqlite_stat"):
            continue  # what ANALYZE leaves
        text = "" if sql is None else " ".join(str(sql).split())
        expected = LAYOUT.get(name, "" if name in CONSTRAINTS else None)
        if expected is None:
            return f"has the {kind} {name!r}, which is none of HEARTH's"
        if text != expected or name in found:
            return f"has another {kind} {name!r} than HEARTH makes ({text[:200] or 'without SQL'})"
        found[name] = text
    lost = sorted((LAYOUT.keys() | CONSTRAINTS) - found.keys())
    if lost:
        kind = "table" if LAYOUT.get(lost[0], "").startswith("CREATE TABLE") else "index"
        return f"lacks the {kind} {lost[0]!r}"
    cursor.execute("PRAGMA application_id")
    number = [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT version_num FROM alembic_version NOT INDEXED")
    revisions = [row[0] for row in cursor.fetchall()]
    if number != [APPLICATION_ID]:
        return f"has the application id {number}, which is not a HEARTH ledger's"
    return "" if revisions == [HEAD] else f"has the schema {revisions!r}, and this version of HEARTH {HEAD!r}"


def create_database(home: LedgerHome) -> None:
    """Make the database of a new home, whole or not at all; one that is there already is left alone.

    It is made under another name and linked into place, so that a crash never leaves a half-made ledger and
    of two processes that make one at the same time both end with the same. A home that shows traces of a
    lost database is refused: an empty ledger in its place would hide the loss.
    """
    if home.database.exists():
        return
    _refuse_traces(home)
    draft = home.root / f"ledger.db.{secrets.token_hex(8)}.new"
    try:
        try:
            create_private_file(draft)
            database = Database(draft)
            try:
                database.read(_prepare_file)
                database.write(_make)
            finally:
                database.close()
            if draft.with_name(draft.name + "-wal").exists():
                message = f"{home.database}: the new ledger could not be written out; check the free space of its disk"
                raise LedgerError(message)
            _link(draft, home.database)
            sync_directory(home.root)
        finally:
            for path in (draft, *(draft.with_name(draft.name + ending) for ending in _COMPANIONS)):
                path.unlink(missing_ok=True)
    except OSError as error:
        message = (
            f"{home.database}: the ledger cannot be made ({error.strerror or error}); check the folder and its disk"
        )
        raise LedgerError(message) from error


def _link(draft: Path, target: Path) -> None:
    """Give the finished draft its name; whoever comes second keeps the first one's file."""
    try:
        os.link(draft, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links: take the name with an empty file, which only one can do. Should the
        # process die before the next line, the empty file is refused as damaged and hides nothing.
        with suppress(FileExistsError):
            create_private_file(target)
            draft.replace(target)


def _refuse_traces(home: LedgerHome) -> None:
    traces = [path for ending in _COMPANIONS if (path := home.database.with_name(home.database.name + ending)).exists()]
    for folder in (home.journals, home.quarantine):
        if folder.is_dir():
            traces += sorted(folder.iterdir())[:1]
    if traces and not home.database.exists():
        message = (
            f"{home.database} is missing, but {traces[0]} shows that a ledger was here; no empty one is put in its "
            "place. Restore the last backup, or move the folder away and run `hearth init`"
        )
        raise LedgerError(message)


def _require_sqlite_file(home: LedgerHome) -> None:
    path = home.database
    try:
        if not home.root.is_dir():
            message = f"{home.root} is not a folder: there is no ledger; run `hearth init`"
            raise LedgerNotFoundError(message)
        if not path.exists():
            message = (
                f"{path} is missing: {home.root} has no database. If records were stored here, restore the last "
                "backup; in a new folder, run `hearth init`"
            )
            raise LedgerNotFoundError(message)
        if not path.is_file():
            message = f"{path} is not a file; move it away and restore the last backup"
            raise LedgerError(message)
        keep_private(home.root)
        keep_private(path)
        what = "is empty" if not path.stat().st_size else _why_not_sqlite(path)
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror or error}); check the folder's owner and mode"
        raise LedgerError(message) from error
    if what:
        message = (
            f"{path} {what}: it was damaged or replaced. Keep a copy of the whole folder and restore the last backup"
        )
        raise LedgerDamagedError(message)


def _why_not_sqlite(path: Path) -> str:
    """Return "is not a SQLite database", "" where it is one; nothing beside the file is looked at, and none is made.

    SQLite itself reads it. Whoever opens the file otherwise drops, with closing it, every lock that this process has on
    it (POSIX advisory locks, fcntl(2)): others would take a ledger that is open here for one that nobody has open, and
    remove its write-ahead log under our hands.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_CANTOPEN:
            raise OSError(0, "it cannot be opened") from error
        return "is not a SQLite database" if code == sqlite3.SQLITE_NOTADB else ""
    return ""


def _revision(connection: Connection) -> str:
    """Return the schema's revision, known to be one of REVISIONS."""
    if connection.exec_driver_sql("PRAGMA application_id").scalar_one() != APPLICATION_ID:
        message = f"{_file(connection)} is a SQLite database, but not a HEARTH ledger; name another folder"
        raise LedgerError(message)
    rows = connection.exec_driver_sql(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('alembic_version', 'ledger_meta')"
    ).scalar_one()
    found = (
        connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() if rows == 2 else []  # noqa: PLR2004 - the two tables just named
    )
    if len(found) != 1:
        message = f"{_file(connection)}: the schema's version is missing or stands there twice; restore the last backup"
        raise LedgerDamagedError(message)
    if found[0] not in REVISIONS:
        message = (
            f"{_file(connection)} has schema {found[0]!r}, which this version of HEARTH does not know (it knows up to "
            f"{HEAD!r}): it was written by a newer one. Upgrade HEARTH; nothing was changed"
        )
        raise LedgerError(message)
    return str(found[0])


def _identity(connection: Connection) -> Identity:
    rows = connection.execute(ledger_meta.select()).all()
    if len(rows) != 1 or rows[0].schema != SCHEMA or not isinstance(rows[0].ledger_id, str):
        message = f"{_file(connection)}: the ledger's identity is missing or unknown; restore the last backup"
        raise LedgerError(message)
    return Identity(ledger_id=rows[0].ledger_id, created=str(rows[0].created))


def _prepare_file(connection: Connection) -> None:
    # Both are kept in the file's header, and the journal mode cannot change inside a transaction.
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")


def _make(connection: Connection) -> None:
    _migrate(connection)
    connection.execute(
        ledger_meta.insert().values(
            id=1, ledger_id=secrets.token_hex(16), created=format_time(utc_now()), schema=SCHEMA
        )
    )


def _upgrade(connection: Connection) -> None:
    # Another process may have upgraded it while this one waited for the lock.
    if _revision(connection) != HEAD:
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    # Imported here: alembic costs more than all of opening, and is needed once per schema.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = connection
    try:
        with _ALEMBIC:
            command.upgrade(config, HEAD)
    except CommandError as error:
        message = f"{_file(connection)}: the schema cannot be upgraded ({error}); nothing was changed"
        raise LedgerError(message) from error


def _file(connection: Connection) -> str:
    return str(connection.exec_driver_sql("PRAGMA database_list").all()[0][2])
