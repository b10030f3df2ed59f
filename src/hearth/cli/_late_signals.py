"""Signals that come when a run is over: they no longer change the exit code."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from hearth.execution import RunListener
    from hearth.record import ExecutionRecord

__all__ = ["ENDING", "LateSignals", "ignore_signals"]

ENDING = tuple(
    signal.Signals(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""The signals that end a process, as far as the platform has them."""


class LateSignals:
    """Takes the signals that end a process, in a `with` around a run.

    States: not over, a signal does what it would do without this → `over`, the first signal of a kind does nothing, a
    second one ends the process at once: the record is stored by then, but a reader of the output may keep us waiting.
    While Stage 4 runs the plan its own handlers are in place; a run is over from its record's storing on, before they
    are given back, so that no signal falls in between.

    With `keeps`, for a process that only has to end, the handlers stay when the run is over.
    """

    def __init__(self, *, keeps: bool) -> None:
        self.over = False
        self._keeps = keeps
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                # None: a handler that Python did not install, and so could not put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over = self.over or error is None
        if not (self._keeps and self.over):
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def told_by(self, listener: RunListener | None) -> RunListener:
        """Return a listener that hears of the run's end for this, and passes everything on to `listener`."""
        return cast("RunListener", _Heard(self, listener))

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.over:
            signal.signal(signum, signal.SIG_DFL)
            return
        previous = self._previous[signum]
        if callable(previous):
            previous(signum, frame)
        else:
            signal.signal(signum, previous)
            signal.raise_signal(signum)


class _Heard:
    """Passes every call on; a method that the listener lacks is lacking here too."""

    def __init__(self, late: LateSignals, listener: RunListener | None) -> None:
        self._late = late
        self._listener = listener

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the listener has
        return getattr(self._listener, name)

    def run_finished(self, record: ExecutionRecord) -> None:
        """The record is sealed and stored: from here on the exit code stands."""
        self._late.over = True
        finished = getattr(self._listener, "run_finished", None)
        if finished is not None:
            finished(record)


def ignore_signals() -> None:
    """Let no signal disturb a process that has its exit code and has written everything."""
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
