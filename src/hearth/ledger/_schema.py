"""Opening a ledger's database: is it ours, is it whole, which schema has it; and making a new one."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.errors import LedgerDamagedError, LedgerError, LedgerNotFoundError
from hearth.ledger._database import APPLICATION_ID, Database
from hearth.ledger._private import create_private_file, keep_private, sync_folder
from hearth.ledger._tables import ledger_meta, metadata
from hearth.record import format_time, utc_now

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from hearth.ledger._home import LedgerHome

__all__ = [
    "HEAD",
    "REVISIONS",
    "SCHEMA",
    "Identity",
    "create_database",
    "open_database",
    "open_to_worsen",
    "require_same_schema",
]

REVISIONS = ("0001", "0002")
"""All revisions that this version knows, oldest first (a test compares them with the migrations)."""

HEAD = REVISIONS[-1]

SCHEMA = "hearth-ledger-v1"

OBJECTS = frozenset(
    {("table", "alembic_version", "alembic_version")}
    | {("table", table.name, table.name) for table in metadata.tables.values()}
    | {("index", str(index.name), table.name) for table in metadata.tables.values() for index in table.indexes}
)
"""What the newest schema consists of: kind, name and table."""

SCRIPTS = "hearth.ledger:migrations"
"""Where alembic finds the migrations: a folder of this package."""

_MAGIC = b"SQLite format 3\0"
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
        database.read(lambda connection: require_same_schema(connection, database))
        identity = database.read(_identity)
    except BaseException:
        database.close()
        raise
    return database, identity


def open_to_worsen(home: LedgerHome, *, busy_seconds: float) -> tuple[Database, str]:
    """Open a database whatever objects somebody has put into it, and return its ledger's id, "" where it has none.

    For a lockdown alone: the kill switch needs the posture's table, and nothing else. What is no ledger of a known
    schema raises LedgerError.
    """
    _require_sqlite_file(home)
    database = Database(home.database, busy_seconds=busy_seconds)
    try:
        database.read(_revision)
        try:
            return database, database.read(_identity).ledger_id
        except LedgerError:
            return database, ""
    except BaseException:
        database.close()
        raise


def require_same_schema(connection: Connection, database: Database) -> None:
    """Raise LedgerError where the schema has changed since it was looked at, and is not HEARTH's any more."""
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    if version != database.schema_version:
        _require_own_objects(connection)  # VACUUM counts it up as well
        database.schema_version = version


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
            sync_folder(home.root)
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
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror or error}); check the folder's owner and mode"
        raise LedgerError(message) from error
    if magic != _MAGIC:
        what = "is empty" if not magic else "is not a SQLite database"
        message = (
            f"{path} {what}: it was damaged or replaced. Keep a copy of the whole folder and restore the last backup"
        )
        raise LedgerDamagedError(message)


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


def _require_own_objects(connection: Connection) -> None:
    """Refuse a trigger, a view, a table or an index that no migration made: it could change what is written or read."""
    rows = connection.exec_driver_sql("SELECT type, name, tbl_name FROM sqlite_master").all()
    # SQLite's own tables and indexes have reserved names; its triggers and views do not exist.
    found = {tuple(row) for row in rows if row.type not in {"table", "index"} or not row.name.startswith("sqlite_")}
    foreign, lost = sorted(found - OBJECTS), sorted(OBJECTS - found)
    if foreign or lost:
        kind, name, _ = (foreign or lost)[0]
        what = f"has the {kind} {name!r}, which is none of HEARTH's" if foreign else f"lacks the {kind} {name!r}"
        message = (
            f"{_file(connection)} {what}: somebody has changed the ledger's schema. Nothing was read or written. Keep "
            "a copy of the whole folder, then restore the last backup"
        )
        raise LedgerError(message)


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
