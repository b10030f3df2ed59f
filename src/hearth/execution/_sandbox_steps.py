"""Steps in sandboxes: what previewed and committed ones have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import ObservationError
from hearth.execution._database_rows import database_rows, without_database
from hearth.execution._impatience import Impatience
from hearth.execution._manifest_effects import MOST_ENTRIES, kept_manifest, without_secrets
from hearth.execution._step_progress import StepProgress
from hearth.execution._step_sandbox import StepSandbox
from hearth.observe import LayerChanges, StepManifest, Way, named_connections, program_text
from hearth.record import SideEffectCategory
from hearth.security import BoundaryState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.execution._listener import SafeListener
    from hearth.execution._results import ObservedEffect, StepOutcome
    from hearth.execution._steps import TaskSteps
    from hearth.execution._task import TaskContext
    from hearth.observe import Layout, Manifest, SandboxRoom
    from hearth.plan import Plan, Step

__all__ = ["SandboxSteps", "Sandboxing"]

_COMMANDS = ("shell", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandboxing:
    """How a run uses sandboxes.

    `room` holds them; `ledger` is HEARTH's own folder, which no step may change; `commits` is the folder where journals
    of commits lie, `approved` the manifest that the approval is bound to (None: none was asked for), `escalate_to` how
    far an undeclared effect moves the boundary. What each step did is added to `manifests`; why a live run could not
    commit what a preview showed of a step, to `hopeless`, by its index.
    """

    room: SandboxRoom
    ledger: Path | None = None
    commits: Path | None = None
    approved: Manifest | None = None
    escalate_to: BoundaryState = BoundaryState.ELEVATED
    manifests: list[StepManifest] = field(default_factory=list)
    hopeless: dict[int, str] = field(default_factory=dict)


class SandboxSteps:
    """What previewed and committed steps have in common."""

    def __init__(
        self, plan: Plan, tasks: TaskSteps, sandboxing: Sandboxing, listener: SafeListener, *, ignore: tuple[str, ...]
    ) -> None:
        self._plan = plan
        self._tasks = tasks
        self._sandboxing = sandboxing
        self._room = sandboxing.room
        self._listener = listener
        self._ignore = ignore
        self._unseen: dict[int, str] = {}

    def describe(self, step: Step) -> dict[str, Any]:
        """Return the task and what it will do."""
        return self._tasks.describe(step)

    def unseen(self, step: Step) -> str:
        """Return why not everything that the step did may have been seen; "" where it was."""
        return self._unseen.get(step.index, "")

    def _observed(
        self, step: Step, run: Callable[[StepSandbox, Any, TaskContext], object] | None = None
    ) -> tuple[StepOutcome, StepManifest, Layout, LayerChanges]:
        """Run the step in a sandbox, and read its layer. Its reported effects are kept in the outcome.

        `run` carries a task that acts by itself out, there or elsewhere.
        """
        layout = self._room.layout(str(step.index), network=_needs_network(step))
        sandbox = StepSandbox(self._room, layout)
        held: list[ObservedEffect] = []
        if step.task_type in _COMMANDS:
            outcome = self._tasks.perform(step, held.append, start=sandbox.start)
        else:
            carry_out = run or StepSandbox.carry_out
            outcome = self._tasks.perform(
                step, held.append, run=lambda params, context: carry_out(sandbox, params, context)
            )
        unseen = sandbox.finish()
        rows = sandbox.rows
        if sandbox.used:
            found = self._read(layout, outcome, StepProgress(self._listener, step))
            unseen += found.unseen
            if step.task_type == "sql":
                found = replace(found, changes=without_database(found.changes, sandbox.database))
            else:
                rows, more = database_rows(layout, found.changes)
                unseen += more
        else:
            found = LayerChanges(changes=())
            sandbox.way = Way.NOT_RUN if sandbox.way is Way.SANDBOX else sandbox.way
        if outcome.unseen:
            unseen.append(outcome.unseen)
        if sandbox.used and _needs_network(step):
            unseen.append("it had the host's network: what was sent was not observed")
        programs = sorted({program_text(argv) for end in sandbox.ends for argv in end.programs})
        seen = StepManifest(
            index=step.index,
            name=step.name,
            way=sandbox.way,
            changes=found.changes,
            rows=rows,
            programs=tuple(programs),
            connections=named_connections((name for end in sandbox.ends for name in end.connections), step.effects),
            unseen=tuple(unseen),
            error=outcome.error if outcome.failed else "",
        )
        self._unseen[step.index] = "; ".join(unseen)
        return replace(outcome, side_effects=(*held, *outcome.side_effects)), seen, layout, found

    def _told(self, seen: StepManifest) -> StepManifest:
        """Add what a step did to what is shown and approved, without secrets, and return that."""
        told = without_secrets(seen, self._tasks.redactor)
        self._sandboxing.manifests.append(told)
        return told

    def _read(self, layout: Layout, outcome: StepOutcome, progress: StepProgress) -> LayerChanges:
        """Read what a step did. Of one that has failed nothing is committed: there it may stay unread."""
        stop = Impatience(self._tasks.cancellation)
        try:
            return self._room.read(
                layout, ignore=self._ignore, search=(str(self._plan.cwd),), stop=progress.reading(stop.reason)
            )
        except ObservationError as error:
            if not outcome.failed or not stop.reason():
                raise
            return LayerChanges(changes=(), unseen=(str(error),))

    def _in_ledger(self, seen: StepManifest) -> tuple[str, ...]:
        """Return what a step changed of the ledger that records it, whatever the plan declares."""
        ledger = self._sandboxing.ledger
        if ledger is None:
            return ()
        root = os.path.realpath(ledger)
        return tuple(
            f"{one.path} was {one.kind.words}, and belongs to the ledger"
            for one in seen.changes
            if one.path == root or one.path.startswith(f"{root}/")
        )

    def _kept(self, seen: StepManifest) -> dict[str, Any]:
        """Keep the step's manifest by its digest; return what the record says of it."""
        told = kept_manifest(seen, self._tasks.store, self._tasks.redactor)
        if seen.rows:
            told["rows"] = [row.counts() for row in seen.rows[:MOST_ENTRIES]]
        return told


def _needs_network(step: Step) -> bool:
    return any(effect.category is SideEffectCategory.NETWORK for effect in step.effects)
