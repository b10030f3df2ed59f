"""What a plan's steps declare, as it stands in the entries of their starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.record import Redactor, SideEffectCategory, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["declared_effects"]


def declared_effects(steps: Iterable[Any], redactor: Redactor) -> dict[int, str]:
    """Return the declared effects of each step that has some, by its index, as canonical JSON without secrets."""
    declared: dict[int, str] = {}
    for position, step in enumerate(steps):
        effects = [effect.to_dict() for effect in getattr(step, "effects", ()) or () if hasattr(effect, "to_dict")]
        if effects:
            plain = [{str(key): _plain(value, redactor) for key, value in effect.items()} for effect in effects]
            declared[getattr(step, "index", position)] = canonical_bytes(plain).decode()
    return declared


def _plain(value: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - a JSON value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, SideEffectCategory):
        return str(value)
    plain, _ = redactor.details([value], "/declared_effects")
    return plain[0]
