"""Which runs are under way on a ledger, over all processes, and keeping new ones from beginning for a moment."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from hearth.errors import ConcurrencyRefusedError, GateRefusedError
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["RunsUnderWay"]

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WAIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.002
_MOST = 10_000


class RunsUnderWay:
    """Every run holds a locked file of a folder from its first check to its end, in DRY_RUN too.

    The system gives a lock back when its process ends, however it ends. One more file, the turnstile, is locked by
    whoever takes a lock or counts them, so that no run begins between a count and what is done because of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> Callable[[], None]:
        """Count a run as under way; call what is returned at its end. ConcurrencyRefusedError when it cannot be."""
        try:
            with self._turnstile():
                held = self._take()
        except OSError as error:
            raise ConcurrencyRefusedError(
                f"{error.filename or self._folder}: a run cannot be counted as under way: {error.strerror}; "
                "nothing was started"
            ) from error
        return held.close

    @contextmanager
    def none(self, what: str) -> Iterator[None]:
        """Hold new runs back while something is done that must not happen during one.

        GateRefusedError, which begins with `what`, while any is under way or when that cannot be found out.
        """
        try:
            with self._turnstile():
                number = self._count()
                if number:
                    raise GateRefusedError(f"{what} during a run ({number} under way); wait for its end")
                yield
        except OSError as error:
            raise GateRefusedError(
                f"{what}: whether a run is under way cannot be found out: {error.filename or self._folder}: "
                f"{error.strerror}"
            ) from error

    def _take(self) -> BinaryIO:
        for number in range(_MOST):
            file = self._open(f"under-way.{number}.run")
            if try_lock(file.fileno()):
                file.truncate(0)
                file.write(f"pid {os.getpid()}\n".encode())
                return file
            file.close()
        raise ConcurrencyRefusedError(f"{_MOST} runs are under way in {self._folder}; nothing was started")

    def _count(self) -> int:
        number = 0
        for path in self._folder.glob("under-way.*.run"):
            with path.open("r+b", buffering=0) as file:
                number += not try_lock(file.fileno())
        return number

    @contextmanager
    def _turnstile(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._open("turnstile.run") as file:
            while not try_lock(file.fileno()):
                if time.monotonic() > deadline:
                    raise TimeoutError(0, f"another process has held the lock for {_WAIT_SECONDS:g} s", file.name)
                time.sleep(_PAUSE_SECONDS)
            yield

    def _open(self, name: str) -> BinaryIO:
        return os.fdopen(os.open(self._folder / name, _FLAGS, 0o600), "r+b", buffering=0)
