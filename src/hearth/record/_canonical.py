"""Canonical JSON (RFC 8785): a fast encoder where it is exact, the `rfc8785` package for the rest.

orjson differs from RFC 8785 in exactly these places, found by comparing both on generated values: the order of
keys when characters outside ASCII meet; floats that are integral, or in 1e16 ≤ |x| < 1e21, or in 1e-6 ≤ |x| < 1e-5;
NaN and the infinities (written as null); and types that JSON lacks (UUID, enums). `is_common` says that none of
them is present.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import rfc8785

from hearth.errors import RecordError

__all__ = ["canonical_bytes", "common_bytes", "common_float", "is_common", "same_json"]

OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
# Where ECMAScript's notation (which RFC 8785 takes over) and orjson's change, and not at the same place.
_TINY_BELOW, _PLAIN_FROM, _INTEGRAL_FROM, _HUGE_FROM = 1e-6, 1e-5, 1e16, 1e21
_EXACT = frozenset((str, int, bool, type(None)))


def common_float(number: float) -> bool:
    """Whether orjson writes this float as RFC 8785 (section 3.2.2.3) does."""
    size = abs(number)
    if _PLAIN_FROM <= size < _INTEGRAL_FROM:
        return not number.is_integer()
    return 0.0 < size < _TINY_BELOW or _HUGE_FROM <= size < float("inf")


def is_common(tree: Any) -> bool:  # noqa: ANN401 - a JSON tree
    """Whether `common_bytes` is exact for this tree; doubt is False."""
    kind = type(tree)
    if kind in _EXACT:
        return True
    if isinstance(tree, dict):
        for key, value in tree.items():
            if type(key) is not str or not key.isascii() or not (type(value) in _EXACT or is_common(value)):
                return False
        return True
    if isinstance(tree, list | tuple):
        return all(type(value) in _EXACT or is_common(value) for value in tree)
    return kind is float and common_float(tree)


def common_bytes(tree: Any) -> bytes:  # noqa: ANN401 - a JSON tree
    """Encode a tree for which `is_common` holds; integers beyond 2^53-1 and lone surrogates raise TypeError."""
    return orjson.dumps(tree, option=OPTIONS)


def canonical_bytes(tree: Any) -> bytes:  # noqa: ANN401 - a JSON tree
    """Return the RFC 8785 form of a JSON tree (dict, list, tuple, str, int, float, bool, None) as UTF-8 bytes.

    Raises RecordError for what has no canonical form: NaN, infinities, integers beyond ±(2^53-1), lone surrogates,
    keys that are not strings, and every other type.
    """
    try:
        if is_common(tree):
            with suppress(TypeError):  # deeper than orjson goes, or refused: rfc8785 has the last word
                return common_bytes(tree)
        return rfc8785.dumps(tree)
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError and rfc8785's errors are ValueErrors
        message = f"no canonical JSON form: {error}"
        raise RecordError(message) from error


def same_json(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON trees
    """Whether two JSON trees are the same in their canonical form: `true` is not 1 there, and 1.0 is."""
    return canonical_bytes(one) == canonical_bytes(other)
