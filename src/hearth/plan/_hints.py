"""RollbackHint: a plan's own words on how to take a step back, kept verbatim for the person who does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hearth.errors import RollbackHintError

__all__ = ["RollbackHint"]

_LISTS = ("actions", "required_inputs", "risks")


@dataclass(frozen=True, slots=True)
class RollbackHint:
    """Guidance for undoing one step. Lists become tuples; nothing is rewritten, trimmed or reordered.

    `step_index` (from 0) and `description` are required. Raises RollbackHintError for a field of the wrong type.
    """

    step_index: int
    description: str
    actions: tuple[str, ...] = ()
    required_inputs: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    estimated_duration: str = ""

    def __post_init__(self) -> None:
        _check(self, "rollback hint")

    @classmethod
    def from_mapping(cls, obj: object, where: str) -> RollbackHint:
        """Build a hint from a mapping; `where` names it in the RollbackHintError for what is missing or wrong.

        A RollbackHint is returned as it is. Unknown keys are errors: guidance that nobody shows is lost.
        """
        if isinstance(obj, cls):
            return obj
        if not isinstance(obj, Mapping):
            raise RollbackHintError(f"{where}: must be a mapping, is a {type(obj).__name__}")
        known = [field.name for field in fields(cls)]
        for key in obj:
            if key not in known:
                raise RollbackHintError(f"{where}: unknown key {key!r:.60}; a hint has {', '.join(known)}")
        for key in ("step_index", "description"):
            if key not in obj:
                raise RollbackHintError(f"{where}: {key} is missing")
        hint = object.__new__(cls)
        for field in fields(cls):
            object.__setattr__(hint, field.name, obj.get(field.name, field.default))
        _check(hint, where)
        return hint

    def to_dict(self) -> dict[str, Any]:
        """Return the hint as JSON."""
        return {
            "step_index": self.step_index,
            "description": self.description,
            "actions": list(self.actions),
            "required_inputs": list(self.required_inputs),
            "risks": list(self.risks),
            "estimated_duration": self.estimated_duration,
        }


def _check(hint: RollbackHint, where: str) -> None:
    """Check the fields' types and turn lists into tuples."""
    index: object = hint.step_index
    if isinstance(index, bool) or not isinstance(index, int):
        raise RollbackHintError(f"{where}: step_index must be an integer, is {index!r:.60}")
    if not isinstance(hint.description, str) or not hint.description:
        raise RollbackHintError(f"{where}: description must be a text, not empty, is {hint.description!r:.60}")
    if not isinstance(hint.estimated_duration, str):
        raise RollbackHintError(f"{where}: estimated_duration must be a text, is {hint.estimated_duration!r:.60}")
    for name in _LISTS:
        items: object = getattr(hint, name)
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise RollbackHintError(f"{where}: {name} must be a list of texts, is {items!r:.60}")
        object.__setattr__(hint, name, tuple(items))
