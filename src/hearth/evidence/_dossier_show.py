"""How values of a dossier are shown: the same words here and in the page's own script, which compares them.

Nothing that is shown can act, hide or turn the reading direction: what cannot be seen is written as an escape.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from hearth.record import canonical_bytes, parse_time

__all__ = ["at_pointer", "last_key", "pointer", "shown"]

_HIDDEN_BUT_LINES = (
    "\u0000-\u0008\u000b-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[\t\n{_HIDDEN_BUT_LINES}]")
_HIDDEN_IN_LINES = re.compile(f"[{_HIDDEN_BUT_LINES}]")
_SHORT = {"\n": "\\n", "\t": "\\t"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{3})\d{3}Z", re.ASCII)
_FIRST = 12
_MINUTE, _HOUR = 60_000, 3_600_000  # milliseconds


def at_pointer(document: Any, place: str) -> Any:  # noqa: ANN401 - a JSON tree
    """Return the value at a JSON pointer (RFC 6901); LookupError where there is none."""
    value = document
    for part in place.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            if not re.fullmatch("0|[1-9][0-9]*", key, re.ASCII):
                raise LookupError(place)
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(place)  # noqa: TRY004 - a pointer that leads nowhere
    return value


def last_key(place: str) -> str:
    """Return the last key of a JSON pointer."""
    return place.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def pointer(*parts: object) -> str:
    """Return the JSON pointer of these keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def shown(value: Any, how: str = "text", *, start: str = "") -> str:  # noqa: ANN401 - a JSON tree
    """Return a value's words. `how`: text, block, word, short, time, offset (from `start`), span, count, size, json."""
    if how == "json":
        return _escaped(_pretty(value), _HIDDEN_IN_LINES)
    if value is None:
        return "—"
    if how == "count":
        return _grouped(len(value)) if isinstance(value, list | dict) else "?"
    if isinstance(value, str):
        return _shown_text(value, how, start)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and how == "span":
        return _span(value)
    if isinstance(value, int) and how == "size":
        return f"{_grouped(value)} {'byte' if value == 1 else 'bytes'}"
    return _escaped(canonical_bytes(value).decode(), _HIDDEN)


def _shown_text(value: str, how: str, start: str) -> str:
    if how == "block":
        return _escaped(value, _HIDDEN_IN_LINES)
    if how == "time" and (found := _TIME.fullmatch(value)):
        return f"{found[1]} {found[2]}.{found[3]} UTC"
    if how == "offset" and _TIME.fullmatch(value) and _TIME.fullmatch(start):
        return _offset(value, start)
    if how == "word":
        value = value.replace("_", " ")
    if how == "short" and len(value) > _FIRST:
        value = f"{value[:_FIRST]}…"
    return _escaped(value, _HIDDEN)


def _escaped(text: str, hidden: re.Pattern[str]) -> str:
    return hidden.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}")


def _grouped(number: int) -> str:
    return f"{number:,}"


def _span(microseconds: int) -> str:
    if microseconds < 0:
        return str(microseconds)
    if microseconds < 1000:  # noqa: PLR2004 - a millisecond
        return f"{microseconds} µs"
    return _milliseconds(microseconds // 1000)


def _milliseconds(count: int) -> str:
    if count < 1000:  # noqa: PLR2004 - a second
        return f"{count} ms"
    if count < _MINUTE:
        return f"{count // 1000}.{count % 1000:03} s"
    if count < _HOUR:
        return f"{count // _MINUTE} min {count % _MINUTE // 1000} s"
    return f"{_grouped(count // _HOUR)} h {count % _HOUR // _MINUTE} min"


def _offset(value: str, start: str) -> str:
    try:
        apart = _moment(value) - _moment(start)
    except ValueError:
        return value
    count = apart // timedelta(milliseconds=1)
    return f"+{_milliseconds(count)}" if count >= 0 else f"-{_milliseconds(-count)}"


def _moment(text: str) -> datetime:
    # To milliseconds, as a browser counts.
    return parse_time(f"{text[:23]}000Z")


def _pretty(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - a JSON tree
    """Return JSON with line breaks, its keys sorted and its numbers and texts written as RFC 8785 does."""
    if not isinstance(value, dict | list) or not value:
        return canonical_bytes(value).decode()
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, list):
        lines = [f"{inner}{_pretty(item, depth + 1)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{outer}]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    lines = [f"{inner}{canonical_bytes(key).decode()}: {_pretty(value[key], depth + 1)}" for key in keys]
    return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
