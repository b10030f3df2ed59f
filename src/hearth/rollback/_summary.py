"""A scaffold as text, for someone who reads it in a hurry on a terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from hearth.record import ExecutionStatus
from hearth.rollback._steps import ExecutedStep, StepOutcome
from hearth.rollback._text import CONTINUED, CUT, wrapped, wrapped_action

if TYPE_CHECKING:
    from hearth.plan import RollbackHint
    from hearth.rollback._scaffold import RollbackScaffold

__all__ = ["summary_of"]

_RULE = "=" * 78
_INDENT = " " * 9
_SHOWN = 16  # digits of a digest that name a content


def summary_of(scaffold: RollbackScaffold) -> str:
    """Return the whole scaffold as plain text; control characters are shown as escapes."""
    steps = _steps(scaffold)
    lines = _head(scaffold)
    instructions = _in_order(scaffold, steps)
    if instructions:
        lines += ["", "STEPS TO TAKE, in this order (the step that ran last comes first)"]
    for instruction in instructions:
        lines += ["", *instruction]
    if scaffold.irreversible_steps:
        lines += ["", "CANNOT BE UNDONE: decide what to do instead"]
    for index in scaffold.irreversible_steps:
        lines += wrapped(steps[index].label(), "  - ")
        for effect in steps[index].irreversible:
            lines += wrapped(effect, "      * ")
    return "\n".join([*lines, "", *_closing(scaffold, lines)])


def _head(scaffold: RollbackScaffold) -> list[str]:
    lines = [_RULE, *wrapped(f"Rollback of {scaffold.execution_id}"), _RULE]
    if scaffold.plan_id:
        lines += wrapped(scaffold.plan_id, "Plan:      ")
    if scaffold.status is not None:
        ended = scaffold.status is not ExecutionStatus.STARTED
        told = f"the run ended {scaffold.status.value}" if ended else "the run has no end in its record"
        lines += wrapped(told, "Status:    ")
    lines += wrapped("YES" if scaffold.is_rollback_possible else "NO", "Possible:  ")
    lines += wrapped(scaffold.reason, "Reason:    ")
    if scaffold.warnings:
        lines += ["", "WARNINGS: read these first"]
    for warning in scaffold.warnings:
        lines += wrapped(warning, "  ! ")
    return lines


def _steps(scaffold: RollbackScaffold) -> dict[int, ExecutedStep]:
    """Every step that the scaffold names, in its order; one built by hand may know no more than the number."""
    steps = {step.step_index: step for step in scaffold.executed_steps}
    named = dict.fromkeys(hint.step_index for hint in scaffold.rollback_hints)
    for index in (*named, *scaffold.manual_steps, *scaffold.irreversible_steps):
        outcome = StepOutcome.COMPLETED if index in named else StepOutcome.UNKNOWN
        steps.setdefault(index, ExecutedStep(step_index=index, step_name="", outcome=outcome))
    return steps


def _in_order(scaffold: RollbackScaffold, steps: dict[int, ExecutedStep]) -> list[list[str]]:
    """One numbered list for hints and for what is to be done by hand: the order holds across both."""
    hints: dict[int, list[RollbackHint]] = {}
    for hint in scaffold.rollback_hints:
        hints.setdefault(hint.step_index, []).append(hint)
    by_hand = frozenset(scaffold.manual_steps)
    instructions: list[list[str]] = []
    for step in steps.values():
        for hint in hints.get(step.step_index, ()):
            instructions.append(_guided(len(instructions) + 1, hint, step) + _kept(scaffold, step))
        if step.step_index not in hints and step.step_index in by_hand:
            instructions.append(_by_hand(len(instructions) + 1, step) + _kept(scaffold, step))
    return instructions


def _guided(number: int, hint: RollbackHint, step: ExecutedStep) -> list[str]:
    lines = wrapped(f"[ ] Take back {step.label()}: {hint.description}", f"{number:>3}. ")
    if step.outcome is StepOutcome.UNKNOWN:
        lines += wrapped("its outcome is unknown: find out by hand what it did, then decide", f"{_INDENT}Note:  ")
    elif step.untouched:
        lines += wrapped("it failed, and nothing of it was committed: leave it out", f"{_INDENT}Note:  ")
    elif step.outcome is StepOutcome.FAILED:
        lines += wrapped("it failed and may have acted before it did: look first", f"{_INDENT}Note:  ")
    for title, texts in (("Need", hint.required_inputs), ("Risk", hint.risks)):
        for text in texts:
            lines += wrapped(text, f"{_INDENT}{title}:  ")
    if hint.estimated_duration:
        lines += wrapped(hint.estimated_duration, f"{_INDENT}Time:  ")
    for position, action in enumerate(hint.actions, start=1):
        lines += wrapped_action(action, f"{_INDENT}Do {number}.{position}:  ")
    return lines


def _by_hand(number: int, step: ExecutedStep) -> list[str]:
    why = {
        StepOutcome.COMPLETED: "it completed",
        StepOutcome.FAILED: "it failed and may have acted before it did",
        StepOutcome.UNKNOWN: "its outcome is unknown",
    }[step.outcome]
    how = "the plan has no guidance: what was kept is below" if step.earlier else "there is no guidance"
    return [
        *wrapped(f"[ ] BY HAND {step.label()}", f"{number:>3}. "),
        *wrapped(f"{why}; {how}: look at the system and decide yourself", f"{_INDENT}Note:  "),
    ]


def _kept(scaffold: RollbackScaffold, step: ExecutedStep) -> list[str]:
    lines = []
    for effect, digest in step.earlier:
        how = f"hearth show {shlex.quote(scaffold.execution_id)} --content {digest[:_SHOWN]}"
        lines += wrapped(f"{effect}: what was there before is kept: {how}", f"{_INDENT}Kept:  ")
    return lines


def _closing(scaffold: RollbackScaffold, lines: list[str]) -> list[str]:
    if scaffold.is_rollback_possible:
        closing = wrapped("HEARTH has run none of this. Check the result of each step before you go on to the next.")
    else:
        closing = wrapped(f"HEARTH has changed nothing. `hearth show {scaffold.execution_id}` has the whole record.")
    if any(line.endswith(CONTINUED) for line in lines):
        closing += wrapped("A line that ends in \\ goes on in the next one.")
    if any(line.endswith(CUT) for line in lines):
        closing += wrapped("A line that ends in <cut> is broken inside a word: take it from the JSON form instead.")
    return closing
