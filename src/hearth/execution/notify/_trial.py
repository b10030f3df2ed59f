"""Trying hooks out: each is really called, once, and its word is what counts."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.execution._cancellation import Cancellation
from hearth.execution.notify._hook import ReadyHook, ready_hooks
from hearth.execution.notify._notice import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.security import Policy

__all__ = ["HookTrial", "try_hooks"]

_LONGER = 3.0  # for what a deadline does not reach, such as looking a name up


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTrial:
    """What a hook made of a test: `why` is empty when it was told."""

    name: str
    event: str
    why: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "hook": self.name,
            "event": self.event,
            "ok": not self.why,
            "why": self.why or None,
            "seconds": round(self.seconds, 3),
        }


def try_hooks(policy: Policy, event: str | None = None, *, facts: Mapping[str, Any]) -> tuple[HookTrial, ...]:
    """Send a test, all at the same time: `event` to the hooks that ask for it, or to each the first that it asks for.

    The notice says `"test": true`. Returns when every hook has answered or its time is up.
    """
    chosen = [
        (hook, event or hook.hook.on[0]) for hook in ready_hooks(policy) if event is None or event in hook.hook.on
    ]
    trials = [_Trial(hook, Notice.make(one, {**facts, "test": True, "status": "test"})) for hook, one in chosen]
    for trial in trials:
        trial.start()
    return tuple(trial.result() for trial in trials)


class _Trial(threading.Thread):
    def __init__(self, hook: ReadyHook, notice: Notice) -> None:
        super().__init__(name="hearth-notify-test", daemon=True)
        self._hook = hook
        self._notice = notice
        self._began = time.monotonic()
        self._answer: tuple[str, float] | None = None

    def run(self) -> None:
        why = self._hook.call(self._notice, Cancellation())
        self._answer = (why, time.monotonic() - self._began)

    def result(self) -> HookTrial:
        limit = self._hook.hook.timeout
        self.join(max(0.0, self._began + limit + _LONGER - time.monotonic()))
        why, seconds = self._answer or (f"no answer within {limit:g} s", time.monotonic() - self._began)
        return HookTrial(name=self._hook.name, event=self._notice.event, why=why, seconds=seconds)
