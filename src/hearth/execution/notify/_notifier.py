"""Notifier: tells the hooks of a policy what happens, and never holds up or harms who reports it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from hearth.errors import HearthError
from hearth.execution._signals import SignalGuard
from hearth.execution.notify._hook import ready_hooks
from hearth.execution.notify._line import HookLine
from hearth.execution.notify._notice import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.security import Hook, Policy

__all__ = ["PATIENCE", "Notifier"]

PATIENCE = 5.0
"""How long, in seconds, the end of a command waits for notices that are under way."""

_ALERT = "recorder_failure"
_log = logging.getLogger(__name__)


class Notifier:
    """Sends notices to the hooks of a policy that ask for their event; safe from any thread.

    `send` returns at once and raises nothing, whatever becomes of the notice: each hook has a bounded line and a thread
    of its own, and a second line for the alert that recording stopped, which waits for nothing else. `settle` waits for
    what is under way, a bounded time, and says what went wrong. `policy` is asked when the first notice is sent and at
    each `refresh`: an alert must not wait for the disk whose failure it reports. `facts` (the ledger's id) stand in
    every notice.
    """

    def __init__(self, policy: Callable[[], Policy], *, facts: Mapping[str, Any] | None = None) -> None:
        self._policy = policy
        self._facts = dict(facts or {})
        self._lock = threading.RLock()
        self._hooks: tuple[Hook, ...] | None = None
        self._lines: tuple[HookLine, ...] = ()
        self._alerts: tuple[HookLine, ...] = ()
        self._earlier: list[HookLine] = []

    def refresh(self) -> None:
        """Tell the hooks of the policy as it stands now; what is on its way to others still arrives.

        One that cannot be read changes nothing, and is warned of.
        """
        try:
            policy = self._policy()
        except HearthError as error:
            _log.warning("whom to notify cannot be told: %s", error)
            return
        with self._lock:
            if policy.hooks != self._hooks:
                self._earlier += self._lines + self._alerts
                self._hooks = policy.hooks
                hooks = ready_hooks(policy)
                self._lines = tuple(map(HookLine, hooks))
                self._alerts = tuple(HookLine(hook) for hook in hooks if _ALERT in hook.hook.on)

    def send(self, event: str, payload: Mapping[str, Any]) -> None:
        """Tell every hook that asks for `event`; see `Notice.make` for the payload."""
        try:
            if self._hooks is None:
                self.refresh()
            with self._lock:
                lines = self._alerts if event == _ALERT else self._lines
            lines = tuple(line for line in lines if event in line.hook.hook.on)
            if lines:
                notice = Notice.make(event, {**payload, **self._facts})
                for line in lines:
                    line.put(notice)
        except Exception:  # noqa: BLE001 - who reports something is never harmed by it
            _log.exception("nobody was told of %s", event)

    def settle(self, within: float = PATIENCE) -> tuple[str, ...]:
        """Wait at most `within` seconds for what is under way, give the rest up, and return what went wrong.

        A signal (Ctrl-C, SIGTERM) ends the waiting, not the caller: what is reported has happened already.
        """
        with self._lock:
            lines = [*self._earlier, *self._lines, *self._alerts]
            self._earlier.clear()
        until = time.monotonic() + within
        with SignalGuard() as signals:
            try:
                signals.raising = True
                for line in lines:
                    line.settle(until)
                signals.raising = False
            except KeyboardInterrupt:
                signals.raising = False
                for line in lines:
                    line.abandon("interrupted")
        return tuple(problem for line in lines for problem in line.problems())
