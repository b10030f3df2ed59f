"""Stopping what runs: one request, seen by every thread, that wakes whoever waits."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Cancellation", "CancellationHandle"]

_log = logging.getLogger(__name__)


class CancellationHandle:
    """A registered callback; `remove()` ends the registration. A context manager that removes itself."""

    __slots__ = ("_callback", "_cancellation", "_level")

    def __init__(self, cancellation: Cancellation, callback: Callable[[], None]) -> None:
        self._cancellation = cancellation
        self._callback = callback
        self._level = 0

    def remove(self) -> None:
        """Make sure that the callback is not called from now on, but for a call already under way."""
        self._cancellation._forget(self)  # noqa: SLF001 - the two classes are one mechanism

    def notify(self, level: int) -> None:
        """Call the callback, once for each level."""
        if level <= self._level:
            return
        self._level = level
        try:
            self._callback()
        except Exception:  # noqa: BLE001 - a callback that fails must not keep the others from being called
            _log.exception("a callback of a cancellation failed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


class Cancellation:
    """A one-shot request to stop, that any thread or signal handler may make.

    States and the only moves between them: open → requested → requested and immediate, or open → immediate at once.
    The first request says the reason; an immediate request after a plain one outranks it and says the reason anew;
    every other later request changes nothing. Callbacks are called at each move, in the thread that makes the request,
    and at once when they are registered too late; they must be short.
    """

    def __init__(self) -> None:
        # Re-entrant: a signal handler may make the request while its own thread is registering a callback.
        self._lock = threading.RLock()
        self._level = 0
        self._reason = ""
        self._handles: list[CancellationHandle] = []
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether anyone asked to stop."""
        return self._level > 0

    @property
    def immediate(self) -> bool:
        """Whether it is to stop without grace (KILL, not TERM)."""
        return self._level > 1

    @property
    def reason(self) -> str:
        """Why; empty while nobody asked."""
        return self._reason

    def request(self, reason: str, *, immediate: bool = False) -> None:
        """Ask to stop. Returns after every callback has been called."""
        level = 2 if immediate else 1
        with self._lock:
            if level <= self._level:
                return
            self._reason = reason
            self._level = level
            handles = list(self._handles)
        for handle in handles:
            handle.notify(level)
        # Last, for it takes a lock of its own: what kills must not wait for it.
        self._event.set()

    def on_request(self, callback: Callable[[], None]) -> CancellationHandle:
        """Have `callback` called when a stop is requested, and again when it becomes immediate."""
        handle = CancellationHandle(self, callback)
        with self._lock:
            self._handles.append(handle)
        # Looked at after the registration, so that a request in between is seen by one of the two.
        if self._level:
            handle.notify(self._level)
        return handle

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a stop is requested, at most `timeout` seconds; return whether it was."""
        return self._event.wait(timeout) or self.requested

    def _forget(self, handle: CancellationHandle) -> None:
        with self._lock:
            if handle in self._handles:
                self._handles.remove(handle)
