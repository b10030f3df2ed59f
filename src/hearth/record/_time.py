"""Points in time, written one way: UTC with microseconds and a `Z`."""

from __future__ import annotations

import re
import reprlib
from datetime import UTC, datetime

from hearth.errors import RecordError

__all__ = ["format_time", "parse_time", "utc_now"]

_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def utc_now() -> datetime:
    """Return the present time as an aware UTC datetime."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Write an aware datetime as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; a naive one raises RecordError."""
    if moment.tzinfo is None:
        message = f"{moment!r} has no time zone; pass an aware datetime, for instance datetime.now(UTC)"
        raise RecordError(message)
    # A tenth of what `strftime` takes, and the year has four digits on every platform.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str) -> datetime:
    """Read what `format_time` writes, and nothing else; anything else raises RecordError."""
    if not isinstance(text, str) or _FORM.fullmatch(text) is None:
        message = f"{reprlib.repr(text)} is not a time of the form YYYY-MM-DDTHH:MM:SS.ffffffZ"
        raise RecordError(message)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a time: {error}"
        raise RecordError(message) from error
