"""Run notices: what a run comes to, told as it happens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from hearth.errors import RecorderError
from hearth.record import SealCause, StepEventType, format_time
from hearth.recorder import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hearth.record import ExecutionRecord

__all__ = ["RunNotices"]

_EVENTS = {
    SealCause.COMPLETED: "finish",
    SealCause.ESCALATION: "escalation",
    SealCause.RECORDER_FAILURE: "recorder_failure",
}


class RunNotices:
    """A RunListener that turns runs into notices: `start`, then one of `finish`, `failure`, `escalation`.

    `recorder_failure` takes their place where recording stopped. Everything told comes from the record, from which
    secrets have been taken out, or is an id.
    """

    def __init__(self, send: Callable[[str, Mapping[str, Any]], object]) -> None:
        self._send = send
        self._plans: dict[str, str] = {}
        self._lock = threading.Lock()

    def run_started(self, plan: Any, execution_id: str) -> None:  # noqa: ANN401 - any object with id and steps
        """Tell of the start."""
        with self._lock:
            self._plans[execution_id] = str(plan.id)
        self._send("start", {"execution_id": execution_id, "plan_id": str(plan.id), "status": "started"})

    def run_finished(self, record: ExecutionRecord) -> None:
        """Tell how it ended."""
        with self._lock:
            self._plans.pop(record.execution_id, None)
        steps = sum(event.event_type is StepEventType.STEP_COMPLETED for event in record.step_events)
        self._send(
            _EVENTS.get(record.cause, "failure") if record.cause is not None else "failure",
            {
                "execution_id": record.execution_id,
                "plan_id": record.plan_id,
                "status": record.status.value,
                "live_mode": record.live_mode_state,
                "cause": None if record.cause is None else record.cause.value,
                "reason": record.completion_reason,
                "steps_completed": steps,
                "number_of_steps": record.started.get("number_of_steps"),
                "started": format_time(record.timestamp_start),
                "ended": None if record.timestamp_end is None else format_time(record.timestamp_end),
                "execution_hash": record.get_execution_hash(),
            },
        )

    def new_journal(self, execution_id: str, path: Path) -> Journal:
        """Create an execution's journal, whose failure is alerted; RecorderErrors as from `Journal.create`.

        One that the disk refuses is a failure of the recorder too, one whose name is taken is not.
        """
        try:
            return Journal.create(path, on_failure=lambda why: self.recorder_failed(execution_id, why))
        except RecorderError as error:
            if isinstance(error.__cause__, OSError):
                self.recorder_failed(execution_id, str(error))
            raise

    def recorder_failed(self, execution_id: str, why: str) -> None:
        """Send the alert: recording stopped, perhaps while whoever records still hangs. Quick, from any thread."""
        with self._lock:
            plan = self._plans.pop(execution_id, None)
        told = {"execution_id": execution_id, "plan_id": plan, "status": "incomplete", "reason": why}
        self._send("recorder_failure", told)
