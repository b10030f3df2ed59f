"""Sensors: what worsens the posture of a ledger by itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hearth.errors import (
    ApprovalRefusedError,
    EvidenceBusyError,
    ExecutionSealedError,
    HearthError,
    JournalDamagedError,
    JournalLockedError,
    PlanChangedError,
    RecorderError,
    SigningError,
)
from hearth.execution._clock import ClockSensor
from hearth.execution._reports import ReportFolder
from hearth.security import BoundaryState, Finding, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

__all__ = ["Sensors", "endings_reported", "finding_of"]

_LONGEST = 2000


class Sensors:
    """The sensors that are looked at when a kernel opens its ledger, and while runs are under way."""

    def __init__(
        self, reports: Path, *, last_written: Callable[[], datetime | None], tell: Callable[[Finding], object]
    ) -> None:
        self._reports = ReportFolder(reports)
        self._clock = ClockSensor()
        self._last_written = last_written
        self._tell = tell

    def open(self) -> None:
        """Look at all of them; what is found is told."""
        behind = self._clock.against(self._last_written())
        if behind is not None:
            self._tell(behind)
        self.look()

    def look(self) -> None:
        """Look at those that cost almost nothing."""
        stepped = self._clock.look()
        if stepped is not None:
            self._tell(stepped)
        try:
            self._reports.take(self._tell)
        except OSError as error:
            why = f"the reports from outside cannot be read ({error.filename}: {error.strerror})"
            self._tell(Finding(security=SecurityState.DEGRADED, reason=why, source="reports"))


def finding_of(error: BaseException) -> Finding | None:
    """Return what an error says about the system beyond the run that it ended; None for one that says nothing."""
    if any(_plan_differs(one) for one in (error, error.__cause__)):
        return Finding(boundary=BoundaryState.ELEVATED, reason=_short(error), source="inputs")
    if isinstance(error, JournalDamagedError):
        return Finding(security=SecurityState.COMPROMISED, reason=_short(error), source="journal", lasting=True)
    if isinstance(error, RecorderError) and not (
        isinstance(error, ExecutionSealedError | JournalLockedError) or _is_of_the_moment(error)
    ):
        return Finding(security=SecurityState.DEGRADED, reason=_short(error), source="recorder")
    return None


@contextmanager
def endings_reported(kernel: Any) -> Iterator[None]:  # noqa: ANN401 - any kernel, or None
    """Let a kernel that takes findings know of what an error says that leaves the `with`.

    What goes wrong in that is a note of the error.
    """
    try:
        yield
    except HearthError as error:
        finding = finding_of(error)
        report = getattr(kernel, "report", None)
        if finding is not None and callable(report):
            try:
                report(finding)
            except HearthError as failure:
                error.add_note(f"the posture could not be worsened for it: {failure}")
        raise


def _is_of_the_moment(error: BaseException) -> bool:
    """Whether it came of a log that was busy, or of its key that was not at hand: that says nothing of the system."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EvidenceBusyError | SigningError):
            return True
        cause = cause.__cause__
    return False


def _plan_differs(error: BaseException | None) -> bool:
    """Whether it says that the plan or an input is not what its digest says, or not what was approved."""
    return isinstance(error, PlanChangedError) or (isinstance(error, ApprovalRefusedError) and error.code == "plan")


def _short(error: BaseException) -> str:
    return str(error)[:_LONGEST]
