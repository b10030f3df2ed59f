"""StepProgress: what HEARTH itself does with a step's many paths, told to who watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.execution._listener import SafeListener
    from hearth.plan import Step

__all__ = ["StepProgress"]

_EVERY_SECONDS = 0.1


class StepProgress:
    """Counts what is looked at or made ready of a step, and tells it now and then; short work tells nothing."""

    def __init__(self, listener: SafeListener, step: Step) -> None:
        self._listener = listener
        self._step = step
        self._last = time.monotonic()

    def reading(self, stop: Callable[[], str]) -> Callable[[], str]:
        """Return what asks `stop`, and counts: it is asked for each path, and within large files."""
        number = 0

        def asked() -> str:
            nonlocal number
            number += 1
            self._tell(f"reading what it did: {number:,} looked at")
            return stop()

        return asked

    def preparing(self, content: Callable[[str], Path], total: int) -> Callable[[str], Path]:
        """Return what finds new contents for a commit of so many paths, and counts them."""
        number = 0

        def found(path: str) -> Path:
            nonlocal number
            number += 1
            self._tell(f"preparing its commit: {number:,} of {total:,} paths")
            return content(path)

        return found

    def committing(self, total: int) -> None:
        """All is prepared: what follows cannot be counted from outside."""
        self._listener.tell("step_progress", self._step, f"committing: {total:,} paths")

    def _tell(self, doing: str) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY_SECONDS:
            self._last = now
            self._listener.tell("step_progress", self._step, doing)
