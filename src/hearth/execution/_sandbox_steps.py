"""Steps in sandboxes: previewed one above the other, or run, looked at, and only then committed to the host."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.errors import ArtemisEscalationError, DriftError, ObservationError, TaskError
from hearth.execution._inside import END_OF_CONTENTS, request_of
from hearth.execution._results import ObservedEffect, StepOutcome
from hearth.execution._sandboxed import Sandboxed
from hearth.execution.tasks._urls import safe_url
from hearth.observe import (
    ChangeKind,
    ObservedRequest,
    StepManifest,
    Way,
    category_of,
    commit,
    declared_path,
    deviations,
    reconcile,
)
from hearth.record import Origin, SideEffectCategory
from hearth.security import BoundaryState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.execution._leader import Command, Leader
    from hearth.execution._steps import TaskSteps
    from hearth.execution._task import TaskContext
    from hearth.observe import (
        Change,
        CommitResult,
        LayerChanges,
        Layout,
        Manifest,
        Reconciliation,
        SandboxEnd,
        SandboxRoom,
    )
    from hearth.plan import Plan, Step

__all__ = ["CommittedSteps", "PreviewedSteps", "Sandboxing"]

_COMMANDS = ("shell", "python")
_IN_PLACE = {
    "sql": "it acts on a database, as one transaction",
    "http": "it sends a request",
}
_MOST_ENTRIES = 100
_MOST_NAMED = 20
_PIECE = 1 << 20
_FIRST_WORDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandboxing:
    """How a run uses sandboxes.

    `room` holds them; `commits` is the folder where journals of commits lie, `approved` the manifest that the approval
    is bound to (None: none was asked for), `escalate_to` how far an undeclared effect moves the boundary. What each
    step did is added to `manifests`.
    """

    room: SandboxRoom
    commits: Path | None = None
    approved: Manifest | None = None
    escalate_to: BoundaryState = BoundaryState.ELEVATED
    manifests: list[StepManifest] = field(default_factory=list)


class _Sandbox:
    """One step's sandbox: what the task does in it, and how it ended."""

    def __init__(self, room: SandboxRoom, layout: Layout) -> None:
        self.room = room
        self.layout = layout
        self.ends: list[SandboxEnd] = []
        self._leaders: list[Sandboxed] = []

    def start(self, command: Command, go_on: Callable[[], None]) -> Leader:
        """Start a command in it; the task does the rest as if it ran on the host."""
        go_on()
        leader = Sandboxed(command, self.room.server, self.layout)
        self._leaders.append(leader)
        return leader

    def carry_out(self, params: Any, context: TaskContext) -> object:  # noqa: ANN401 - a JSON tree
        """Have a task that acts by itself do so in it; return its result."""
        read_end, write_end = os.pipe()
        try:
            process = self.room.server.start(
                self.layout,
                "hearth.execution._inside:perform",
                request_of(context, params),
                descriptors=(write_end,),
                linger=0.0,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            process.kill()

        timer = None if context.timeout is None else threading.Timer(context.timeout, kill)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            with context.cancellation.on_request(kill), os.fdopen(read_end, "rb") as answer:
                document = _answer(answer, context)
            end = process.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self.ends.append(end)
        if document is None:
            why = f"stopped: {context.cancellation.reason}" if context.cancellation.requested else ""
            why = why or (f"timed out after {context.timeout:g} s" if killed.is_set() else "")
            raise TaskError(why or end.problem or f"it ended before it was done (exit code {end.code})")
        return {**document, "side_effects": document["effects"]}

    def finish(self) -> list[str]:
        """Return what of the step may have gone unseen; ObservationError where the sandbox could not be set up."""
        self.ends += [leader.end for leader in self._leaders if leader.end is not None]
        unseen: list[str] = []
        for end in self.ends:
            if end.problem:
                raise ObservationError(f"the sandbox could not be set up: {end.problem}; nothing was run")
            unseen += end.unseen
            unseen += [f"{path} could not be written in the sandbox: {why}" for path, why in end.failed.items()]
            if end.left:
                unseen.append(f"{', '.join(end.left)} still ran after its end, and was killed")
        return unseen


def _answer(stream: Any, context: TaskContext) -> dict[str, Any] | None:  # noqa: ANN401 - a binary stream
    """Take the contents that the task kept, and return its result; None where it ended before."""
    while len(head := stream.read(8)) == 8:  # noqa: PLR2004 - the length of a length
        size = int.from_bytes(head, "big")
        if size == END_OF_CONTENTS:
            try:
                document = json.loads(stream.read())
            except ValueError:
                return None
            return document if isinstance(document, dict) else None
        with context.store.put_stream() as writer:
            while size and (piece := stream.read(min(size, _PIECE))):
                writer.write(piece)
                size -= len(piece)
            if size:
                return None
            writer.close()
    return None


class _SandboxSteps:
    """What previewed and committed steps have in common."""

    def __init__(self, plan: Plan, tasks: TaskSteps, sandboxing: Sandboxing, *, ignore: tuple[str, ...]) -> None:
        self._plan = plan
        self._tasks = tasks
        self._sandboxing = sandboxing
        self._room = sandboxing.room
        self._ignore = ignore
        self._unseen: dict[int, str] = {}

    def describe(self, step: Step) -> dict[str, Any]:
        """Return the task and what it will do."""
        return self._tasks.describe(step)

    def unseen(self, step: Step) -> str:
        """Return why not everything that the step did may have been seen; "" where it was."""
        return self._unseen.get(step.index, "")

    def _observed(self, step: Step) -> tuple[StepOutcome, StepManifest, Layout, LayerChanges]:
        """Run the step in a sandbox, and read its layer. Its reported effects are kept in the outcome."""
        layout = self._room.layout(str(step.index), network=_needs_network(step))
        sandbox = _Sandbox(self._room, layout)
        held: list[ObservedEffect] = []
        if step.task_type in _COMMANDS:
            outcome = self._tasks.perform(step, held.append, start=sandbox.start)
        else:
            outcome = self._tasks.perform(step, held.append, run=sandbox.carry_out)
        unseen = sandbox.finish()
        found = self._room.read(layout, ignore=self._ignore)
        unseen += found.unseen
        if outcome.unseen:
            unseen.append(outcome.unseen)
        if _needs_network(step):
            unseen.append("it had the host's network: what was sent was not observed")
        programs = sorted({" ".join(argv) for end in sandbox.ends for argv in end.programs})
        seen = StepManifest(
            index=step.index,
            name=step.name,
            way=Way.SANDBOX,
            changes=found.changes,
            programs=tuple(programs),
            connections=tuple(sorted({name for end in sandbox.ends for name in end.connections})),
            unseen=tuple(unseen),
            error=outcome.error if outcome.failed else "",
        )
        self._unseen[step.index] = "; ".join(unseen)
        return replace(outcome, side_effects=(*held, *outcome.side_effects)), seen, layout, found


class PreviewedSteps(_SandboxSteps):
    """A StepRunner that touches nothing: each step runs above what the earlier ones did; all of it is thrown away."""

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:  # noqa: ARG002 - none happens
        """Run it in a sandbox; what it did stands in the manifests, and in the details of its end."""
        if step.task_type == "http":
            return self._held_back(step)
        try:
            outcome, seen, _, _ = self._observed(step)
        except ObservationError as error:
            self._unseen[step.index] = ""
            return StepOutcome.failure(str(error), {"dry_run": True, "ran": str(Way.NOT_RUN)})
        self._sandboxing.manifests.append(seen)
        details = {**outcome.details, "dry_run": True, "ran": str(seen.way), "changes": len(seen.changes)}
        return replace(outcome, details=details, side_effects=())

    def _held_back(self, step: Step) -> StepOutcome:
        params = step.params
        request = ObservedRequest(method=str(params.get("method", "GET")).upper(), url=safe_url(params["url"]))
        self._sandboxing.manifests.append(
            StepManifest(index=step.index, name=step.name, way=Way.REQUEST, requests=(request,))
        )
        self._unseen[step.index] = ""
        return StepOutcome(details={"dry_run": True, "ran": str(Way.REQUEST), "sent": False})


class CommittedSteps(_SandboxSteps):
    """A StepRunner that lets a step's changes reach the host only when they are what was declared and approved."""

    def __init__(
        self, plan: Plan, tasks: TaskSteps, sandboxing: Sandboxing, *, ignore: tuple[str, ...], execution_id: str
    ) -> None:
        super().__init__(plan, tasks, sandboxing, ignore=ignore)
        if sandboxing.commits is None:
            raise ObservationError("changes can be committed only where their journal has a folder")
        self._commits = sandboxing.commits
        self._execution_id = execution_id

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Run it in a sandbox, compare, commit. ArtemisEscalationError for what is undeclared, or not as approved."""
        if step.task_type in _IN_PLACE:
            outcome = self._tasks.perform(step, report)
            self._unseen[step.index] = "; ".join(filter(None, (self._tasks.unseen(step), outcome.unseen)))
            return replace(outcome, details={**outcome.details, "ran": str(Way.IN_PLACE)})
        try:
            outcome, seen, layout, found = self._observed(step)
        except ObservationError as error:
            self._unseen[step.index] = ""
            return StepOutcome.failure(str(error), {"ran": str(Way.SANDBOX), "committed": False})
        self._sandboxing.manifests.append(seen)
        details: dict[str, Any] = {**outcome.details, "ran": str(seen.way), "committed": False}
        try:
            if outcome.failed:
                details["discarded_changes"] = len(seen.changes)
                return replace(outcome, details=details, side_effects=())
            held = reconcile(seen, step.effects, self._plan.cwd)
            details |= self._kept(seen)
            self._require_declared(step, held, details)
            self._require_approved(step, seen, details)
            if held.must:
                wanted = ", ".join(effect.pattern for effect in held.must)
                why = f"it did not do what the plan demands of it ({wanted}); nothing of it was committed"
                return StepOutcome.failure(why, details)
            try:
                done = self._commit(step, seen, layout, found)
            except DriftError as error:
                self._violation(step, "what it would change is not what it found", (str(error),), details)
            except ObservationError as error:
                self._unseen[step.index] = str(error)
                return StepOutcome.failure(str(error), details)
        finally:
            self._room.drop(layout)
        details["committed"] = True
        details["commit"] = {"journal": done.journal.name, "notes": list(done.notes), "left": list(done.left)}
        if held.missing:
            details["missing"] = [effect.to_dict() for effect in held.missing]
        effects = (*outcome.side_effects, *self._effects(seen, held, details, frozenset(done.kept)))
        return replace(outcome, details=details, side_effects=effects)

    def _commit(self, step: Step, seen: StepManifest, layout: Layout, found: LayerChanges) -> CommitResult:
        return commit(
            seen.changes,
            content=self._room.content(layout),
            folder=self._commits,
            name=f"{self._execution_id}-{step.index}",
            store=self._tasks.store,
            parted=found.parted,
            groups=found.groups,
        )

    def _require_declared(self, step: Step, held: Reconciliation, details: dict[str, Any]) -> None:
        silent = self._plan.document["steps"][step.index].get("effects") is None
        if silent and self._approved_step(step) is not None:
            return  # the plan says nothing of its effects, and an approver was shown them: they are held to that
        if held.undeclared:
            details["undeclared"] = list(held.undeclared[:_MOST_ENTRIES])
            self._violation(step, "undeclared effects", held.undeclared, details)

    def _approved_step(self, step: Step) -> StepManifest | None:
        return None if self._sandboxing.approved is None else self._sandboxing.approved.step(step.index)

    def _require_approved(self, step: Step, seen: StepManifest, details: dict[str, Any]) -> None:
        approved = self._approved_step(step)
        if approved is None:
            return
        found = deviations(approved, seen, volatile=step.volatile, cwd=self._plan.cwd)
        if found:
            details["deviations"] = list(found[:_MOST_ENTRIES])
            self._violation(step, "it is not what was approved", found, details)

    def _violation(self, step: Step, what: str, found: tuple[str, ...], details: dict[str, Any]) -> NoReturn:
        named = "; ".join(found[:_FIRST_WORDS])
        more = f"; and {len(found) - _FIRST_WORDS} more" if len(found) > _FIRST_WORDS else ""
        error = ArtemisEscalationError(
            self._sandboxing.escalate_to,
            f"step {step.index} ({step.name}): {what}: {named}{more}; the host is unchanged",
        )
        error.details = details
        raise error

    def _kept(self, seen: StepManifest) -> dict[str, Any]:
        """Keep the step's manifest by its digest; return what the record says of it."""
        from hearth.record import canonical_bytes

        content = canonical_bytes(seen.to_dict())
        counts = {str(kind): sum(change.kind is kind for change in seen.changes) for kind in ChangeKind}
        return {
            "manifest": {"sha256": self._tasks.store.put(content), "bytes": len(content)},
            "changes": {kind: number for kind, number in counts.items() if number},
        }

    def _effects(
        self, seen: StepManifest, held: Reconciliation, details: dict[str, Any], kept: frozenset[str]
    ) -> list[ObservedEffect]:
        """Return what is recorded as observed: each change, or of many a summary; all stand in the manifest."""
        configuration = [
            pattern
            for step in self._plan.steps
            for effect in step.effects
            if effect.category is SideEffectCategory.CONFIGURATION
            and (pattern := declared_path(effect, self._plan.cwd)) is not None
        ]
        by_category: dict[SideEffectCategory, list[Change]] = {}
        for change in seen.changes:
            by_category.setdefault(category_of(change, configuration), []).append(change)
        if len(seen.changes) <= _MOST_ENTRIES:
            return [
                ObservedEffect(
                    category,
                    f"{change.path} was {change.kind}",
                    reversible=True,
                    details={**_told(change, kept), "declared": held.covered.get(change.path)},
                    origin=Origin.OBSERVED,
                )
                for category, changes in by_category.items()
                for change in changes
            ]
        return [
            ObservedEffect(
                category,
                f"{len(changes)} paths were changed below {os.path.commonpath([change.path for change in changes])}",
                reversible=True,
                details={
                    "paths": len(changes),
                    "first": [change.path for change in changes[:_MOST_NAMED]],
                    "manifest": details["manifest"]["sha256"],
                },
                origin=Origin.OBSERVED,
            )
            for category, changes in by_category.items()
        ]


def _told(change: Change, kept: frozenset[str]) -> dict[str, Any]:
    """Return a change as the record has it; of a file that is not kept under its own digest, the entry says so."""
    told = change.to_dict()
    before = told["before"]
    if before is not None and "sha256" in before and before["sha256"] not in kept:
        before["withheld"] = "only the commit's journal can put it back"
    return told


def _needs_network(step: Step) -> bool:
    return any(effect.category is SideEffectCategory.NETWORK for effect in step.effects)
