"""Who watches a run while it goes on: for display, never for evidence."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hearth.execution._results import StepOutcome
    from hearth.record import ExecutionRecord

__all__ = ["Listeners", "RunListener", "SafeListener"]

_log = logging.getLogger(__name__)


class RunListener(Protocol):
    """Is told what happens, after it was recorded; any method may be left out.

    Calls come from the run's thread, `output` also from others. What a listener raises is logged, then that
    listener is told nothing more: a broken display neither stops a run nor leaves its record unsealed.
    """

    def run_started(self, plan: Any, execution_id: str) -> None:  # noqa: ANN401 - any object with id and steps
        """Entry 0 is written; no step has started."""

    def step_started(self, step: Any) -> None:  # noqa: ANN401 - any object with index and name
        """The step's intent is recorded; its action starts now."""

    def output(self, step: Any, stream: str, chunk: bytes) -> None:  # noqa: ANN401 - as above
        """The step wrote `chunk` (secrets taken out) to `stream`, "stdout" or "stderr"."""

    def step_progress(self, step: Any, doing: str) -> None:  # noqa: ANN401 - as above
        """HEARTH itself is busy with what the step did: what it does, and how far it is. Told where that takes long."""

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:  # noqa: ANN401 - as above
        """The step's effects and its end are recorded."""

    def run_finished(self, record: ExecutionRecord) -> None:
        """The record is sealed, and stored where there is a ledger."""


class SafeListener:
    """Passes calls on to a listener (or to nobody) and never raises an Exception."""

    def __init__(self, listener: object) -> None:
        self._listener: object = listener

    def tell(self, method: str, *arguments: object) -> None:
        """Call `method` of the listener, if it has it."""
        listener = self._listener
        call = getattr(listener, method, None)
        if call is None:
            return
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - whatever a display raises
            self._listener = None
            _log.exception("the listener %s raised in %s and is told nothing more", type(listener).__name__, method)


class Listeners:
    """A RunListener that passes everything on to several, each as if it were the only one."""

    def __init__(self, *listeners: object) -> None:
        self._listeners = tuple(SafeListener(listener) for listener in listeners if listener is not None)

    def _tell(self, method: str, *arguments: object) -> None:
        for listener in self._listeners:
            listener.tell(method, *arguments)

    def run_started(self, plan: Any, execution_id: str) -> None:  # noqa: ANN401 - any object with id and steps
        """Pass it on."""
        self._tell("run_started", plan, execution_id)

    def step_started(self, step: Any) -> None:  # noqa: ANN401 - any object with index and name
        """Pass it on."""
        self._tell("step_started", step)

    def output(self, step: Any, stream: str, chunk: bytes) -> None:  # noqa: ANN401 - as above
        """Pass it on."""
        self._tell("output", step, stream, chunk)

    def step_progress(self, step: Any, doing: str) -> None:  # noqa: ANN401 - as above
        """Pass it on."""
        self._tell("step_progress", step, doing)

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:  # noqa: ANN401 - as above
        """Pass it on."""
        self._tell("step_finished", step, result, seconds)

    def run_finished(self, record: ExecutionRecord) -> None:
        """Pass it on."""
        self._tell("run_finished", record)
