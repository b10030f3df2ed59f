"""One transaction on a database, that a timeout or a cancellation can end, with a commit whose outcome is known."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from hearth.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError

    from hearth.execution._cancellation import Cancellation

__all__ = [
    "Limits",
    "backend_of",
    "commit",
    "connect",
    "is_sqlite",
    "locate_sqlite",
    "message",
    "real_target",
    "sqlite_name",
    "sqlite_path",
]

LOCK_WAIT = 30.0  # seconds to wait for somebody else's lock on a SQLite database
_CONNECT_WAIT = 10  # seconds to wait for a server
_LOOK = 0.05
_BUSY_MS = 5000
_STEPS = 2000  # of SQLite's virtual machine between two looks, some tens of microseconds
_ABOUT_KEYS = ("23503", "23505", "23P01")  # foreign key, unique, exclusion: they show keys, and these whole


class Limits:
    """When the work has to end: a deadline, or somebody's request. `over()` says why, or "" while it may go on."""

    def __init__(self, timeout: float | None, cancellation: Cancellation) -> None:
        self._timeout = timeout
        self._cancellation = cancellation
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def over(self) -> str:
        """Return why the work has to end now."""
        if self._cancellation.requested:
            return f"stopped: {self._cancellation.reason}"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"timed out after {self._timeout:g} s"
        return ""

    def remaining(self) -> float | None:
        """Return the seconds that are left, None without a limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than a cancellation lets one."""
        self._cancellation.wait(seconds)

    @contextlib.contextmanager
    def interrupting(self, cancel: Any) -> Iterator[None]:  # noqa: ANN401 - a driver's method, or None
        """Call a driver's `cancel` when the limits are over, again and again until the block is left."""
        if cancel is None:
            yield
            return
        over = threading.Event()
        left = threading.Event()

        def watch() -> None:
            over.wait(self.remaining())
            while not left.is_set():
                with contextlib.suppress(Exception):  # the connection may just be closing; we try again
                    cancel()
                left.wait(0.2)

        watcher = threading.Thread(target=watch, name="hearth-sql-limit", daemon=True)
        with self._cancellation.on_request(over.set):
            watcher.start()
            try:
                yield
            finally:
                left.set()
                over.set()
                watcher.join()


def is_sqlite(url: URL) -> bool:
    """Whether the URL names SQLite by Python's own driver."""
    return url.get_backend_name() == "sqlite" and url.get_driver_name() == "pysqlite"


def locate_sqlite(url: URL, cwd: Path, *, create: bool) -> tuple[URL, Path | None]:
    """Return the URL with an absolute path, and the file (None: in memory). TaskError when there is no such file."""
    name = url.database or ""
    if name in ("", ":memory:") or name.startswith("file::memory:"):
        return url, None
    prefix, path, options = "", name, ""
    if name.startswith("file:"):
        prefix = "file:"
        path, mark, rest = name[5:].partition("?")
        options = mark + rest
    file = cwd / path
    if not create and not file.exists():
        raise TaskError(f"there is no database {file}; say `create: true` if it is to be made")
    if create and not file.parent.is_dir():
        raise TaskError(f"there is no folder {file.parent} for the database")
    return url.set(database=f"{prefix}{file}{options}"), file


def backend_of(text: str) -> str:
    """Return what a URL leads to: `sqlite`, or dialect and driver (`postgresql+psycopg`); "" where it is no URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(text)
        backend = url.get_backend_name()
        return backend if backend == "sqlite" else f"{backend}+{url.get_driver_name()}"
    except (ArgumentError, NoSuchModuleError):
        return ""


def sqlite_name(file: Path | None) -> str:
    """Return what effects call a SQLite database: its file's real path."""
    return ":memory:" if file is None else os.path.realpath(file)


def sqlite_path(text: str, cwd: Path) -> str | None:
    """Return the real path of the SQLite database that a URL leads to; None for any other database, and no file."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
        file = locate_sqlite(url, cwd, create=True)[1] if is_sqlite(url) else None
    except (ArgumentError, TaskError):
        return None
    return None if file is None else sqlite_name(file)


def real_target(text: str, cwd: Path) -> str | None:
    """Return the target for the policy of a URL that leads to SQLite, with its real path; None for other databases.

    TaskError when it cannot be said which file is meant.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except ArgumentError as error:
        raise TaskError("the database URL cannot be read; it is written dialect://user@host/database") from error
    if url.get_backend_name() != "sqlite":
        return None
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise TaskError(f"{url.drivername} opens files in a way of its own; write the URL as sqlite:///path")
    name = url.database or ":memory:"
    if name == ":memory:":
        return "sql:sqlite://"
    if name.startswith("file:") or "\0" in name:
        raise TaskError("a database given as `file:` may be another one than it seems; write the URL as sqlite:///path")
    return f"sql:sqlite:///{os.path.realpath(cwd / name)}"


