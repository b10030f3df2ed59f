"""What goes with an HTTP request, as its SHA-256: what a preview shows of it, and a run is held to."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hearth.record import to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["body_sha256"]


def body_sha256(params: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 (hex) of the body that an `http` step sends; None for none, and for one that has secrets.

    The hash of a short secret could be guessed.
    """
    body: Any = to_plain({name: params[name] for name in ("json", "body", "form") if name in params})
    if not body or _has_secrets(body):
        return None
    if "json" in body:
        text = json.dumps(body["json"], ensure_ascii=False, separators=(",", ":"))
    else:
        text = body["body"] if "body" in body else urlencode(body["form"])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _has_secrets(value: Any) -> bool:  # noqa: ANN401 - a JSON tree
    if isinstance(value, dict):
        return set(value) == {"secret"} or any(map(_has_secrets, value.values()))
    if isinstance(value, list):
        return any(map(_has_secrets, value))
    return isinstance(value, str) and "{secret:" in value
