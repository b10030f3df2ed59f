"""Reading the hints that a caller hands over: `RollbackHint`s, mappings, or a mapping from step to hint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from hearth.errors import RollbackHintError
from hearth.plan import RollbackHint

__all__ = ["read_hints"]

_FIELDS = frozenset(field.name for field in fields(RollbackHint))


def read_hints(hints: object) -> tuple[RollbackHint, ...]:
    """Return the hints in the order given, texts verbatim; a malformed one raises RollbackHintError that names it.

    Accepted: None (no hints), one hint, an iterable of hints, or a mapping from a step's index to its hint; a hint is a
    `RollbackHint` or a mapping with its fields.
    """
    if hints is None:
        return ()
    if isinstance(hints, RollbackHint):
        return (RollbackHint.from_mapping(hints, "rollback hint 0"),)
    if isinstance(hints, Mapping):
        if not hints:
            return ()
        if not _FIELDS.isdisjoint(hints):
            return (RollbackHint.from_mapping(hints, "rollback hint 0"),)
        return tuple(_read_under(key, hint) for key, hint in hints.items())
    if isinstance(hints, Iterable) and not isinstance(hints, str | bytes | bytearray):
        return tuple(
            RollbackHint.from_mapping(hint, f"rollback hint {position}") for position, hint in enumerate(hints)
        )
    message = (
        f"rollback hints are a {type(hints).__name__}; pass RollbackHint objects or mappings "
        "in a list, or a mapping from step index to hint"
    )
    raise RollbackHintError(message)


def _read_under(key: Any, hint: object) -> RollbackHint:  # noqa: ANN401 - a caller's key
    where = f"rollback hint under {key!r}"
    index = int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key
    if type(index) is not int:
        message = f"{where}: the key is not a step's index (a whole number)"
        raise RollbackHintError(message)
    if isinstance(hint, Mapping) and "step_index" not in hint:
        hint = {"step_index": index, **hint}
    read = RollbackHint.from_mapping(hint, where)
    if read.step_index != index:
        message = f"{where}: its step_index is {read.step_index}; key and field must agree"
        raise RollbackHintError(message)
    return read
