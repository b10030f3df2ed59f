"""InPlaceSteps: a plan's steps on the host itself, with what their commands do observed where that can be had.

Requests, transactions and changes of one file are known before they are made: a step that is held to what it declares
is stopped there. What a command does is known afterwards.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.errors import ArtemisEscalationError, ObservationError, TaskError
from hearth.execution._declared import held_step, says_nothing
from hearth.execution._manifest_effects import MOST_ENTRIES, action_effects, kept_manifest, path_effects
from hearth.execution._observation import Observation
from hearth.execution._planned_changes import PlannedChanges
from hearth.execution._requests import requests_of, sent_effects, wanted_request
from hearth.execution._results import StepOutcome
from hearth.observe import (
    StepManifest,
    Way,
    host_observer_why_not,
    named_connections,
    prepare_host_observers,
    reconcile,
)
from hearth.security import BoundaryState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._results import ObservedEffect
    from hearth.execution._steps import TaskSteps
    from hearth.observe import Observed, Reconciliation, RowChanges
    from hearth.plan import Plan, Step
    from hearth.security import Policy

__all__ = ["InPlaceSteps"]

_COMMANDS = ("shell", "python")
_FIRST_WORDS = 10
_STAYS = "it was done in place, and stays"
_NOT_ASKED = "`--in-place` has it observed, and makes sudo powerless"


class InPlaceSteps:
    """A StepRunner. Commands of root are always observed, those of an ordinary user where that was asked for.

    `asked` says that the run was to be in place explicitly. Then, and where the policy says anything of sandboxes, a
    step that declares effects is held to them: what is undeclared has happened, but the run goes no further.
    """

    def __init__(
        self, plan: Plan, tasks: TaskSteps, policy: Policy, *, ignore: tuple[str, ...], asked: bool = False
    ) -> None:
        self._plan = plan
        self._tasks = tasks
        self._ignore = ignore
        self._asked = asked
        self._strict = asked or policy.sandbox_tier != "none" or policy.undeclared is not BoundaryState.ELEVATED
        self._escalate_to = policy.undeclared
        self._unseen: dict[int, str] = {}
        self._why_not = host_observer_why_not()
        if not self._why_not and not asked and os.geteuid() != 0:
            self._why_not = _NOT_ASKED
        if not self._why_not and any(step.task_type in _COMMANDS for step in plan.steps):
            prepare_host_observers()

    def describe(self, step: Step) -> dict[str, Any]:
        """Return the task and what it will do."""
        return self._tasks.describe(step)

    def unseen(self, step: Step) -> str:
        """Return why not everything that the step did may have been seen; "" where it was."""
        return self._unseen[step.index] if step.index in self._unseen else self._tasks.unseen(step)

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Run it. ArtemisEscalationError for what is undeclared, where the step is held to what it declares."""
        if step.task_type not in _COMMANDS:
            return self._itself(step, report)
        if self._why_not:
            return self._unobserved(step, self._tasks.perform(step, report), self._why_not)
        observation = Observation(ignore=self._ignore, search=(str(self._plan.cwd),), yielding=self._asked)
        try:
            outcome = self._tasks.perform(step, report, start=observation.start)
            if observation.is_empty:
                self._unseen[step.index] = self._tasks.raised(step)
                return replace(outcome, details={**outcome.details, "ran": str(Way.NOT_RUN)})
            if observation.why_not:
                return self._unobserved(step, outcome, observation.why_not)
            try:
                observed = observation.finish()
            except ObservationError as error:
                return self._lost(step, outcome, str(error))
        finally:
            observation.close()
        return self._compared(step, outcome, observed, report)

    def _itself(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Run a task that acts by itself, held to what the step declares where it declares anything."""
        if not says_nothing(self._plan.document, step.index):
            if step.task_type == "http":
                return self._requested(step, report)
            if step.task_type == "sql":
                return self._transacted(step, report)
            if step.task_type == "file" and os.name == "posix":
                return self._changed(step, report)
        return _in_place(self._tasks.perform(step, report))

    def _requested(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        first = wanted_request(step)
        wanted = StepManifest(index=step.index, name=step.name, way=Way.IN_PLACE, requests=(first,))
        if refusal := self._before(step, wanted, "nothing was sent", {"sent": False}):
            return refusal
        outcome = _in_place(self._tasks.perform(step, report))
        # Where redirects lead is known afterwards only; they stay on the host.
        seen = replace(wanted, requests=requests_of(sent_effects(outcome), first))
        return self._held(step, outcome, reconcile(seen, step.effects, self._plan.cwd), report)

    def _transacted(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        compared: list[Reconciliation] = []

        def before_commit(rows: tuple[RowChanges, ...], unseen: tuple[str, ...]) -> None:
            seen = StepManifest(index=step.index, name=step.name, way=Way.IN_PLACE, rows=rows, unseen=unseen)
            compared.append(held_step(seen, step.effects, self._plan.cwd, sql=True))
            if refusal := self._refused(step, compared[0], "all of it was rolled back", {}):
                raise TaskError(refusal.error)

        outcome = _in_place(self._tasks.perform(step, report, before_commit=before_commit, in_place=True))
        return self._held(step, outcome, compared[0], report) if compared and not outcome.failed else outcome

    def _changed(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        try:
            paths = PlannedChanges(self._tasks.task(step), step, self._plan.cwd)
        except TaskError as error:
            return _in_place(StepOutcome.failure(str(error)))
        wanted = StepManifest(index=step.index, name=step.name, way=Way.IN_PLACE, changes=paths.planned())
        if refusal := self._before(step, wanted, "nothing was changed", {}):
            return refusal
        outcome = _in_place(self._tasks.perform(step, report))
        seen = replace(wanted, changes=paths.made())
        return self._held(step, outcome, reconcile(seen, step.effects, self._plan.cwd), report)

    def _before(self, step: Step, wanted: StepManifest, stays: str, details: dict[str, Any]) -> StepOutcome | None:
        """Hold a step to what it declares before it acts; return how it ended where it is not to act at all."""
        held = reconcile(wanted, step.effects, self._plan.cwd)
        held = replace(held, undeclared=tuple(map(_would, held.undeclared)))
        refusal = self._refused(step, held, stays, details)
        if refusal is not None:
            self._unseen[step.index] = ""
        return refusal

    def _refused(self, step: Step, held: Reconciliation, stays: str, details: dict[str, Any]) -> StepOutcome | None:
        """Raise ArtemisEscalationError for what is undeclared; return a failure for what is demanded and missing."""
        if not self._strict:
            return None
        details = {"ran": str(Way.IN_PLACE), **details}
        if held.undeclared:
            self._unseen[step.index] = ""
            self._violation(step, held, {**details, "undeclared": list(held.undeclared[:MOST_ENTRIES])}, stays)
        if held.must:
            details["missing"] = [effect.to_dict() for effect in held.missing]
            return StepOutcome.failure(f"{_not_done(held)}; {stays}", details)
        return None

    def _unobserved(self, step: Step, outcome: StepOutcome, why: str) -> StepOutcome:
        self._unseen[step.index] = f"{self._tasks.unseen(step)}; it was not observed: {why}"
        details = {**outcome.details, "ran": str(Way.IN_PLACE), "not_observed": why}
        return replace(outcome, details=details)

    def _lost(self, step: Step, outcome: StepOutcome, why: str) -> StepOutcome:
        """Fail a step of which what was observed is lost: with a dead observer its system calls failed from then on."""
        self._unseen[step.index] = f"{self._tasks.unseen(step)}; {why}"
        details = {**outcome.details, "ran": str(Way.IN_PLACE), "not_observed": why}
        error = outcome.error if outcome.failed else ""
        if why not in error:
            error = f"{error}; {why}" if error else why
        return replace(outcome, failed=True, error=error, details=details)

    def _compared(
        self, step: Step, outcome: StepOutcome, observed: Observed, report: Callable[[ObservedEffect], None]
    ) -> StepOutcome:
        unseen = [*filter(None, (self._tasks.raised(step),)), *observed.unseen]
        if observed.connections:
            unseen.append("it had connections: what was sent, and what others did then, was not observed")
        self._unseen[step.index] = "; ".join(unseen)
        seen = StepManifest(
            index=step.index,
            name=step.name,
            way=Way.IN_PLACE,
            changes=observed.changes,
            programs=observed.programs,
            connections=named_connections(observed.connections, step.effects),
            actions=observed.actions,
            unseen=tuple(filter(None, (*unseen, outcome.unseen))),
            error=outcome.error if outcome.failed else "",
        )
        held = reconcile(seen, step.effects, self._plan.cwd)
        try:
            kept = kept_manifest(seen, self._tasks.store, self._tasks.redactor)
        except OSError as error:
            return self._lost(step, outcome, f"what was observed of it cannot be kept: {error.strerror or error}")
        details: dict[str, Any] = {**outcome.details, "ran": str(Way.IN_PLACE), "observed": "seccomp", **kept}
        digest = details["manifest"]["sha256"]
        effects = (
            *path_effects(seen, self._plan, held.covered, None, digest),
            *action_effects(seen, held.covered, digest),
        )
        outcome = replace(outcome, details=details, side_effects=(*outcome.side_effects, *effects))
        if says_nothing(self._plan.document, step.index):
            return outcome  # it declares nothing, and is held to nothing
        return self._held(step, outcome, held, report)

    def _held(
        self, step: Step, outcome: StepOutcome, held: Reconciliation, report: Callable[[ObservedEffect], None]
    ) -> StepOutcome:
        details = dict(outcome.details)
        if held.undeclared:
            details["undeclared"] = list(held.undeclared[:MOST_ENTRIES])
        if held.missing and not outcome.failed:
            details["missing"] = [effect.to_dict() for effect in held.missing]
        outcome = replace(outcome, details=details)
        if not self._strict:
            return outcome
        if held.undeclared:
            for effect in outcome.side_effects:
                report(effect)
            self._violation(step, held, details, _STAYS)
        if held.must and not outcome.failed:
            return replace(outcome, failed=True, error=f"{_not_done(held)}; what it did was done in place, and stays")
        return outcome

    def _violation(self, step: Step, held: Reconciliation, details: dict[str, Any], stays: str) -> NoReturn:
        named = "; ".join(held.undeclared[:_FIRST_WORDS])
        more = f"; and {len(held.undeclared) - _FIRST_WORDS} more" if len(held.undeclared) > _FIRST_WORDS else ""
        words = f"step {step.index} ({step.name}): undeclared effects: {named}{more}; {stays}"
        error = ArtemisEscalationError(self._escalate_to, words)
        error.details = details
        raise error


def _not_done(held: Reconciliation) -> str:
    wanted = ", ".join(effect.pattern for effect in held.must)
    return f"it did not do what the plan demands of it ({wanted})"


def _would(words: str) -> str:
    """Return what is said of a path that was changed, of one that is about to be."""
    path, was, what = words.rpartition(" was ")
    return f"{path} would be {what}" if was else words


def _in_place(outcome: StepOutcome) -> StepOutcome:
    return replace(outcome, details={**outcome.details, "ran": str(Way.IN_PLACE)})
