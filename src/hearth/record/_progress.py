"""Which status a completed execution deserves: a pure state machine over its step entries.

Rules: a step that starts is open until it completes or fails (indices may repeat; ends are matched to the latest
start of the same index). The execution is COMPLETED when no step failed, none is open and, where the plan's steps are
known (by their indices), each of them completed. Otherwise it is COMPLETED_PARTIAL. No steps at all is COMPLETED.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hearth.record._enums import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Progress"]


class Progress:
    """Counts starts and ends; memory grows only with the number of open steps (and of the plan's steps)."""

    __slots__ = ("_outer", "_wanted", "completed", "failed", "open")

    def __init__(self, indices: Iterable[object] | None = None) -> None:
        self.open: dict[int, tuple[int, str]] = {}
        self._outer: dict[int, list[tuple[int, str]]] = {}  # earlier starts of an index that is open again
        self.completed = 0
        self.failed = 0
        self._wanted: Counter[object] = Counter(() if indices is None else indices)

    def started(self, index: int, moment: int = 0, name: str = "") -> None:
        """Open a step; `moment` (nanoseconds, monotonic clock) and `name` come back at its end."""
        if index in self.open:
            self._outer.setdefault(index, []).append(self.open[index])
        self.open[index] = (moment, name)

    def ended(self, index: int, ok: bool) -> tuple[int, str] | None:
        """Close the latest start of a step and return its moment and name; None without a start."""
        start = self.open.pop(index, None)
        if self._outer and index in self._outer:
            self.open[index] = self._outer[index].pop()
            if not self._outer[index]:
                del self._outer[index]
        if ok:
            self.completed += 1
            if self._wanted:
                if self._wanted[index] > 1:
                    self._wanted[index] -= 1
                else:
                    self._wanted.pop(index, None)
        else:
            self.failed += 1
        return start

    @property
    def any(self) -> bool:
        """Whether any step was recorded."""
        return bool(self.open or self.completed or self.failed)

    def status_when_completed(self) -> ExecutionStatus:
        """Return COMPLETED or COMPLETED_PARTIAL, by the rules above."""
        whole = not self.open and not self.failed and not self._wanted
        return ExecutionStatus.COMPLETED if whole else ExecutionStatus.COMPLETED_PARTIAL
