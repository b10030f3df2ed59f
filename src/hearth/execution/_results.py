"""What a step and a run gave, whatever shape a caller's code gives it in."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.execution._task import TaskResult
from hearth.record import Origin, SideEffectCategory

if TYPE_CHECKING:
    from hearth.record import ExecutionRecord, ExecutionStatus

__all__ = ["ObservedEffect", "PlanResult", "StepOutcome", "read_effect", "read_outcome"]

_MISSING = object()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A run that reached its end: its status, how many steps completed, and the sealed record."""

    status: ExecutionStatus
    steps_completed: int
    execution_record: ExecutionRecord


@dataclass(frozen=True, slots=True)
class ObservedEffect:
    """One side effect, as a step reported it or as it was observed, ready to be recorded."""

    category: SideEffectCategory
    description: str
    reversible: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = Origin.REPORTED


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended: `error` says why where it failed, `unseen` what of its effects is known to be missing here."""

    failed: bool = False
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    side_effects: tuple[ObservedEffect, ...] = ()
    unseen: str = ""

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
    effects, problems = _read_effects(result)
    unseen = f"not all of the effects that the step reported could be read: {'; '.join(problems)}" if problems else ""
    details: Mapping[str, Any] = {}
    error = ""
    failed = False
    try:
        given = _get(result, "details")
        details = given if isinstance(given, Mapping) else {} if given is None else {"details": given}
        said = _get(result, "error")
        error = "" if said is None else str(said)
        failed = bool(_get(result, "failed"))
        if isinstance(result, TaskResult):
            unseen = "; ".join(filter(None, (unseen, result.unseen)))
    except Exception as problem:  # noqa: BLE001 - a result that cannot be read is a failed step, whatever it raises
        problems.append(_named(problem))
    if problems:
        # Of a step that did not fail, an `error` says nothing.
        what = f"the step's result cannot be read: {'; '.join(problems)}"
        error = f"{error}; {what}" if failed and error else what
        return StepOutcome(failed=True, error=error, details=details, side_effects=effects, unseen=unseen)
    return StepOutcome(failed, error, details, effects, unseen)


def _read_effects(result: object) -> tuple[tuple[ObservedEffect, ...], list[str]]:
    """Return the effects that can be read, and what is wrong with each of the others."""
    effects: list[ObservedEffect] = []
    problems: list[str] = []
    try:
        given = _get(result, "side_effects")
        if not hasattr(given, "__iter__") and not given:
            return (), []
        rest = iter((given,) if isinstance(given, str | bytes | Mapping) and given else given)
    except Exception as problem:  # noqa: BLE001 - as above
        return (), [f"side_effects: {_named(problem)}"]
    for number in itertools.count():
        try:
            effect = next(rest)
        except StopIteration:
            break
        except Exception as problem:  # noqa: BLE001 - whatever it was about to give is lost, what it gave is not
            problems.append(f"side_effects ended after {number}: {_named(problem)}")
            break
        try:
            effects.append(read_effect(effect))
        except Exception as problem:  # noqa: BLE001 - the others are evidence all the same
            problems.append(f"side_effects[{number}]: {_named(problem)}")
    return tuple(effects), problems


def _named(problem: Exception) -> str:
    try:
        return f"{type(problem).__name__}: {problem}"
    except Exception:  # noqa: BLE001 - an exception of somebody else's, whose text raises too
        return type(problem).__name__


def read_effect(effect: object) -> ObservedEffect:
    """Read one effect; of what has no shape we know, the whole is kept as details. Only True is true. May raise."""
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
        category, "" if description is None else str(description), _get(effect, "reversible") is True, kept
    )


def _get(source: object, name: str) -> Any:  # noqa: ANN401 - a caller's value
    if isinstance(source, Mapping):
        return source.get(name)
    value = getattr(source, name, _MISSING)
    return None if value is _MISSING else value
