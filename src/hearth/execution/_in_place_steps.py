"""InPlaceSteps: a plan's steps on the host itself, with what their commands do observed where that can be had."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hearth.errors import ArtemisEscalationError, ObservationError
from hearth.execution._manifest_effects import MOST_ENTRIES, action_effects, kept_manifest, path_effects
from hearth.execution._observation import Observation
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

    from hearth.execution._results import ObservedEffect, StepOutcome
    from hearth.execution._steps import TaskSteps
    from hearth.observe import Observed, Reconciliation
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
            outcome = self._tasks.perform(step, report)
            return replace(outcome, details={**outcome.details, "ran": str(Way.IN_PLACE)})
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
        if self._plan.document["steps"][step.index].get("effects") is None:
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
            named = "; ".join(held.undeclared[:_FIRST_WORDS])
            more = f"; and {len(held.undeclared) - _FIRST_WORDS} more" if len(held.undeclared) > _FIRST_WORDS else ""
            words = f"step {step.index} ({step.name}): undeclared effects: {named}{more}; {_STAYS}"
            error = ArtemisEscalationError(self._escalate_to, words)
            error.details = details
            raise error
        if held.must and not outcome.failed:
            wanted = ", ".join(effect.pattern for effect in held.must)
            words = f"it did not do what the plan demands of it ({wanted}); what it did was done in place, and stays"
            return replace(outcome, failed=True, error=words)
        return outcome
