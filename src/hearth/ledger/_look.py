"""A cheap look at a database: it is read again only when something has changed."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from hearth.errors import LedgerError
from hearth.ledger._database import explain, is_busy, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["GRACE_SECONDS", "Look"]

GRACE_SECONDS = 2.0
"""How long a look waits for a busy database before it says that it cannot be read."""

_PAUSE_SECONDS = 0.005
_SETTINGS = ("PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
# Connections inherited through fork: closing them would touch the parent's locks.
_ABANDONED: list[sqlite3.Connection] = []

_File = tuple[int, int, int, int]
Seen = TypeVar("Seen")


class Look(Generic[Seen]):
    """What one function reads from one existing SQLite file, cheap enough to be asked for fifty times a second.

    The function is given a connection within one transaction; what it raises, the look raises. Unchanged files cost
    two `stat` and one `PRAGMA data_version`, which tells every commit of another connection. The files' sizes and times
    are looked at too: a file that is overwritten past SQLite leaves its counters as they were, and a connection that is
    open would go on answering from its memory. Safe from any thread and after a fork.
    """

    def __init__(self, path: Path, read: Callable[[sqlite3.Connection], Seen], *, grace: float = GRACE_SECONDS) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._read = read
        self._grace = grace
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._identity = self._stat(path)[:2]
        self._files: tuple[_File, _File | None] | None = None
        self._version = -1
        self._seen: Seen

    def see(self) -> Seen:
        """Return what is read now: the very object of the last time where nothing has changed.

        LedgerError when it cannot be read (a busy database is waited for, up to the grace), or when the file is
        another one than at the first look.
        """
        deadline = time.monotonic() + self._grace
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                if self._connection is not None:
                    _ABANDONED.append(self._connection)
                self._connection = self._files = None
            while True:
                try:
                    return self._look()
                except sqlite3.Error as error:
                    self._drop()
                    if not is_busy(error):
                        raise LedgerError(f"{self._path}: {explain(error)}") from error
                    if time.monotonic() >= deadline:
                        raise LedgerError(
                            f"{self._path}: the database has been busy for {self._grace:g} s, so it cannot be read; "
                            "look for a process that holds it open"
                        ) from error
                except BaseException:
                    self._drop()
                    raise
                time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connection; the next look opens another."""
        with self._lock:
            if self._process == os.getpid():
                self._drop()

    def _look(self) -> Seen:
        files = self._stat(self._path), self._stat_wal()
        if files[0][:2] != self._identity:
            raise LedgerError(
                f"{self._path}: the database was moved, deleted or replaced while it was open; "
                "stop everything that uses this ledger, and find out by whom"
            )
        if files != self._files or self._connection is None:
            # A fresh connection: an open one would not read again what it has read.
            self._drop()
            self._connection = self._connect()
            self._version = self._data_version(self._connection)
            self._seen = self._read_at_once(self._connection)
            self._files = files  # as they were before: a change meanwhile shows at the next look
            return self._seen
        version = self._data_version(self._connection)
        if version != self._version:
            self._seen = self._read_at_once(self._connection)
            self._version = version
        return self._seen

    def _read_at_once(self, connection: sqlite3.Connection) -> Seen:
        connection.execute("BEGIN")
        seen = self._read(connection)
        connection.execute("COMMIT")
        return seen

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = told
        try:
            for setting in _SETTINGS:
                connection.execute(setting).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection, self._files = self._connection, None, None
        if connection is not None:
            connection.close()

    def _stat(self, path: Path) -> _File:
        try:
            status = path.stat()
        except OSError as error:
            raise LedgerError(f"{path}: the database is not there any more: {error.strerror}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _stat_wal(self) -> _File | None:
        try:
            status = self._wal.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{self._wal}: the database cannot be read: {error.strerror}") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    @staticmethod
    def _data_version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
