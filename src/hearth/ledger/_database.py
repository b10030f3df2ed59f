"""One SQLite file: connections with the right settings, transactions that wait their turn, errors in plain words."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hearth.errors import LedgerDamagedError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

__all__ = ["APPLICATION_ID", "BUSY_SECONDS", "Database", "explain", "is_busy", "told"]

Result = TypeVar("Result")

APPLICATION_ID = 0x48525448
"""`HRTH`, in the database's header: tells a ledger from another application's SQLite file."""

BUSY_SECONDS = 60.0
"""How long a transaction waits for others before it gives up."""

# SQLite itself does not wait: its steps grow to 100 ms, while a transaction here takes a few, so waiting writers would
# mostly sleep; and in some cases (recovery, the last one closing) it does not wait anyway. We poll, with random pauses.
_SQLITE_WAIT_SECONDS = 0.0
_PAUSE_SECONDS = (0.0005, 0.006)
_PRIMARY = 0xFF
_WAITING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

# Engines inherited through fork: never used and never closed, for closing would touch the parent's locks.
_ABANDONED: list[Engine] = []


class Database:
    """Transactions on one existing SQLite file, for any number of threads and processes.

    `read` and `write` run a function with a connection inside one transaction and return its result: the
    function may be run again when the database was busy, so it does nothing but SQL. A `write` that returned
    is durable (WAL, synchronous=FULL); one that raised changed nothing, unless the message says otherwise.
    All errors are LedgerError. Values never appear in them.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._file = self._file_named()
        self._engine: Engine | None = self._new_engine()
        self._process = os.getpid()

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` on one consistent snapshot."""
        return self._run("BEGIN", work)

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` as the only writer, then commit durably."""
        result = self._run("BEGIN IMMEDIATE", work)
        # A database that was replaced meanwhile has taken the change with it.
        self._require_same_file()
        return result

    def close(self) -> None:
        """Close all connections of this process; later calls raise LedgerError."""
        engine, self._engine = self._engine, None
        if engine is not None and self._process == os.getpid():
            engine.dispose()
        elif engine is not None:
            _ABANDONED.append(engine)

    def _run(self, begin: str, work: Callable[[Connection], Result]) -> Result:
        self._require_same_file()
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                with self._plain_errors(), self._usable_engine().connect() as connection, connection.begin():
                    _begin(connection, begin, deadline)
                    return work(connection)
            except _BusyError as busy:
                if time.monotonic() >= deadline:
                    message = (
                        f"{self.path}: other processes have kept the ledger busy for {self._busy_seconds:g} s; "
                        "nothing was changed. Look for a process that holds it open, then try again"
                    )
                    raise LedgerError(message) from busy.__cause__
            _pause()

    def _file_named(self) -> tuple[int, int] | None:
        """Which file the path names now, None if it names none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _require_same_file(self) -> None:
        if self._file_named() != self._file:
            message = (
                f"{self.path}: the database was moved, deleted or replaced while it was open, and what was written to "
                "it may be lost. Stop everything that uses this ledger, then open it again"
            )
            raise LedgerError(message)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            primary = _primary_code(cause)
            if primary in _WAITING:
                raise _BusyError from error
            kind = LedgerDamagedError if _EXPLANATIONS.get(primary or 0) is _DAMAGED else LedgerError
            raise kind(f"{self.path}: {_explain(primary, cause)}") from error
        except UnicodeEncodeError as error:
            message = f"{self.path}: a text has a lone surrogate, which no ledger can hold; nothing was changed"
            raise LedgerError(message) from error
        except UnicodeDecodeError as error:
            # SQLite quotes the damaged schema in its message, and sqlite3 cannot decode that.
            raise LedgerDamagedError(f"{self.path}: {_DAMAGED.format(found='a text is not UTF-8')}") from error
        except OverflowError as error:
            message = f"{self.path}: a number is too large for the ledger; nothing was changed"
            raise LedgerError(message) from error
        except OSError as error:
            message = f"{self.path}: {error.strerror or error}"
            raise LedgerError(message) from error

    def _usable_engine(self) -> Engine:
        if self._engine is None:
            message = f"{self.path}: this ledger is closed; open it again"
            raise LedgerError(message)
        if self._process != os.getpid():
            _ABANDONED.append(self._engine)
            self._engine = self._new_engine()
            self._process = os.getpid()
        return self._engine

    def _new_engine(self) -> Engine:
        return create_engine(
            "sqlite+pysqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            max_overflow=-1,
            # SQLAlchemy's messages would quote the values of a failed statement.
            hide_parameters=True,
        )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            # mode=rw: a missing file is an error, never a new, empty database.
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=_SQLITE_WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = told
        try:
            for setting in _SETTINGS:
                connection.execute(setting).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection


_SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    # What is erased (a disclosed value, a purged record) leaves no readable bytes behind.
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_size_limit = 67108864",
)


def _begin(connection: Connection, begin: str, deadline: float) -> None:
    """Begin, waiting for our turn. On the driver's own connection, for a failed try has to be cheap."""
    cursor = connection.connection.cursor()
    while True:
        try:
            cursor.execute(begin)
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in _WAITING or time.monotonic() >= deadline:
                raise
        else:
            return
        _pause()


def _pause() -> None:
    time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - only to spread the waiting processes


def _primary_code(error: BaseException | None) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & _PRIMARY if isinstance(code, int) else None


class _BusyError(Exception):
    """Another connection holds what this transaction needs."""


_DAMAGED = (
    "the database is damaged ({found}); nothing was changed. Keep a copy of the whole folder, then restore the last "
    "backup. Journals and exported records are not affected"
)
_EXPLANATIONS = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
    sqlite3.SQLITE_FULL: "the disk is full ({found}); nothing was stored. Free some space and try again",
    sqlite3.SQLITE_READONLY: (
        "the database cannot be written ({found}); nothing was stored. Check the folder's owner, mode and mount"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened ({found}). Check that it is there and that its folder can be written"
    ),
    sqlite3.SQLITE_PERM: "access to the database is denied ({found}). Check the folder's owner and mode",
    sqlite3.SQLITE_IOERR: (
        "the disk refused to read or write ({found}); whether a change was kept is not known. Check free space, quota "
        "and the disk, then try again: storing a record twice does no harm"
    ),
    sqlite3.SQLITE_TOOBIG: (
        "a value is larger than SQLite can hold ({found}); nothing was stored. Keep the record as a file"
    ),
}


def told(text: bytes) -> str:
    """Return a text of the database as one that can be read and printed: what is no UTF-8 stands there as escapes.

    The driver would fail over it, and one damaged row would hide all the others.
    """
    return text.decode("utf-8", "backslashreplace")


def is_busy(error: BaseException) -> bool:
    """Tell whether another connection holds what was needed, so that trying again may help."""
    return _primary_code(error) in _WAITING


def explain(error: BaseException) -> str:
    """Return what an error of SQLite means, and what to do."""
    return _explain(_primary_code(error), error)


def _explain(primary: int | None, cause: object) -> str:
    explanation = _EXPLANATIONS.get(primary, "the ledger's database refused ({found})") if primary else "{found}"
    return explanation.format(found=cause if primary else f"{type(cause).__name__}: {cause}")
