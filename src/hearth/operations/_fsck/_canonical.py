"""JSON as a checker reads it, and RFC 8785 by the package alone."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import rfc8785

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DIGEST", "canonical", "is_digest", "is_time", "joined", "listed", "load", "members", "sha256"]

DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def load(data: bytes) -> Any:  # noqa: ANN401 - a JSON tree
    """Parse JSON; ValueError for what is none, and for a key that stands twice in one object."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def canonical(value: Any) -> bytes:  # noqa: ANN401 - a JSON tree
    """Return the canonical bytes (RFC 8785); ValueError for what has none."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"without a canonical form: {error}") from None


def members(value: Mapping[str, Any]) -> dict[str, bytes]:
    """Return an object's members in canonical form, so that several hashes need no second encoding."""
    return {key: canonical(item) for key, item in value.items()}


def joined(parts: Mapping[str, bytes], without: Iterable[str] = ()) -> bytes:
    """Return the canonical object of these members (their names are ASCII), some left out."""
    left_out = frozenset(without)
    kept = sorted(name for name in parts if name not in left_out)
    return b"{" + b",".join(_name(name) + parts[name] for name in kept) + b"}"


@lru_cache(maxsize=4096)
def _name(name: str) -> bytes:
    return canonical(name) + b":"


def listed(items: Iterable[bytes]) -> bytes:
    """Return the canonical list of these items."""
    return b"[" + b",".join(items) + b"]"


def sha256(*parts: bytes) -> str:
    """Return the SHA-256 of the parts, one behind the other, in hex."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def is_digest(value: object) -> bool:
    """Whether this is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII) is not None


def is_time(value: object) -> bool:
    """Whether this is a time as HEARTH writes it, UTC with microseconds."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
