"""A plan in the handoff's style, any object with `id` and `steps`, as it was when its run was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hearth.errors import PlanError
from hearth.record import MAX_INTEGER, printable

__all__ = ["CalledPlan"]


@dataclass(frozen=True, slots=True)
class CalledPlan:
    """What a run needs of such a plan, read once and before anything is recorded; the steps are the caller's objects.

    A `digest` that is no text is none: of a plan that is not HEARTH's, nobody says what the attribute means.
    """

    id: str
    steps: tuple[Any, ...]
    digest: str | None

    @classmethod
    def of(cls, plan: object) -> CalledPlan:
        """Read a plan; PlanError says what of it cannot be recorded."""
        name = printable(_text(plan, "id", "the plan"))
        what = f"plan {name}"
        given = _get(plan, "steps", what)
        try:
            steps = tuple(given)
        except Exception as error:
            raise PlanError(f"{what}: steps cannot be read: {type(error).__name__}: {error}") from error
        for place, step in enumerate(steps):
            where = f"{what}: steps[{place}]"
            index = _get(step, "index", where, None)
            # No subclass either: how an enum or a bool is to be written down, nobody has said.
            if type(index) is not int:
                raise PlanError(f"{where}.index is {index!r}; it must be an int")
            if abs(index) > MAX_INTEGER:
                raise PlanError(f"{where}.index is {index}; it must lie within ±(2^53-1)")
            for attribute in ("name", "task_type"):
                _text(step, attribute, where, None)
        digest = _get(plan, "digest", what, None)
        return cls(name, steps, printable(digest) if isinstance(digest, str) else None)


_REQUIRED = object()


def _get(source: object, name: str, what: str, default: object = _REQUIRED) -> Any:  # noqa: ANN401 - a caller's value
    try:
        value = getattr(source, name, default)
    except Exception as error:
        raise PlanError(f"{what}: {name} cannot be read: {type(error).__name__}: {error}") from error
    if value is _REQUIRED:
        raise PlanError(f"{what} has no {name}; a plan is an object with id and steps")
    return value


def _text(source: object, name: str, what: str, default: object = _REQUIRED) -> str:
    value = _get(source, name, what, default)
    try:
        return str(value)
    except Exception as error:
        raise PlanError(f"{what}: {name} has no text: {type(error).__name__}") from error
