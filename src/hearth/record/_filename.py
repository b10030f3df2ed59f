"""File names for execution ids: an id is the caller's string, so it is percent-encoded."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote

__all__ = ["percent_decode", "percent_encode"]

_LONGEST = 180


def percent_encode(execution_id: str) -> str:
    """Return a file name (without ending) for an execution id (RFC 3986, section 2.1).

    Everything but letters, digits, `-`, `_` and inner `.` is encoded, also what some file system reserves.
    A name that would be longer than most file systems allow keeps its beginning and ends in `~` and a digest.
    """
    name = quote(execution_id, safe="", errors="surrogatepass").replace("~", "%7E")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if name.endswith("."):
        name = name[:-1] + "%2E"
    if not name:
        name = "%"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(execution_id.encode("utf-8", "surrogatepass")).hexdigest()
        name = name[: _LONGEST - 33] + "~" + digest[:32]
    return name


def percent_decode(name: str) -> str:
    """Return the execution id of a file name from `percent_encode` (of one that was not shortened)."""
    return "" if name == "%" else unquote(name, errors="surrogatepass")
