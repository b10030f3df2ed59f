"""A port in which the n-th call to the system or to the database fails: it happened, or it did not.

For where strace is not: the functions through which HEARTH reaches a ledger's files are replaced in this process.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["install"]

_CALLS = (
    *("open", "close", "read", "write", "fsync", "fdatasync", "ftruncate", "fstat", "stat", "lstat", "scandir"),
    *("listdir", "mkdir", "rmdir", "rename", "replace", "link", "unlink", "remove", "chmod", "statvfs"),
)


class _Port:
    """Counts the calls that concern the ledger, and fails one: `kind` is error or kill, `after` that it happened."""

    def __init__(self, home: Path, *, at: int, kind: str, after: bool, code: str) -> None:
        self.home = str(home)
        self.at, self.kind, self.after, self.code = at, kind, after, code
        self.calls = (home.parent / ".calls").open("a", encoding="utf-8", buffering=1)
        self.number = 0
        self.lock = threading.Lock()
        self.descriptors: dict[int, str] = {}

    def call(self, name: str, function: Callable[..., Any], error: Callable[[], Exception], *given: Any) -> Any:
        with self.lock:
            self.number += 1
            mine = self.number == self.at
            self.calls.write(f"{name}\n")
        if not mine:
            return function(*given)
        if self.after:
            function(*given)
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        raise error()

    def concerns(self, subject: object) -> bool:
        if isinstance(subject, int):
            return subject in self.descriptors
        try:
            path = os.fsdecode(os.fspath(subject))  # type: ignore[call-overload]
        except TypeError:
            return False
        return str(path).startswith(self.home)

    def system(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def ported(*given: Any, **named: Any) -> Any:
            if not given or not self.concerns(given[0]):
                return function(*given, **named)
            number = getattr(errno, self.code)
            got = self.call(
                name,
                lambda *given: function(*given, **named),
                lambda: OSError(number, os.strerror(number), str(given[0])),
                *given,
            )
            if name == "open":
                self.descriptors[got] = str(given[0])
            elif name == "close":
                self.descriptors.pop(given[0], None)
            return got

        return ported


def install(home: Path, *, at: int, kind: str, after: bool, code: str) -> None:
    """Replace the functions in this process; `at` counts from 1, and 0 counts only. The calls go to the file .calls."""
    port = _Port(home, at=at, kind=kind, after=after, code=code)
    ported = {getattr(os, name): port.system(name, getattr(os, name)) for name in _CALLS if hasattr(os, name)}
    for name in ("flock", "lockf"):
        module = sys.modules.get("fcntl")
        if module is not None:
            ported[getattr(module, name)] = port.system(name, getattr(module, name))
    for module_name, module in list(sys.modules.items()):
        if module is not None and (module_name in {"os", "fcntl"} or module_name.startswith("hearth.")):
            for name, value in list(vars(module).items()):
                if callable(value) and getattr(value, "__hash__", None) is not None and value in ported:
                    setattr(module, name, ported[value])
    _port_database(port)


def _port_database(port: _Port) -> None:
    def refused() -> sqlite3.OperationalError:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        error.sqlite_errorname = "SQLITE_IOERR"
        return error

    class Cursor(sqlite3.Cursor):
        def execute(self, statement: str, *values: Any) -> Any:
            return port.call(f"sql {statement.split(maxsplit=1)[0]}", super().execute, refused, statement, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, statement: str, *values: Any) -> Any:
            return self.cursor().execute(statement, *values)

        def commit(self) -> None:
            port.call("sql commit()", super().commit, refused)

    connect = sqlite3.connect

    def ported(*given: Any, **named: Any) -> sqlite3.Connection:
        return port.call("sql connect", lambda: connect(*given, factory=Connection, **named), refused)  # type: ignore[no-any-return]

    sqlite3.connect = ported  # type: ignore[assignment]
    sqlite3.dbapi2.connect = ported  # type: ignore[assignment]
