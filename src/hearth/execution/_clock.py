"""ClockSensor: notices that the wall clock was set back."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from hearth.record import format_time, utc_now
from hearth.security import Finding, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["ClockSensor"]

_TOLERATED_SECONDS = 5.0  # more than a time server corrects at once, less than what hides anything


class ClockSensor:
    """Compares the wall clock with what the ledger was last written at, and later with the monotonic clock.

    A chain does not need the clock, but approvals expire by it: one that is set back makes an old approval good again.
    """

    def __init__(self, wall: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._before = wall(), monotonic()

    def against(self, written: datetime | None) -> Finding | None:
        """Look whether the clock is earlier than `written`, by more than a few seconds."""
        if written is None or self._wall() >= written - timedelta(seconds=_TOLERATED_SECONDS):
            return None
        return Finding(
            security=SecurityState.DEGRADED,
            reason=f"the clock was set back: the ledger was last written at {format_time(written)}, which is to come",
            source="clock",
            lasting=True,
        )

    def look(self) -> Finding | None:
        """Look whether the clock has stepped back since the last look, by more than a few seconds."""
        wall, monotonic = self._wall(), self._monotonic()
        expected = self._before[0] + timedelta(seconds=monotonic - self._before[1])
        self._before = wall, monotonic
        back = (expected - wall).total_seconds()
        if back <= _TOLERATED_SECONDS:
            return None
        return Finding(
            security=SecurityState.DEGRADED,
            reason=f"the clock was set back by {back:.0f} s, to {format_time(wall)}",
            source="clock",
        )
