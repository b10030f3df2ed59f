"""What a plan's steps declare, as it stands in the entries of their starts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hearth.record import Redactor, SideEffectCategory, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["declared_effects"]

_log = logging.getLogger("hearth.recorder")


def declared_effects(steps: Iterable[Any], redactor: Redactor) -> dict[int, str]:
    """Return the declared effects of each step that has some, by its index, as canonical JSON without secrets.

    What is not declared in HEARTH's way (an attribute `effects` that means something else) declares nothing.
    """
    declared: dict[int, str] = {}
    for position, step in enumerate(steps):
        effects = list(_of(step))
        if effects:
            plain = [{str(key): _plain(value, redactor) for key, value in effect.items()} for effect in effects]
            declared[getattr(step, "index", position)] = canonical_bytes(plain).decode()
    return declared


def _of(step: object) -> Iterator[Mapping[str, Any]]:
    """Yield what the step's declared effects say of themselves."""
    try:
        effects = getattr(step, "effects", ())
        for effect in effects if isinstance(effects, Iterable) else ():
            told = effect.to_dict() if hasattr(effect, "to_dict") else None
            if isinstance(told, Mapping):
                yield told
    except Exception as error:  # noqa: BLE001 - somebody else's object, which may raise anything
        _log.warning("the declared effects of a step cannot be read: %s: %s", type(error).__name__, error)


def _plain(value: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - a JSON value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, SideEffectCategory):
        return str(value)
    plain, _ = redactor.details([value], "/declared_effects")
    return plain[0]
