"""Where in a log the leaf of an event stands: a small database beside the log, derived from its entries alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceBusyError, EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["IndexIsWrongError", "LeafIndex"]

_VERSION = 2
# To count the leaves each time would read all of a large index; a row that somebody removes lowers the number.
_SCHEMA = """
CREATE TABLE leaves (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX leaves_by_name ON leaves (kind, name);
CREATE TABLE rows_seen (kind TEXT PRIMARY KEY, row INTEGER NOT NULL);
CREATE TABLE counted (leaves INTEGER NOT NULL);
CREATE TRIGGER leaf_removed AFTER DELETE ON leaves BEGIN UPDATE counted SET leaves = leaves - 1; END;
INSERT INTO counted VALUES (0);
"""


class IndexIsWrongError(Exception):
    """The index is damaged, or names a leaf for an event that is of another one: `discard` it, and make it anew."""


class LeafIndex:
    """Numbers of leaves by kind and name, and the last row of the ledger that was looked at of each kind.

    It saves work and proves nothing: whoever uses a number compares the entry there. What it does not have is taken for
    new, so a change of it is whole or not at all, whenever the process or the machine stops. One that turns out to be
    damaged raises IndexIsWrongError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError:
            with suppress(FileNotFoundError):
                path.unlink()
            try:
                self._connection = self._open()
            except sqlite3.Error as error:
                raise EvidenceError(f"{path}, the index of the log, cannot be made: {error}") from error

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                dropped = "".join(f"DROP TABLE {name};" for name in tables)
                connection.executescript(f"BEGIN; {dropped}{_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
            connection.execute("SELECT number, kind, name FROM leaves LIMIT 1").fetchall()
            connection.execute("SELECT kind, row FROM rows_seen LIMIT 1").fetchall()
            connection.execute("SELECT leaves FROM counted").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def size(self) -> int:
        """How many leaves are in it, from the first on."""
        return self._number("SELECT coalesce(max(number) + 1, 0) FROM leaves") or 0

    def find(self, kind: str, name: str) -> int | None:
        """Return the number of the first leaf of this kind and name."""
        return self._number("SELECT min(number) FROM leaves WHERE kind = ? AND name = ?", kind, name)

    @property
    def counted(self) -> int:
        """How many leaves were added and not removed: with none missing, its size."""
        return self._number("SELECT sum(leaves) FROM counted") or 0

    def count(self, kind: str) -> int:
        """Return how many leaves there are of a kind."""
        return self._number("SELECT count(*) FROM leaves WHERE kind = ?", kind) or 0

    def repeated(self) -> list[tuple[int, int]]:
        """Return the leaves of whose kind and name there is an earlier one, each with the number of the first."""
        query = (
            "SELECT number, (SELECT min(number) FROM leaves f WHERE f.kind = l.kind AND f.name = l.name) AS first "
            "FROM leaves l WHERE first < number ORDER BY number LIMIT 1000"
        )
        with _read():
            return [(int(number), int(first)) for number, first in self._connection.execute(query)]

    def seen(self, kind: str) -> int:
        """Return the last row of the ledger that was looked at for this kind."""
        return self._number("SELECT max(row) FROM rows_seen WHERE kind = ?", kind) or 0

    def add(self, leaves: Iterable[tuple[int, str, str]], seen: Iterable[tuple[str, int]] = ()) -> None:
        """Add leaves (number, kind, name) and the rows that were looked at, together."""
        added = list(leaves)
        with _read():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT INTO leaves VALUES (?, ?, ?)", added)
                self._connection.execute("UPDATE counted SET leaves = leaves + ?", (len(added),))
                self._connection.executemany("INSERT OR REPLACE INTO rows_seen VALUES (?, ?)", seen)
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def discard(self) -> None:
        """Close it and remove its file: it is wrong, and made anew by whoever opens it next."""
        self._connection.close()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _number(self, query: str, *values: str) -> int | None:
        with _read():
            found = self._connection.execute(query, values).fetchone()[0]
        if found is not None and not isinstance(found, int):
            raise IndexIsWrongError(f"{found!r} is no number")
        return found

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _read() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise EvidenceBusyError(f"the index of the log's leaves is busy: {error}; try it again") from error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise EvidenceError(f"the index of the log's leaves cannot be written: {error}") from error
        raise IndexIsWrongError(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise IndexIsWrongError(str(error)) from error
