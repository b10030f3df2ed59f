"""Impatience: work that is not a step's own goes on for a little while after a stop was requested, and then ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.execution._cancellation import Cancellation

__all__ = ["Impatience"]

_PATIENCE = 2.0  # seconds: what a stopped step did is as a rule read by then


class Impatience:
    """Says why work is to end: some time after a stop was requested, at once when it must be immediate."""

    def __init__(self, cancellation: Cancellation, patience: float = _PATIENCE) -> None:
        self._cancellation = cancellation
        self._patience = patience
        self._since: float | None = None

    def reason(self) -> str:
        """Return why to end; "" to go on."""
        if not self._cancellation.requested:
            return ""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since < self._patience and not self._cancellation.immediate:
            return ""
        return self._cancellation.reason or "a stop was requested"
