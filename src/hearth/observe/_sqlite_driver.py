"""A driver (PEP 249) for SQLite that looks like Python's `sqlite3`, and knows a transaction's changeset.

Python's module has no sessions; apsw has them. Errors are those of `sqlite3`, so that SQLAlchemy's dialect takes it:

    @event.listens_for(engine, "do_connect")
    def _(dialect, record, arguments, options):
        return connect_recorded(*arguments, **options)
    …
    connection.connection.dbapi_connection.effects()        # before the commit

apsw brings a SQLite of its own. POSIX locks belong to a process, so a file that this process has open by `sqlite3`
must not be opened by it here too: neither sees the other's locks, and the first to close drops those of both
(sqlite.org/howtocorrupt.html, 2.2.1).
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.observe._sqlite_recorder import SqliteRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import apsw

    from hearth.observe._sqlite_effects import SqliteEffects

__all__ = ["RecordedConnection", "RecordedCursor", "connect_recorded", "translated"]

_NOTHING = re.compile(r"(?:[\s;]|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_COUNTED = re.compile(rf"{_NOTHING.pattern}(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.DOTALL | re.IGNORECASE)
_OF_LOCKS = re.compile(r"\s*PRAGMA\s+busy_timeout\b", re.IGNORECASE)  # comes before the first wait for a lock
_BAD_TYPE = re.compile(r"argument (?:#|name )?:?(\w+)\W+type (\w+)")
# The classes that `sqlite3` has for SQLite's primary result codes (Modules/_sqlite/util.c); others are DatabaseError.
_OPERATIONAL = frozenset((1, 3, 4, 5, 6, 8, 9, 10, 13, 14, 15, 16, 17))
_INTEGRITY = frozenset((19, 20))
_CLASSES: dict[int, type[sqlite3.Error]] = {
    2: sqlite3.InternalError,
    12: sqlite3.InternalError,
    18: sqlite3.DataError,
    21: sqlite3.InterfaceError,
    25: sqlite3.InterfaceError,
}


def connect_recorded(
    database: Any,  # noqa: ANN401 - text or path, as `sqlite3.connect` takes it
    timeout: float = 5.0,
    detect_types: int = 0,
    isolation_level: str | None = None,  # noqa: ARG001 - accepted as `sqlite3` does, see below
    check_same_thread: bool = True,  # noqa: ARG001 - SQLite itself is thread-safe here
    *,
    uri: bool = False,
    name: str | None = None,
) -> RecordedConnection:
    """Open a database, as `sqlite3.connect` does; sqlite3.Error when it cannot be.

    Transactions begin by an explicit BEGIN, as with `isolation_level=None`. `timeout` is seconds to wait for a lock;
    `name` is what effects call the database (its path where None).
    """
    import apsw

    if detect_types:
        raise sqlite3.NotSupportedError("detect_types is not possible here: values come as SQLite has them")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | (apsw.SQLITE_OPEN_URI if uri else 0)
    file = os.fspath(database)
    if not uri and not _is_text(file):  # apsw takes text alone, and a name's bytes may be none
        file, flags = Path(file).absolute().as_uri(), flags | apsw.SQLITE_OPEN_URI
    with translated():
        db = apsw.Connection(file, flags, statementcachesize=0)
        db.set_busy_timeout(int(timeout * 1000))
        # Who writes into sqlite_master itself could give one table the rows of another, which no session records.
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return RecordedConnection(db, name if name is not None else os.fspath(database))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class RecordedConnection:
    """A connection as `sqlite3` has it, in explicit transactions; `effects()` says what the open one has done."""

    def __init__(self, db: apsw.Connection, name: str) -> None:
        self._db = db
        self._recorder = SqliteRecorder(db, name)
        self.isolation_level: str | None = None
        self.row_factory: None = None

    def effects(self) -> SqliteEffects:
        """Return what the open transaction has changed so far, nothing without one; sqlite3.Error if interrupted."""
        with translated():
            return self._recorder.effects()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._db.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows changed since the connection was opened, also by triggers."""
        return self._db.total_changes()

    def cursor(self, factory: None = None) -> RecordedCursor:  # noqa: ARG002 - as `sqlite3` has it
        """Return a new cursor."""
        with translated():
            return RecordedCursor(self._db.cursor(), self._db, self._recorder)

    def execute(self, sql: str, parameters: Any = ()) -> RecordedCursor:  # noqa: ANN401 - a sequence or a mapping
        """Execute one statement with a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        """Commit the open transaction; nothing without one. A refused one stays open."""
        if self._db.in_transaction:
            with translated():
                self._db.execute("COMMIT")
        self._recorder.end()

    def rollback(self) -> None:
        """Roll the open transaction back; nothing without one."""
        self._recorder.end()
        if self._db.in_transaction:
            with translated():
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close; an open transaction is rolled back."""
        with translated():
            self._recorder.end()
            self._db.close(True)  # noqa: FBT003 - apsw's own: also with statements under way

    def interrupt(self) -> None:
        """Have what is running fail; may be called by another thread."""
        self._db.interrupt()

    def set_progress_handler(self, handler: Callable[[], Any] | None, n: int) -> None:
        """Call a handler every n steps of SQLite's machine; a true answer interrupts. None takes it away."""
        self._db.set_progress_handler(handler, n or 100)

    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., Any] | None,
        *,
        deterministic: bool = False,
    ) -> None:
        """Make a function known to SQL."""
        with translated():
            self._db.create_scalar_function(name, func, narg, deterministic=deterministic)


