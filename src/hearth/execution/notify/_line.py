"""The line of notices that wait for one hook, and the thread that delivers them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from hearth.execution._cancellation import Cancellation

if TYPE_CHECKING:
    from hearth.execution.notify._hook import ReadyHook
    from hearth.execution.notify._notice import Notice

__all__ = ["MOST_WAITING", "HookLine"]

MOST_WAITING = 512
_FIRST = 2
_log = logging.getLogger(__name__)


class HookLine:
    """Delivers notices to one hook, one after the other, in order. Thread-safe.

    A thread lives as long as anything waits. A hook that hangs holds up nothing but its own line; when 512 notices
    wait, a further one is dropped, and that is a problem to tell. Nothing is logged under the lock: who reports
    something must not wait for whoever reads the log.
    """

    def __init__(self, hook: ReadyHook) -> None:
        self.hook = hook
        # Re-entrant: a signal handler may report something in the middle of a report.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Notice] = deque()
        self._delivering: Notice | None = None
        self._cancellation = Cancellation()
        self._thread: threading.Thread | None = None
        self._problems: dict[str, list[str]] = {}

    def put(self, notice: Notice) -> None:
        """Take a notice in; returns at once."""
        why = ""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                why = f"{MOST_WAITING} notifications wait already, so it was dropped"
            else:
                self._waiting.append(notice)
                why = self._have_thread()
                if why:
                    self._waiting.remove(notice)
            if why:
                self._note(notice, why)
        self._log([notice], why)

    def settle(self, until: float) -> None:
        """Wait until all is delivered, at most until this moment of the monotonic clock; then give up the rest."""
        with self._changed:
            self._changed.wait_for(self._is_idle, max(0.0, until - time.monotonic()))
        self.abandon("HEARTH did not wait for it any longer")

    def abandon(self, why: str) -> None:
        """Give up what waits, and stop what is under way."""
        with self._changed:
            left = [] if self._delivering is None else [self._delivering]
            left += self._waiting
            self._waiting.clear()
            self._delivering = None  # what it comes to is not told any more
            for notice in left:
                self._note(notice, why)
            cancellation, self._cancellation = self._cancellation, Cancellation()
        if left:
            cancellation.request(why, immediate=True)
            self._log(left, why)

    def problems(self) -> tuple[str, ...]:
        """Return what went wrong since the last call, one line for each kind of trouble."""
        with self._changed:
            problems, self._problems = self._problems, {}
        return tuple(f"{self.hook.name} was not told of {_counted(events)}: {why}" for why, events in problems.items())

    def _is_idle(self) -> bool:
        return self._delivering is None and not self._waiting

    def _have_thread(self) -> str:
        if self._thread is not None:
            return ""
        thread = threading.Thread(target=self._work, name="hearth-notify", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            return str(error)
        self._thread = thread
        return ""

    def _note(self, notice: Notice, why: str) -> None:
        self._problems.setdefault(why, []).append(notice.event)

    def _log(self, notices: list[Notice], why: str) -> None:
        for notice in notices if why else ():
            _log.error("%s was not told of %s: %s", self.hook.name, notice.event, why)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                notice = self._delivering = self._waiting.popleft()
                cancellation = self._cancellation
            why = self.hook.call(notice, cancellation)
            if self._delivering is notice:  # not given up meanwhile
                self._log([notice], why)
            with self._changed:
                if self._delivering is notice:
                    self._delivering = None
                    if why:
                        self._note(notice, why)
                    self._changed.notify_all()


def _counted(events: list[str]) -> str:
    first = ", ".join(events[:_FIRST])
    return first if len(events) <= _FIRST else f"{first} and {len(events) - _FIRST} more"