def connect(url: URL, limits: Limits, name: str = "") -> Engine:
    """Return an engine for one connection. TaskError when the driver is missing or cannot be used.

    SQLite is driven so that a transaction's changeset is known before it commits; `name` is what it calls the database.
    """
    import sqlalchemy

    options: dict[str, Any] = {}
    if "autocommit" in url.query:
        raise TaskError("autocommit cannot stand in the URL: the statements of a step are one transaction")
    if is_sqlite(url):
        options = {"timeout": 0}
    elif url.get_backend_name() in ("postgresql", "mysql", "mariadb") and "connect_timeout" not in url.query:
        options = {"connect_timeout": max(1, min(_CONNECT_WAIT, int(limits.remaining() or _CONNECT_WAIT)))}
    try:
        engine = sqlalchemy.create_engine(
            url, poolclass=sqlalchemy.NullPool, hide_parameters=True, connect_args=options
        )
    except ModuleNotFoundError as error:
        advice = "; hearth-recorder[postgresql] brings it" if error.name == "psycopg" else ""
        raise TaskError(f"the driver for {url.drivername} is not installed here: {error.name}{advice}") from error
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise TaskError(f"the database URL cannot be used: {error}") from error
    if engine.dialect.is_async:
        raise TaskError(f"{url.drivername} is an asynchronous driver; name another one in the URL")
    if is_sqlite(url):
        _prepare_sqlite(engine, limits, name)
    elif engine.dialect.driver == "psycopg":
        _prepare_psycopg(engine)
    return engine


def _prepare_psycopg(engine: Engine) -> None:
    """Have the server refuse several statements in one text: all but the first would go unseen, even a COMMIT.

    What runs in libpq's pipelines goes by the extended protocol, which knows single statements only.
    """
    from sqlalchemy import event

    def execute(cursor: Any, statement: str, parameters: Any, _: object) -> bool:  # noqa: ANN401 - of the DBAPI
        with cursor.connection.pipeline():
            cursor.execute(statement, parameters)
        return True

    def execute_bare(cursor: Any, statement: str, _: object) -> bool:  # noqa: ANN401 - as above
        return execute(cursor, statement, None, None)

    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_execute_no_params", execute_bare)


def _prepare_sqlite(engine: Engine, limits: Limits, name: str) -> None:
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError

    from hearth.observe import connect_recorded

    def connecting(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:  # noqa: ANN401 - of the DBAPI
        options.pop("cached_statements", None)  # it keeps none
        return connect_recorded(*arguments, **options, name=name)

    def connected(connection: Any, _: object) -> None:  # noqa: ANN401 - a DBAPI connection
        # The driver's own transactions leave out CREATE and DROP: ours begins with an explicit BEGIN.
        connection.isolation_level = None
        connection.set_progress_handler(lambda: 1 if limits.over() else 0, _STEPS)

    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("hearth_reads", False)
        give_up = time.monotonic() + LOCK_WAIT
        while True:
            try:
                connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
            except OperationalError as error:
                if "locked" not in str(error.orig) or limits.over() or time.monotonic() > give_up:
                    raise
                limits.wait(_LOOK)
            else:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_MS}")
                return

    event.listen(engine, "do_connect", connecting)
    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)


def commit(connection: Connection) -> tuple[str, SQLAlchemyError | None]:
    """Commit; return the outcome ("done", "rolled back", "unknown") and, unless done, what the database raised."""
    from sqlalchemy.exc import SQLAlchemyError

    driver: Any = connection.connection.dbapi_connection
    if hasattr(driver, "set_progress_handler"):
        driver.set_progress_handler(None, 0)  # from here on nothing interrupts
    try:
        connection.commit()
    except SQLAlchemyError as error:
        # SQLite that refuses to commit leaves the transaction open; it is closed without it, which rolls it back.
        if getattr(driver, "in_transaction", False) is True:
            return "rolled back", error
        state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "08")
        # A server that answers with an error of its own has rolled back; a lost connection (class 08, 57) says nothing.
        return ("unknown" if state.startswith(("08", "57")) else "rolled back"), error
    return "done", None


def message(error: BaseException) -> str:
    """Return what the database said, without the statement and the parameters that SQLAlchemy adds.

    PostgreSQL's details are left out, but those on keys: where they show a row, they cut its values, and no redactor
    finds a secret that has been cut.
    """
    origin: Any = getattr(error, "orig", error)
    diagnosis: Any = getattr(origin, "diag", None)
    said = getattr(diagnosis, "message_primary", None)
    if not said:
        return str(origin or error).strip() or type(error).__name__
    if "multiple commands into a prepared statement" in said:
        return f"{said}: list them under `statements`"
    more = [diagnosis.message_detail if diagnosis.sqlstate in _ABOUT_KEYS else None, diagnosis.message_hint]
    return " ".join([said, *(f"({text})" for text in more if text)])
