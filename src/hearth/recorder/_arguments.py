"""What an observer accepts as step index and live mode."""

from __future__ import annotations

from typing import Any

from hearth.record import MAX_INTEGER, printable, text_of

__all__ = ["check_index", "digest_of", "index_of", "mode_name"]

_LIVE_MODES = frozenset(("DRY_RUN", "STAGING", "LIVE"))


def index_of(step: object, position: int) -> int | str:
    """Return the index of a plan's step; its position where it has none."""
    index = getattr(step, "index", position)
    return index if type(index) is int and abs(index) <= MAX_INTEGER else text_of(index)


def digest_of(plan: object) -> str | None:
    """Return a plan's digest; None where it has none, or one that is no text."""
    digest = getattr(plan, "digest", None)
    return printable(digest) if isinstance(digest, str) else None


def check_index(index: Any) -> None:  # noqa: ANN401
    """Raise TypeError or ValueError unless this is a step index."""
    if type(index) is not int:
        message = f"a step index must be an int, not {type(index).__name__} ({index!r})"
        raise TypeError(message)
    if not -MAX_INTEGER <= index <= MAX_INTEGER:
        message = f"a step index must lie within ±(2^53-1), not {index}"
        raise ValueError(message)


def mode_name(mode: object) -> str:
    """Return a live mode (enum or text) as it is recorded: the known ones in upper case."""
    name = printable(str(getattr(mode, "value", mode)))
    return name.upper() if name.upper() in _LIVE_MODES else name
