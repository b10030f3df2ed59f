"""What a step and a run gave, whatever shape a caller's code gives it in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from hearth.record import ExecutionRecord, ExecutionStatus

__all__ = ["ObservedEffect", "PlanResult", "StepOutcome", "read_outcome"]

_MISSING = object()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A run that reached its end: its status, how many steps completed, and the sealed record."""

    status: ExecutionStatus
    steps_completed: int
    execution_record: ExecutionRecord


@dataclass(frozen=True, slots=True)
class ObservedEffect:
    """One side effect as a step reported it, ready to be recorded."""

    category: SideEffectCategory
    description: str
    reversible: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended: `error` says why where it failed."""

    failed: bool = False
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    side_effects: tuple[ObservedEffect, ...] = ()

    @classmethod
    def failure(cls, error: str, details: Mapping[str, Any] | None = None) -> StepOutcome:
        """Return the outcome of a step that failed with nothing else to tell."""
        return cls(failed=True, error=error, details=details or {})


def read_outcome(result: object) -> StepOutcome:
    """Read a step's result (`failed`, `error`, `details`, `side_effects`: attributes, or keys of a mapping).

    What is missing counts as not failed and empty; None is success. In doubt the step has failed: `False`, a
    coroutine nobody awaited, and a result that raises while it is read. Never raises an Exception.
    """
    if isinstance(result, StepOutcome):
        return result
    if result is None:
        return StepOutcome()
    if result is False:
        return StepOutcome.failure("the step returned False")
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        return StepOutcome.failure("the step returned an awaitable that nobody awaited; give a plain function")
    effects: tuple[ObservedEffect, ...] = ()
    details: Mapping[str, Any] = {}
    try:
        effects = tuple(_read_effect(effect) for effect in _get(result, "side_effects") or ())
        given = _get(result, "details")
        details = given if isinstance(given, Mapping) else {} if given is None else {"details": given}
        error = _get(result, "error")
        failed = bool(_get(result, "failed"))
    except Exception as problem:  # noqa: BLE001 - a result that cannot be read is a failed step, whatever it raises
        what = f"the step's result cannot be read: {type(problem).__name__}: {problem}"
        return StepOutcome(failed=True, error=what, details=details, side_effects=effects)
    return StepOutcome(failed, "" if error is None else str(error), details, effects)


def _read_effect(effect: object) -> ObservedEffect:
    """Read one effect; of what has no shape we know, the whole is kept as details."""
    details = _get(effect, "details")
    kept: dict[str, Any] = (
        dict(details) if isinstance(details, Mapping) else {} if details is None else {"details": details}
    )
    given, description = _get(effect, "category"), _get(effect, "description")
    name = str(getattr(given, "name", given)).upper()
    category = SideEffectCategory.__members__.get(name, SideEffectCategory.OTHER)
    if given is None and description is None:
        kept["given_effect"] = effect
        description = "an effect of an unknown shape"
    elif name not in SideEffectCategory.__members__:
        kept["given_category"] = given
    return ObservedEffect(
        category, "" if description is None else str(description), bool(_get(effect, "reversible")), kept
    )


def _get(source: object, name: str) -> Any:  # noqa: ANN401 - a caller's value
    if isinstance(source, Mapping):
        return source.get(name)
    value = getattr(source, name, _MISSING)
    return None if value is _MISSING else value
