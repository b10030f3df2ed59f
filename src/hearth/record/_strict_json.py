"""Reading JSON as a verifier must: what two readers could understand differently is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from hearth.errors import RecordError

__all__ = ["strict_loads"]

_MAX_DEPTH_HINT = "nested too deeply"
# A single text of that length would be held five times over before it is refused for something else.
_LONGEST = 32 << 20


def strict_loads(data: bytes | str) -> Any:  # noqa: ANN401 - a JSON tree
    """Parse JSON; duplicate keys, NaN, infinities, lone surrogates and anything not JSON raise RecordError.

    A document that the fast parser's own writer reproduces byte for byte cannot hold a duplicate key, so the
    slow, watchful parser is needed only for the others (indented ones, mostly).
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    if any(raw.find(b'"', start, start + _LONGEST) < 0 for start in range(0, len(raw) - _LONGEST + 1, _LONGEST)):
        message = f"not JSON of ours: {_LONGEST:,} bytes without a quote"
        raise RecordError(message)
    try:
        tree = orjson.loads(raw)
    except ValueError as error:
        message = f"not JSON: {error}"
        raise RecordError(message) from error
    compact = raw[:-1] if raw.endswith(b"\n") else raw
    try:
        if orjson.dumps(tree) == compact or orjson.dumps(tree, option=orjson.OPT_INDENT_2) == compact:
            return tree
    except TypeError as error:  # its writer goes 254 levels deep, and no honest record so far
        message = f"not JSON of ours: {_MAX_DEPTH_HINT}"
        raise RecordError(message) from error
    try:
        return json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecordError:
        raise
    except (ValueError, RecursionError) as error:
        message = f"not JSON: {error or _MAX_DEPTH_HINT}"
        raise RecordError(message) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        message = f"the key {twice!r} stands twice in one object; readers would disagree on its value"
        raise RecordError(message)
    return mapping


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise RecordError(message)
