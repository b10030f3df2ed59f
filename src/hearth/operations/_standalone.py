"""Running a plan without a ledger: the record becomes a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ArtemisEscalationError, ExecutionError, HearthError, PlanError, RecorderError
from hearth.execution import ApprovalExecutor, ContentStore, new_execution_id
from hearth.kernel import HearthKernel
from hearth.operations._people import person
from hearth.operations._run import RunOutcome, arm, ended, require_confirmation
from hearth.operations._write import write_file
from hearth.plan import load_tasks
from hearth.record import canonical_bytes, percent_encode
from hearth.recorder import Journal
from hearth.security import LiveMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.execution import RunListener, Task
    from hearth.operations._run import Confirmation
    from hearth.plan import Plan
    from hearth.record import ExecutionRecord
    from hearth.security import Policy

__all__ = ["StandaloneOutcome", "installed_tasks", "run_standalone"]

_BUILT_IN = {"file": "FILE", "http": "HTTP", "python": "PYTHON", "shell": "SHELL", "sql": "SQL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneOutcome:
    """A run that came to an end: its record, the file that holds it, and what ended it early."""

    record: ExecutionRecord
    path: Path
    error: HearthError | None = None


@cache
def installed_tasks() -> Mapping[str, Task]:
    """Return the installed tasks; from a source tree that is not installed, those that come with HEARTH."""
    try:
        return load_tasks()  # type: ignore[return-value]  # an installed task runs, or Stage 4 refuses it
    except PlanError:
        from importlib.metadata import entry_points

        if entry_points(group="hearth.tasks"):
            raise
    return {name: getattr(import_module(f"hearth.execution.tasks.{name}"), value) for name, value in _BUILT_IN.items()}


def run_standalone(
    plan: Plan,
    *,
    folder: Path | str = "executions",
    mode: LiveMode = LiveMode.DRY_RUN,
    confirmation: Confirmation | None = None,
    policy: Policy | None = None,
    execution_id: str | None = None,
    listener: RunListener | None = None,
) -> StandaloneOutcome:
    """Run a plan once and save its record as `<percent-encoded id>.json` in `folder`.

    While it runs, a journal of that name lies there, so that no step acts without evidence; it is removed once the
    record is saved, and left where saving fails. Outputs are kept in `folder`/outputs. Raises as `run_plan` does.
    """
    require_confirmation(plan, mode, confirmation)
    folder = Path(folder).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RecorderError(f"{folder} cannot be made: {error.strerror}; nothing was started") from error
    execution_id = new_execution_id(plan.id) if execution_id is None else execution_id
    target = folder / f"{percent_encode(execution_id)}.json"
    if target.exists():
        raise RecorderError(f"{target} exists: this execution was recorded before. Use another execution id")
    kernel = HearthKernel()
    who = person()
    arm(kernel, plan, mode, who=who, confirmation=confirmation)
    journal = target.with_suffix(".journal")
    executor = ApprovalExecutor(
        kernel,
        journal=lambda _: Journal.create(journal),
        tasks=installed_tasks(),
        initiator=who,
        listener=listener,
        store=ContentStore(folder / "outputs"),
        approval=None if confirmation is None else confirmation.to_dict(),
        policy=policy,
    )
    try:
        outcome = RunOutcome(record=executor.execute(plan, execution_id=execution_id).execution_record)
    except (ExecutionError, ArtemisEscalationError) as error:
        outcome = ended(error)
    write_file(target, canonical_bytes(outcome.record.to_dict()) + b"\n")
    journal.unlink(missing_ok=True)
    return StandaloneOutcome(record=outcome.record, path=target, error=outcome.error)
