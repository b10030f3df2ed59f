"""RollbackPlanner: from a sealed record and the plan's hints to a scaffold. It runs nothing and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import RecordError
from hearth.record import ExecutionStatus, SealCause, StepEventType
from hearth.rollback._hints import read_hints
from hearth.rollback._scaffold import RollbackScaffold
from hearth.rollback._steps import StepOutcome, executed_steps, named_effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from hearth.plan import RollbackHint
    from hearth.record import ExecutionRecord, SecuritySnapshot
    from hearth.rollback._steps import ExecutedStep

__all__ = ["RollbackPlanner"]

_UNKNOWN = "UNKNOWN"
_OPERATIONAL = "OPERATIONAL"
_NOMINAL = "NOMINAL"
_NO_KERNEL = "no security kernel"  # in the context of a snapshot for which there was none to ask
_NAMED_EFFECTS = 5
_DRY = "The run was a DRY_RUN, which acts on nothing: make sure that there is anything to take back."
_DRY_BUT_CALLED = (
    "The run's live mode was DRY_RUN, in which code of a caller's own (`execute_step=`) acts all the same."
)


class RollbackPlanner:
    """Says whether and how an execution can be taken back (docs/EXECUTION_OBSERVABILITY_SPEC.md).

    Rules, the first that applies decides:

    - not sealed: not possible, it may still be running;
    - the record does not verify: not possible, nobody knows what happened;
    - sealed by an escalation: not possible;
    - a security kernel said at the end something else than OPERATIONAL, or could not say it: not possible;
    - COMPLETED: not needed;
    - no step ran: nothing to take back;
    - no hint, or none for a step that ran: not possible;
    - else (FAILED, COMPLETED_PARTIAL, INCOMPLETE of another cause): possible.
    """

    @staticmethod
    def plan_rollback(
        record: ExecutionRecord,
        rollback_hints_from_plan: Iterable[RollbackHint | Mapping[str, Any]] | Mapping[int, Any] | None = None,
    ) -> RollbackScaffold:
        """Return the scaffold for one record.

        The hints are `RollbackHint`s or mappings with their fields, in an iterable or as a mapping from the step's
        index; their texts are passed on verbatim. A malformed one raises RollbackHintError that names it.
        """
        hints = read_hints(rollback_hints_from_plan)
        steps = executed_steps(record)
        places = {step.step_index: place for place, step in enumerate(steps)}
        usable = sorted((hint for hint in hints if hint.step_index in places), key=lambda hint: places[hint.step_index])
        refusal = _refusal(record) or _nothing_to_follow(steps, hints, usable)
        if refusal:
            usable = []
        settled = not _is_sealed(record) or _is_settled(record)
        hinted = {hint.step_index for hint in usable}
        return RollbackScaffold(
            execution_id=record.execution_id,
            plan_id=record.plan_id,
            status=record.status,
            is_rollback_possible=not refusal,
            reason=refusal or _reason(record, steps, usable),
            rollback_hints=tuple(usable),
            warnings=tuple(_warnings(record, steps, [hint for hint in hints if hint.step_index not in places])),
            irreversible_steps=tuple(step.step_index for step in steps if step.irreversible),
            manual_steps=tuple(
                step.step_index
                for step in steps
                if not settled
                and not step.untouched
                and (step.step_index not in hinted or step.outcome is StepOutcome.UNKNOWN)
            ),
            executed_steps=steps,
        )


def _is_sealed(record: ExecutionRecord) -> bool:
    return record.is_sealed and record.status is not ExecutionStatus.STARTED


def _cause(record: ExecutionRecord) -> SealCause | None:
    try:
        return record.cause
    except (KeyError, ValueError):
        # A seal that was tampered with; `verify` says so, and the warnings with it.
        return None


def _acted_on_nothing(record: ExecutionRecord) -> bool:
    """Whether every step says that it was only checked, which Stage 4 records of tasks, and nothing tells otherwise."""
    ended = [event for event in record.step_events if event.event_type is not StepEventType.STEP_STARTED]
    return (
        bool(ended)
        and all(event.details.get("dry_run") is True for event in ended)
        and not record.side_effects_report.side_effects_observed
    )


def _finding(record: ExecutionRecord) -> str:
    """Return what is wrong with the record, "" if nothing is."""
    try:
        verdict = record.verify()
    except RecordError as error:
        return str(error)
    return "" if verdict else verdict.why or "no reason is given"


def _is_settled(record: ExecutionRecord) -> bool:
    """Whether nobody has to do anything: the run did all it was to do, and the record can be believed."""
    return record.status is ExecutionStatus.COMPLETED and _worse_posture(record) is None and not _finding(record)


def _worse_posture(record: ExecutionRecord) -> str | None:
    """Return the security state at the end if a kernel was asked for it and did not say that it is OPERATIONAL."""
    after = record.security_snapshot_post
    if after is None or after.security_state == _OPERATIONAL:
        return None
    if after.security_state == _UNKNOWN and not _by_a_kernel(after):
        return None
    return after.security_state


def _by_a_kernel(snapshot: SecuritySnapshot) -> bool:
    """Whether there was a kernel to ask: a run without one, and a recovery, say that there was none."""
    return _NO_KERNEL not in snapshot.context.split("; ")


def _refusal(record: ExecutionRecord) -> str:
    if not _is_sealed(record):
        return (
            "The record is not sealed: the execution may still be running. Wait for its end, or run "
            "`hearth recover` if it died; then plan the rollback again."
        )
    finding = _finding(record)
    if finding:
        return (
            f"The record does not verify ({finding}): what it says of the run cannot be believed. Find out what was "
            "changed, and look at the system itself, before anything is undone."
        )
    if _cause(record) is SealCause.ESCALATION:
        why = f" ({record.completion_reason})" if record.completion_reason else ""
        return (
            f"The run was stopped by a security escalation{why}. Nothing may be undone until the security state is "
            "restored and someone has looked at what happened."
        )
    posture = _worse_posture(record)
    if posture == _UNKNOWN:
        snapshot = record.security_snapshot_post
        why = f" ({snapshot.context})" if snapshot is not None and snapshot.context else ""
        return (
            f"The security kernel could not tell its state at the end of the run{why}. Nothing may be undone until the "
            "security state is known and someone has looked at what happened."
        )
    if posture is not None:
        return (
            f"The security state at the end of the run was {posture}, not {_OPERATIONAL}. Nothing may be undone until "
            "it is restored and someone has looked at what happened."
        )
    if record.status is ExecutionStatus.COMPLETED:
        return "Rollback is not needed: the execution completed, every step as planned."
    return ""


def _nothing_to_follow(
    steps: tuple[ExecutedStep, ...], hints: tuple[RollbackHint, ...], usable: list[RollbackHint]
) -> str:
    if not steps:
        return "No step ran: there is nothing to take back."
    if not hints:
        return "The plan gives no rollback hints: what the steps below did must be taken back by hand."
    if not usable:
        return "No rollback hint is for a step that ran: what the steps below did must be taken back by hand."
    return ""


def _reason(record: ExecutionRecord, steps: tuple[ExecutedStep, ...], usable: list[RollbackHint]) -> str:
    ended = {
        ExecutionStatus.FAILED: "The execution failed",
        ExecutionStatus.COMPLETED_PARTIAL: "The execution completed only in part",
    }.get(record.status, f"The execution is incomplete (cause: {_cause(record)})")
    covered = len({hint.step_index for hint in usable})
    ran = "1 step that ran" if len(steps) == 1 else f"{len(steps)} steps that ran"
    return f"{ended}; the plan has hints for {covered} of the {ran}."


def _warnings(record: ExecutionRecord, steps: tuple[ExecutedStep, ...], unused: list[RollbackHint]) -> list[str]:
    warnings: list[str] = []
    finding = _finding(record)
    if _is_sealed(record) and finding:
        warnings.append(f"The record does not verify ({finding}): do not trust what it says before that is explained.")
    warnings += _posture_warnings(record, kept_back=any(step.untouched for step in steps))
    if _cause(record) in (SealCause.RECOVERED, SealCause.RECORDER_FAILURE):
        warnings.append(f"The record may lack its last entries (cause: {_cause(record)}): compare it with the system.")
    if record.live_mode_state == "DRY_RUN" and steps:
        warnings.append(_DRY if _acted_on_nothing(record) else _DRY_BUT_CALLED)
    for step in steps:
        warnings += _step_warnings(step)
    loose = [effect for effect in record.side_effects_report.side_effects_observed if effect.step_index is None]
    named = [named_effect(effect) for effect in loose if not effect.reversible]
    if named:
        warnings.append(f"Outside of any step, something was done that cannot be undone: {_listed(named)}.")
    warnings += _unknown_warnings(record)
    warnings += [
        f"The hint for step {hint.step_index} ({hint.description}) is left out: that step did not run."
        for hint in unused
    ]
    return warnings


def _unknown_warnings(record: ExecutionRecord) -> list[str]:
    report = record.side_effects_report
    if not report.unknown_effects:
        return []
    reasons = dict.fromkeys(str(item.get("why", "")) for item in report.unknown_effects_why)
    told = "; ".join(reason for reason in reasons if reason) or "the record does not say why"
    return [f"There may be effects that no list here names: {told}."]


def _posture_warnings(record: ExecutionRecord, *, kept_back: bool) -> list[str]:
    before, after = record.security_snapshot_pre, record.security_snapshot_post
    if after is None:
        return []
    if after.security_state == _UNKNOWN and (_by_a_kernel(after) or (before and before.security_state != _UNKNOWN)):
        return [f"The security state after the run is not known ({after.context}): find it out before you act."]
    if after.boundary_state == _UNKNOWN and _by_a_kernel(after):
        return [f"The boundary state after the run is not known ({after.context}): look for effects beyond the plan."]
    if after.boundary_state not in (_UNKNOWN, _NOMINAL) and kept_back and _cause(record) is SealCause.ESCALATION:
        return [f"The boundary state after the run was {after.boundary_state}: find out why before you act."]
    if after.boundary_state not in (_UNKNOWN, _NOMINAL):
        return [f"The boundary state after the run was {after.boundary_state}: effects beyond the plan are likely."]
    return []


def _step_warnings(step: ExecutedStep) -> list[str]:
    warnings = []
    if step.outcome is StepOutcome.UNKNOWN:
        warnings.append(f"{_sentence(step)}: its outcome is unknown; look at the system before you touch it.")
    elif step.untouched:
        warnings.append(f"{_sentence(step)} failed, and nothing of it was committed: there is nothing to take back.")
    elif step.outcome is StepOutcome.FAILED:
        warnings.append(f"{_sentence(step)} failed and may have acted before it did.")
    if step.runs > 1:
        warnings.append(f"{_sentence(step)} ran {step.runs} times; its hint is listed once.")
    if step.irreversible:
        warnings.append(f"{_sentence(step)} did what cannot be undone: {_listed(step.irreversible)}.")
    return warnings


def _sentence(step: ExecutedStep) -> str:
    label = step.label()
    return label[0].upper() + label[1:]


def _listed(effects: Iterable[str]) -> str:
    named = list(effects)
    more = f"; and {len(named) - _NAMED_EFFECTS} more" if len(named) > _NAMED_EFFECTS else ""
    return "; ".join(named[:_NAMED_EFFECTS]) + more