class RecordedCursor:
    """A cursor as `sqlite3` has it: one statement at a time, `rowcount` for INSERT, UPDATE, DELETE and REPLACE."""

    arraysize = 1

    def __init__(self, cursor: apsw.Cursor, db: apsw.Connection, recorder: SqliteRecorder) -> None:
        self._cursor = cursor
        self._db = db
        self._recorder = recorder
        self._text = ""
        self.description: tuple[tuple[str, None, None, None, None, None, None], ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        cursor.exec_trace = self._compiled

    def execute(self, sql: str, parameters: Any = ()) -> RecordedCursor:  # noqa: ANN401 - a sequence or a mapping
        """Execute one statement; sqlite3.Error when SQLite refuses it."""
        self._text = sql
        self.description = None
        self.rowcount = -1
        with translated():
            if _OF_LOCKS.match(sql) is None:
                self._recorder.before()
            self._cursor.execute(sql, parameters)
            if _COUNTED.match(sql):
                self.rowcount = self._db.changes()
                self.lastrowid = self._db.last_insert_rowid()
        return self

    def executemany(self, sql: str, parameters: Iterable[Any]) -> RecordedCursor:
        """Execute one statement for each set of parameters; `rowcount` is the sum. What it returns is dropped."""
        counted = _COUNTED.match(sql) is not None
        rows = done = 0

        def each() -> Iterator[Any]:
            nonlocal rows, done
            for done, values in enumerate(parameters, 1):
                if done > 1 and counted:
                    rows += self._db.changes()
                yield values

        self._text = sql
        self.description = None
        with translated():
            self._recorder.before()
            self._cursor.executemany(sql, each())
            for _ in self._cursor:  # apsw goes on to the next parameters when the rows of the last are read
                pass
            if done and counted:
                rows += self._db.changes()
        self.rowcount = rows if counted else -1
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, None after the last."""
        with translated():
            return self._cursor.fetchone()

    def fetchmany(self, size: int | None = None) -> Sequence[tuple[Any, ...]]:
        """Return the next rows, at most `size`."""
        with translated():
            return list(islice(self._cursor, self.arraysize if size is None else size))

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """Return the rows that are left."""
        with translated():
            return self._cursor.fetchall()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """End the statement, whatever rows are left."""
        with translated():
            self._cursor.close(True)  # noqa: FBT003 - apsw's own: also with rows left

    def setinputsizes(self, sizes: Any, /) -> None:  # noqa: ANN401 - nothing, as PEP 249 allows
        """Do nothing."""

    def setoutputsize(self, size: Any, column: Any = None, /) -> None:  # noqa: ANN401 - as above
        """Do nothing."""

    def _compiled(self, cursor: apsw.Cursor, sql: str, _: Any) -> bool:  # noqa: ANN401 - apsw's bindings
        """Look at a statement that has been compiled and will now run."""
        rest = self._text[len(sql) :]
        if self._text.startswith(sql):
            found = _NOTHING.match(rest)
            if found is None or found.end() < len(rest):
                raise sqlite3.ProgrammingError("You can only execute one statement at a time.")
        if self.description is None:
            described = cursor.get_description()
            self.description = tuple((name, None, None, None, None, None, None) for name, *_ in described) or None
        self._recorder.compiled()
        return True


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise apsw's errors as those that `sqlite3` has for them."""
    import apsw

    try:
        yield
    except (apsw.BindingsError, TypeError) as error:
        found = _BAD_TYPE.search(str(error))
        said = f"Error binding parameter {found[1]}: type '{found[2]}' is not supported" if found else str(error)
        raise sqlite3.ProgrammingError(said) from error
    except KeyError as error:
        raise sqlite3.ProgrammingError(f"You did not supply a value for binding parameter :{error.args[0]}.") from error
    except UnicodeDecodeError as error:
        raise sqlite3.OperationalError(f"a text is not UTF-8: {error}") from error
    except apsw.NoMemError as error:
        raise MemoryError from error
    except apsw.Error as error:
        code = getattr(error, "result", None)
        if not isinstance(code, int):
            raise sqlite3.ProgrammingError(str(error)) from error
        if code in _OPERATIONAL:
            kind: type[sqlite3.Error] = sqlite3.OperationalError
        elif code in _INTEGRITY:
            kind = sqlite3.IntegrityError
        else:
            kind = _CLASSES.get(code, sqlite3.DatabaseError)
        raised = kind(str(error))
        extended = getattr(error, "extendedresult", code)
        raised.sqlite_errorcode = extended
        raised.sqlite_errorname = str(
            apsw.mapping_extended_result_codes.get(extended) or apsw.mapping_result_codes[code]
        )
        raise raised from error
