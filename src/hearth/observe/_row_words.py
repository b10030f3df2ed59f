"""Changed rows for a person: a line each, of the first of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MOST_EXAMPLES", "row_line"]

MOST_EXAMPLES = 20
"""So many rows of a table are kept for showing them."""

_LONGEST = 80


def row_line(
    key: Iterable[tuple[str, Any]], old: Sequence[tuple[str, Any]] | None, new: Sequence[tuple[str, Any]] | None
) -> str:
    """Return `+ id=3, name='x'`, `- id=3, name='x'` or `~ id=3: name 'x' -> 'y'`.

    `old` and `new` are columns with their values, of an updated row those that changed; None where there was, or is,
    no row.
    """
    if old is None or new is None:
        sign, row = ("+", new) if old is None else ("-", old)
        return f"{sign} {_named(row or ())}"
    changed = ", ".join(
        f"{name} {_value(was)} -> {_value(is_)}" for (name, was), (_, is_) in zip(old, new, strict=True)
    )
    return f"~ {_named(key)}: {changed}"


def _named(row: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in row)


def _value(value: object) -> str:
    """Return a value as SQL would have it; a long one is cut."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"x'{value[:_LONGEST].hex()}'"
    elif isinstance(value, str):
        text = "'" + value[: _LONGEST + 1].replace("'", "''") + "'"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}…"
