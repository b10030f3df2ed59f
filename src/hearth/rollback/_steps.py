"""Which steps ran, as the record tells it: pure, over the entries in their order.

Rules: a step that starts is open until it completes or fails; an end belongs to the latest open start of the same
index. Every index that has a start, an end or an effect of its own counts as one that ran. Its outcome is UNKNOWN
when a start has no end or an effect has no start, else FAILED when any of its runs failed, else COMPLETED.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hearth.record import SideEffect, StepEventType

if TYPE_CHECKING:
    from hearth.record import ExecutionRecord, StepEvent

__all__ = ["ExecutedStep", "StepOutcome", "earlier_content", "executed_steps"]


class StepOutcome(StrEnum):
    """How a step that ran came out; UNKNOWN when the record does not say."""

    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedStep:
    """One step index that ran. `irreversible` names its effects that cannot be undone; `runs` counts its starts.

    `untouched` says that it failed, and the record that nothing of it was committed or otherwise done.
    `earlier` has, of each effect before which the content of a file was kept, its words and that content's SHA-256.
    """

    step_index: int
    step_name: str
    outcome: StepOutcome
    runs: int = 1
    error_message: str = ""
    irreversible: tuple[str, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()
    untouched: bool = False

    def label(self) -> str:
        """Return how a person would call it: its number and its name."""
        return f'step {self.step_index} "{self.step_name}"' if self.step_name else f"step {self.step_index}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "step_index": self.step_index,
            "step_name": self.step_name,
            "outcome": self.outcome.value,
            "runs": self.runs,
            "error_message": self.error_message,
            "irreversible": list(self.irreversible),
            **({"untouched": True} if self.untouched else {}),
            "earlier": [{"effect": effect, "sha256": digest} for effect, digest in self.earlier],
        }


class _Gathered:
    """What the entries of one index have said so far."""

    __slots__ = ("acted", "earlier", "error", "failed", "irreversible", "name", "open", "orphan", "runs")

    def __init__(self) -> None:
        self.name = ""
        self.runs = 0
        self.open = 0
        self.failed = False
        self.orphan = False
        self.acted = False  # or may have
        self.error = ""
        self.irreversible: dict[str, None] = {}
        self.earlier: dict[tuple[str, str], None] = {}

    def outcome(self) -> StepOutcome:
        if self.open or self.orphan:
            return StepOutcome.UNKNOWN
        return StepOutcome.FAILED if self.failed else StepOutcome.COMPLETED


def executed_steps(record: ExecutionRecord) -> tuple[ExecutedStep, ...]:
    """Return the steps that ran, the latest started first."""
    gathered: dict[int, _Gathered] = {}
    for entry in record.entries:
        if entry.step_index is None:
            continue
        step = gathered.get(entry.step_index)
        if step is None or entry.event_type is StepEventType.STEP_STARTED:
            # Put (again) at the end: the order is that of the latest start.
            gathered.pop(entry.step_index, None)
            step = gathered.setdefault(entry.step_index, step or _Gathered())
        _note(step, entry)
    return tuple(
        ExecutedStep(
            step_index=index,
            step_name=step.name,
            outcome=step.outcome(),
            runs=max(step.runs, 1),
            error_message=step.error,
            irreversible=tuple(step.irreversible),
            earlier=tuple(step.earlier),
            untouched=step.failed and not step.acted and step.outcome() is StepOutcome.FAILED,
        )
        for index, step in reversed(gathered.items())
    )


def _note(step: _Gathered, entry: StepEvent | SideEffect) -> None:
    step.name = entry.step_name or step.name
    if isinstance(entry, SideEffect):
        step.acted = True
        if not step.runs:
            step.orphan = True
        if not entry.reversible:
            step.irreversible[named_effect(entry)] = None
        digest = earlier_content(entry.details)
        if digest:
            step.earlier[entry.description, digest] = None
    elif entry.event_type is StepEventType.STEP_STARTED:
        step.runs += 1
        step.open += 1
    else:
        # An end without a start is an end all the same: the step ran.
        step.runs = max(step.runs, 1)
        step.open = max(step.open - 1, 0)
        if entry.event_type is not StepEventType.STEP_FAILED or entry.details.get("committed") is not False:
            step.acted = True
        if entry.event_type is StepEventType.STEP_FAILED:
            step.failed = True
            step.error = entry.error_message or step.error


def earlier_content(details: Any) -> str:  # noqa: ANN401 - an effect's details hold anything
    """Return the SHA-256 of what a file was before an effect, where it was kept, else ""."""
    before, after = (details.get(key) if isinstance(details, dict) else None for key in ("before", "after"))
    if not isinstance(before, dict) or "withheld" in before:
        return ""
    digest = before.get("sha256")
    same = isinstance(after, dict) and after.get("sha256") == digest  # nothing had to be kept
    return digest if isinstance(digest, str) and not same else ""


def named_effect(effect: SideEffect) -> str:
    """Return an effect in a few words: its category and description."""
    return f"{effect.category.value}: {effect.description}"
