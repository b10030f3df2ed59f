"""CommittedSteps: a plan's steps, run, looked at, and only then committed to the host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.errors import ArtemisEscalationError, DriftError, ObservationError, TaskError
from hearth.execution._database_rows import databases_in_use
from hearth.execution._declared import held_step, says_nothing
from hearth.execution._manifest_effects import (
    MOST_ENTRIES,
    action_effects,
    path_effects,
    row_effects,
    told_effects,
    without_secrets,
)
from hearth.execution._requests import requests_of, sent_effects, wanted_request
from hearth.execution._results import StepOutcome
from hearth.execution._sandbox_steps import SandboxSteps
from hearth.execution._step_progress import StepProgress
from hearth.execution.tasks._table_rows import UNCOUNTED
from hearth.observe import (
    StepManifest,
    Way,
    commit,
    deviations,
    reconcile,
)
from hearth.record import Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._listener import SafeListener
    from hearth.execution._results import ObservedEffect
    from hearth.execution._sandbox_steps import Sandboxing
    from hearth.execution._steps import TaskSteps
    from hearth.observe import CommitResult, LayerChanges, Layout, Reconciliation, RowChanges
    from hearth.plan import Plan, Step

__all__ = ["CommittedSteps"]

_FIRST_WORDS = 10
_NOTHING = "nothing of the step was committed"
_BUT_CONNECTED = ", but its connections were made"


class CommittedSteps(SandboxSteps):
    """A StepRunner that lets a step's changes reach the host only when they are what was declared and approved."""

    def __init__(
        self,
        plan: Plan,
        tasks: TaskSteps,
        sandboxing: Sandboxing,
        listener: SafeListener,
        *,
        ignore: tuple[str, ...],
        execution_id: str,
    ) -> None:
        super().__init__(plan, tasks, sandboxing, listener, ignore=ignore)
        if sandboxing.commits is None:
            raise ObservationError("changes can be committed only where their journal has a folder")
        self._commits = sandboxing.commits
        self._execution_id = execution_id

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Run it in a sandbox, compare, commit. ArtemisEscalationError for what is undeclared, or not as approved.

        A database commits by itself, so it is compared before that; a request, before it is sent.
        """
        if step.task_type == "sql":
            return self._transacted(step, report)
        if step.task_type == "http":
            return self._requested(step, report)
        try:
            outcome, seen, layout, found = self._observed(step)
        except ObservationError as error:
            self._unseen[step.index] = ""
            return StepOutcome.failure(str(error), {"ran": str(Way.SANDBOX), "committed": False})
        self._told(seen)
        details: dict[str, Any] = {**outcome.details, "ran": str(seen.way), "committed": False}
        try:
            self._report_connections(step, seen, report)
            if outcome.failed:
                details["discarded_changes"] = len(seen.changes)
                return replace(outcome, details=details, side_effects=())
            return self._held_and_committed(step, outcome, seen, layout, found, details)
        finally:
            self._room.drop(layout)

    def _report_connections(self, step: Step, seen: StepManifest, report: Callable[[ObservedEffect], None]) -> None:
        """Record what it was connected to: that happened, whatever becomes of the rest."""
        only = replace(seen, changes=(), rows=(), programs=())
        manifest = ""
        if len(seen.connections) > MOST_ENTRIES:
            manifest = self._kept(only)["manifest"]["sha256"]
        for effect in action_effects(only, reconcile(only, step.effects, self._plan.cwd).covered, manifest):
            report(effect)

    def _held_and_committed(
        self,
        step: Step,
        outcome: StepOutcome,
        seen: StepManifest,
        layout: Layout,
        found: LayerChanges,
        details: dict[str, Any],
    ) -> StepOutcome:
        """Compare what a step did, and commit it."""
        stays = f"{_NOTHING}{_BUT_CONNECTED if seen.connections else ''}"
        try:
            held = self._held(step, seen, details, stays)
        except OSError as error:
            why = f"what it did cannot be kept for the record ({error.strerror or error})"
            return StepOutcome.failure(f"{why}: {stays}", details)
        if held.must:
            details["missing"] = [effect.to_dict() for effect in held.missing]
            return StepOutcome.failure(f"{_not_done(held)}; {stays}", details)
        if why := _not_to_be_committed(seen, found) or self._names_not_found(step, found):
            return StepOutcome.failure(why, details)
        try:
            done = self._commit(step, seen, layout, found, self._told_then(seen, held, details))
        except DriftError as error:
            self._violation(step, "what it would change is not what it found", (str(error),), details, stays)
        except ObservationError as error:
            self._unseen[step.index] = str(error)
            return StepOutcome.failure(str(error), details)
        details["committed"] = True
        details["commit"] = {"journal": done.journal.name, "notes": list(done.notes), "left": list(done.left)}
        if held.missing:
            details["missing"] = [effect.to_dict() for effect in held.missing]
        digest = details["manifest"]["sha256"]
        paths = path_effects(seen, self._plan, held.covered, frozenset(done.kept), digest)
        effects = (*outcome.side_effects, *paths, *row_effects(seen, held.covered, digest, reversible=True))
        return replace(outcome, details=details, side_effects=effects)

    def _transacted(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Run a sql step on the host, in one transaction that is compared before its commit."""
        details: dict[str, Any] = {"ran": str(Way.TRANSACTION), "committed": False}
        compared: list[tuple[StepManifest, Reconciliation]] = []
        self._unseen[step.index] = self._tasks.unseen(step)

        def before_commit(rows: tuple[RowChanges, ...], unseen: tuple[str, ...]) -> None:
            seen = StepManifest(index=step.index, name=step.name, way=Way.TRANSACTION, rows=rows, unseen=unseen)
            self._told(seen)
            held = self._held(step, seen, details)
            if held.must:
                details["missing"] = [effect.to_dict() for effect in held.missing]
                raise TaskError(f"{_not_done(held)}; all of it was rolled back")
            compared.append((seen, held))

        outcome = self._tasks.perform(step, report, before_commit=before_commit)
        details = {**outcome.details, **details}
        if not compared:
            if not outcome.failed:
                self._unseen[step.index] = "it did not tell before its commit what it was about to commit"
            elif outcome.unseen:
                self._unseen[step.index] = outcome.unseen
            return replace(outcome, details=details)
        (seen, held) = compared[0]
        if details.get("commit") == "rolled back":
            return replace(outcome, details=details)
        self._unseen[step.index] = "; ".join(dict.fromkeys(filter(None, (*seen.unseen, outcome.unseen))))
        details["committed"] = not outcome.failed
        if outcome.failed:
            return replace(outcome, details=details)
        if held.missing:
            details["missing"] = [effect.to_dict() for effect in held.missing]
        if UNCOUNTED in seen.unseen:  # by statement, as the driver says: that is no observation
            return replace(outcome, details=details)
        # The task tells the same rows; what was observed stands in their place.
        others = (effect for effect in outcome.side_effects if "inserted" not in effect.details)
        digest = details["manifest"]["sha256"]
        undoable = "changeset" in details and not seen.unseen
        observed = row_effects(seen, held.covered, digest, reversible=undoable)
        return replace(outcome, details=details, side_effects=(*others, *observed))

    def _requested(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:
        """Send a request from the host, when its method and URL are what was declared and approved."""
        first = wanted_request(step)
        wanted = StepManifest(index=step.index, name=step.name, way=Way.REQUEST, requests=(first,))
        details: dict[str, Any] = {"ran": str(Way.REQUEST), "sent": False}
        self._unseen[step.index] = ""
        held = self._held(step, wanted, details, "nothing was sent")
        if held.must:
            details["missing"] = [effect.to_dict() for effect in held.missing]
            return StepOutcome.failure(f"{_not_done(held)}; nothing was sent", details)
        outcome = self._tasks.perform(step, report)
        sent = sent_effects(outcome)
        requests = requests_of(sent, first)
        seen = replace(wanted, requests=requests, error=outcome.error if outcome.failed else "")
        self._told(seen)
        self._unseen[step.index] = "; ".join(filter(None, (self._tasks.unseen(step), outcome.unseen))) if sent else ""
        details = {**outcome.details, **details, **self._kept(seen), "sent": bool(sent)}
        if held.missing:
            details["missing"] = [effect.to_dict() for effect in held.missing]
        # Where redirects lead is known afterwards only; they stay on the host.
        after = reconcile(seen, step.effects, self._plan.cwd)
        covered = held.covered | after.covered
        effects = tuple(
            replace(
                effect,
                details={
                    **effect.details,
                    "declared": covered.get(f"{requests[number].method} {requests[number].url}"),
                },
                origin=Origin.OBSERVED,
            )
            for number, effect in enumerate(sent)
        )
        others = tuple(effect for effect in outcome.side_effects if effect not in sent)
        if after.undeclared and not self._is_silent(step):
            for effect in (*others, *effects):
                report(effect)
            details["undeclared"] = list(after.undeclared[:MOST_ENTRIES])
            self._violation(step, "undeclared effects", after.undeclared, details, "it was sent, and stays so")
        return replace(outcome, details=details, side_effects=(*others, *effects))

    def _held(self, step: Step, seen: StepManifest, details: dict[str, Any], stays: str = _NOTHING) -> Reconciliation:
        """Hold a step to what is declared and approved; `stays` says what came of one that is stopped."""
        held = held_step(seen, step.effects, self._plan.cwd, sql=step.task_type == "sql")
        details |= self._kept(seen)
        if own := self._in_ledger(seen):
            self._violation(step, "it would change its own record", own, details, stays)
        self._require_declared(step, held, details, stays)
        self._require_approved(step, seen, details, stays)
        return held

    def _told_then(self, seen: StepManifest, held: Reconciliation, details: dict[str, Any]) -> dict[str, Any]:
        """Return what the record is to say of a commit, for that one's journal: whoever recovers it reads it there.

        What the command itself wrote or reported is not in it: that has not been looked at for secrets.
        """
        told = without_secrets(seen, self._tasks.redactor)
        ours: dict[str, Any] = {key: details[key] for key in ("ran", "manifest", "changes", "rows") if key in details}
        if held.missing:
            ours["missing"] = [effect.to_dict() for effect in held.missing]
        effects = told_effects(told, self._plan, held, details["manifest"]["sha256"])
        return {"details": {**ours, "committed": True}, "effects": effects, "unseen": list(told.unseen)}

    def _commit(
        self, step: Step, seen: StepManifest, layout: Layout, found: LayerChanges, told: dict[str, Any]
    ) -> CommitResult:
        progress, total = StepProgress(self._listener, step), len(seen.changes)
        return commit(
            seen.changes,
            content=progress.preparing(self._room.content(layout), total),
            check=lambda: progress.committing(total),
            folder=self._commits,
            name=f"{self._execution_id}-{step.index}",
            store=self._tasks.store,
            parted=found.parted,
            groups=found.groups,
            told=told,
        )

    def _require_declared(self, step: Step, held: Reconciliation, details: dict[str, Any], stays: str) -> None:
        if held.undeclared and not self._is_silent(step):
            details["undeclared"] = list(held.undeclared[:MOST_ENTRIES])
            if held.missing:
                details["missing"] = [effect.to_dict() for effect in held.missing]
            self._violation(step, "undeclared effects", held.undeclared, details, stays)

    def _is_silent(self, step: Step) -> bool:
        """Whether the plan says nothing of its effects, and an approver was shown them: they are held to that."""
        return says_nothing(self._plan.document, step.index) and self._approved_step(step) is not None

    def _names_not_found(self, step: Step, found: LayerChanges) -> str:
        """Return why a file with names that nobody knows is not written; "" where an approver was told of them."""
        if not found.unfound or self._approved_step(step) is not None:
            return ""
        named = ", ".join(found.unfound[:_FIRST_WORDS])
        return (
            f"{named}: more names (hard links) lead to what was written than were found, and no approved preview "
            f"showed that: {_NOTHING}"
        )

    def _approved_step(self, step: Step) -> StepManifest | None:
        return None if self._sandboxing.approved is None else self._sandboxing.approved.step(step.index)

    def _require_approved(self, step: Step, seen: StepManifest, details: dict[str, Any], stays: str) -> None:
        approved = self._approved_step(step)
        if approved is None:
            return
        told = without_secrets(seen, self._tasks.redactor)
        found = deviations(approved, told, volatile=step.volatile, cwd=self._plan.cwd)
        if found:
            details["deviations"] = list(found[:MOST_ENTRIES])
            self._violation(step, "it is not what was approved", found, details, stays)

    def _violation(
        self,
        step: Step,
        what: str,
        found: tuple[str, ...],
        details: dict[str, Any],
        stays: str = _NOTHING,
    ) -> NoReturn:
        named = "; ".join(found[:_FIRST_WORDS])
        more = f"; and {len(found) - _FIRST_WORDS} more" if len(found) > _FIRST_WORDS else ""
        error = ArtemisEscalationError(
            self._sandboxing.escalate_to,
            f"step {step.index} ({step.name}): {what}: {named}{more}; {stays}",
        )
        error.details = details
        raise error


def _not_to_be_committed(seen: StepManifest, found: LayerChanges) -> str:
    """Return what of the files that a step changed keeps all of it from being committed; "" for nothing."""
    if found.unread:
        named = ", ".join(found.unread[:_FIRST_WORDS])
        return (
            f"{named}: most of what such a file holds are bytes that nobody wrote (holes), too many to be compared: "
            "nothing of the step was committed"
        )
    if found.refused:
        return f"{'; '.join(found.refused[:_FIRST_WORDS])}: {_NOTHING}"
    if live := databases_in_use(seen.changes):
        return (
            f"other processes have {', '.join(live)} open, and would go on with the file as it was: nothing of the "
            "step was committed; change it by a sql step, or when nobody has it open"
        )
    return ""


def _not_done(held: Reconciliation) -> str:
    wanted = ", ".join(effect.pattern for effect in held.must)
    return f"it did not do what the plan demands of it ({wanted})"
