"""The end of a run: what came of it, where the record is, what to do next, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.cli._errors import Exit, exit_code
from hearth.cli._json import print_json
from hearth.cli._text import count, left_behind, seconds_text
from hearth.record import ExecutionStatus, SealCause, StepEventType

if TYPE_CHECKING:
    from hearth.cli._screen import Part, Screen
    from hearth.operations import RunOutcome, StandaloneOutcome
    from hearth.record import ExecutionRecord

__all__ = ["finish", "finish_command", "is_emergency", "outcome_code", "print_outcome_json", "short_of"]


def outcome_code(outcome: RunOutcome | StandaloneOutcome) -> int:
    """Return the exit code of a run that came to an end."""
    if outcome.error is not None:
        return exit_code(outcome.error)
    if not outcome.record.verify():
        return Exit.NOT_VERIFIED
    return Exit.DONE if outcome.record.status is ExecutionStatus.COMPLETED else Exit.FAILED


def finish(screen: Screen | None, outcome: RunOutcome | StandaloneOutcome, *, where: str) -> int:
    """Print the end of a run (without a screen only what went wrong, on stderr) and return the exit code."""
    code = outcome_code(outcome)
    if screen is None:
        _complain(outcome)
        return code
    record = outcome.record
    done = record.status is ExecutionStatus.COMPLETED
    screen.blank()
    screen.line(
        (
            f"{screen.symbols.done if done else screen.symbols.failed} {record.status.value}",
            "bold green" if done else "bold red",
        ),
        f"  {short_of(record)}",
    )
    if record.completion_reason and not _told_at_its_step(record):
        screen.line((record.completion_reason, "" if done else "red"), indent=2)
    verdict = record.verify()
    stored = getattr(outcome, "stored", True)
    facts: list[tuple[str, Part | list[Part]]] = [
        ("id", (record.execution_id, "bold")),
        ("record", [where if stored else "its journal", (f", {verdict}", "green" if verdict else "red")]),
    ]
    facts += [("note", (note, "yellow")) for note in (*_of_declared(record), *getattr(outcome, "notes", ()))]
    if not stored:
        facts.append(("next", "hearth recover"))
    elif not hasattr(outcome, "path"):
        facts.append(("next", f"hearth show {_word(record.execution_id)}"))
        if record.cause is SealCause.ESCALATION:
            facts.append(("", "hearth restore, once it is understood; then preview the plan again"))
        if not done and _may_have_done(record):
            facts.append(("", f"hearth rollback {_word(record.execution_id)}"))
    screen.pairs(facts)
    _print_emergency(screen, record)
    return code


def finish_command(screen: Screen, outcome: RunOutcome, *, own_code: int | None) -> int:
    """Print the end of a single command, in few lines: its output is what matters."""
    record = outcome.record
    done = record.status is ExecutionStatus.COMPLETED
    took = "" if own_code is None else f"  exit code {own_code}"
    if record.timestamp_end is not None:
        took += f"  {seconds_text(max((record.timestamp_end - record.timestamp_start).total_seconds(), 0.0))}"
    sign = (f"{screen.symbols.done} ", "green") if done else (f"{screen.symbols.failed} ", "red")
    screen.line(sign, f"{record.status.value}{took}  ", (record.execution_id, "bold"))
    if own_code is None or record.status is ExecutionStatus.INCOMPLETE:
        reason = record.step_events[-1].error_message if record.status is ExecutionStatus.FAILED else None
        screen.line((reason or record.completion_reason, "" if done else "red"), indent=2)
    left = [said for event in record.step_events for said in left_behind(event.details)]
    for note in (*left, *outcome.notes):
        screen.line((note, "yellow"), indent=2)
    verdict = record.verify()
    if not verdict:
        screen.line((str(verdict), "bold red"), indent=2)
    _print_emergency(screen, record)
    return outcome_code(outcome)


def is_emergency(record: ExecutionRecord) -> bool:
    """Whether the record says that the glass was broken for it."""
    approval = record.started.get("approval")
    return isinstance(approval, dict) and approval.get("kind") == "emergency"


def _print_emergency(screen: Screen, record: ExecutionRecord) -> None:
    """Say last what is to be done about a run under broken glass; it is not over before somebody reviewed it."""
    if is_emergency(record):
        from hearth.cli._list import print_unreviewed

        print_unreviewed(screen, [_word(record.execution_id)])


def short_of(record: ExecutionRecord) -> str:
    """Return how far a record came: `6 of 6 steps in 2.31 s, 9 effects`."""
    completed = sum(event.event_type is StepEventType.STEP_COMPLETED for event in record.step_events)
    total = record.started.get("number_of_steps")
    steps = f"{completed} of {count(total, 'step')}" if isinstance(total, int) else count(completed, "step")
    text = steps
    if record.timestamp_end is not None:
        text += f" in {seconds_text(max((record.timestamp_end - record.timestamp_start).total_seconds(), 0.0))}"
    effects = len(record.side_effects_report.side_effects_observed)
    return f"{text}, {count(effects, 'effect')} recorded" if effects else text


def _may_have_done(record: ExecutionRecord) -> bool:
    """Whether there may be something to take back: a step that began, and of which not nothing was committed."""
    ended = {StepEventType.STEP_COMPLETED, StepEventType.STEP_FAILED}
    left = {event.step_index for event in record.step_events if event.step_index is not None}
    left -= {
        event.step_index
        for event in record.step_events
        if event.event_type in ended and event.details.get("committed") is False
    }
    return bool(left) and record.live_mode_state != "DRY_RUN"


def _of_declared(record: ExecutionRecord) -> list[str]:
    """Return what is to be said of effects that are undeclared and stopped nothing, or that did not happen."""
    report = record.side_effects_report
    said = []
    if report.undeclared and record.live_mode_state == "DRY_RUN":
        said.append(f"{count(len(report.undeclared), 'effect')} not declared: a live run would be stopped")
    elif report.undeclared and record.cause is not SealCause.ESCALATION:
        said.append(
            f"{count(len(report.undeclared), 'effect')} not declared: done all the same, for this run was not held to "
            "what its plan declares; with --in-place or --sandbox it is"
        )
    if report.missing:
        said.append(f"{count(len(report.missing), 'declared effect')} did not happen")
    return said


def of_declared_document(record: ExecutionRecord) -> dict[str, list[dict[str, Any]]]:
    """Return as JSON what the steps' ends say of effects that are undeclared, or that did not happen."""
    report = record.side_effects_report
    return {name: [dict(one) for one in getattr(report, name)] for name in ("undeclared", "missing")}


