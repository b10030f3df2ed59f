"""Which status a completed execution deserves: a pure state machine over its step entries.

Rules: a step that starts is open until it completes or fails (indices may repeat; ends are matched to the latest
start of the same index). The execution is COMPLETED when no step failed, none is open and, where the plan's steps are
known (by their indices), each of them completed. Otherwise it is COMPLETED_PARTIAL. No steps at all is COMPLETED.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from hearth.record._enums import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Progress", "Start"]

Start: TypeAlias = tuple[int, str, Any]
"""Moment, name, and the earlier start that this one hides (or None)."""


class Progress:
    """Follows starts and ends; memory grows only with the number of open steps (and of the plan's steps).

    `open` maps an index to its latest start: (moment, name, the start of the same index that it hides, or None). The
    recorder's appender makes the moves of `started` and `ended` itself, in one breath with the entry: whatever changes
    here changes there.
    """

    __slots__ = ("any", "failed", "open", "wanted")

    def __init__(self, indices: Iterable[object] | None = None) -> None:
        self.open: dict[int, Start] = {}
        # How often each is still to complete.
        self.wanted: dict[object, int] = dict(Counter(() if indices is None else indices))
        self.failed = False
        self.any = False  # whether any step was recorded

    def started(self, index: int, moment: int = 0, name: str = "") -> None:
        """Open a step; `moment` (nanoseconds, monotonic clock) and `name` come back at its end."""
        self.open[index] = (moment, name, self.open.get(index))
        self.any = True

    def ended(self, index: int, ok: bool) -> Start | None:
        """Close the latest start of a step and return it; None without a start."""
        start = self.open.get(index)
        if start is not None:
            if start[2] is None:
                del self.open[index]
            else:
                self.open[index] = start[2]
        if not ok:
            self.failed = True
        elif index in self.wanted:
            if self.wanted[index] > 1:
                self.wanted[index] -= 1
            else:
                del self.wanted[index]
        self.any = True
        return start

    def status_when_completed(self) -> ExecutionStatus:
        """Return COMPLETED or COMPLETED_PARTIAL, by the rules above."""
        whole = not self.open and not self.failed and not self.wanted
        return ExecutionStatus.COMPLETED if whole else ExecutionStatus.COMPLETED_PARTIAL