def _told_at_its_step(record: ExecutionRecord) -> bool:
    """Whether the run ended by a step, whose line has said why."""
    last = record.step_events[-1] if record.step_events else None
    if last is None or last.event_type is not StepEventType.STEP_FAILED:
        return False
    if record.cause is SealCause.ESCALATION:
        return last.error_message == record.completion_reason
    return record.cause is SealCause.FAILED


def print_outcome_json(outcome: RunOutcome | StandaloneOutcome, where: str, **more: Any) -> None:
    """Print what a run came to as one JSON document."""
    record = outcome.record
    print_json(
        {
            "execution_id": record.execution_id,
            "plan_id": record.plan_id,
            "plan_digest": record.started.get("plan_digest"),
            "live_mode": record.live_mode_state,
            "status": record.status.value,
            "cause": None if record.cause is None else record.cause.value,
            "reason": record.completion_reason,
            "steps_completed": sum(event.event_type is StepEventType.STEP_COMPLETED for event in record.step_events),
            "steps_total": record.started.get("number_of_steps"),
            "effects": len(record.side_effects_report.side_effects_observed),
            **of_declared_document(record),
            "emergency": is_emergency(record),
            "execution_hash": record.get_execution_hash(),
            "verdict": record.verify().to_dict(),
            "where": where,
            "notes": list(getattr(outcome, "notes", ())),
            "stored": getattr(outcome, "stored", True),
            "exit_code": int(outcome_code(outcome)),
            **more,
        }
    )


def _complain(outcome: RunOutcome | StandaloneOutcome) -> None:
    import click

    from hearth._visible import visible

    said = () if outcome.error is None else (str(outcome.error),)
    if is_emergency(outcome.record):
        said = (
            *said,
            f"EMERGENCY RUN WITHOUT A REVIEW: hearth review {_word(outcome.record.execution_id)} --reason TEXT",
        )
    for line in (*said, *getattr(outcome, "notes", ())):
        click.echo(f"hearth: {visible(line)}", err=True)


def _word(execution_id: str) -> str:
    import shlex

    return shlex.quote(execution_id)
