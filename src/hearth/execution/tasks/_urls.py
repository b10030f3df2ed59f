"""URLs that can be shown and recorded: without what gives access."""

from __future__ import annotations

import re
import secrets

from hearth.errors import TaskError
from hearth.record import Redactor, commitment, printable

__all__ = ["check_fixed_target", "safe_url", "without_references"]

_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?"
)
_PAIR = re.compile(r"(?P<key>[^=&;]*)=(?P<value>[^&;]*)")
_MORE_TELLING = frozenset(("code", "key", "sig", "signature", "state", "hmac", "hash"))
_REFERENCE = re.compile(r"\{\s*secret\s*:[^{}]*\}")
_HIDDEN = "***"
_COMMITTED = re.compile(r"\[redacted:[\w-]+\]")
_LOGIN = re.compile(rf"(?P<name>{_COMMITTED.pattern}|[^:]*):(?P<password>.*)", re.DOTALL)
_by_key = Redactor()


def safe_url(url: str, redactor: Redactor | None = None) -> str:
    """Return a URL without password, fragment, values of telling query keys, and what a redactor finds.

    A user's name stays. With a redactor the URL is for the record: a commitment, `[redacted:<digest>]`, stands in place
    of each secret; without one, `***`. References (`{secret: env:NAME}`) within a URL are hidden too. A text that is no
    URL comes back with nothing but the redactor's work done.
    """
    plain = _REFERENCE.sub(_HIDDEN, url)
    if redactor is not None:
        plain = redactor.text(plain)
    match = _PARTS.match(plain)
    if match is None:
        return plain

    def hidden(value: str) -> str:
        if redactor is None or value in ("", _HIDDEN):
            return _HIDDEN
        if _COMMITTED.fullmatch(value):
            return value
        return f"[redacted:{commitment(secrets.token_urlsafe(16), '', printable(value))}]"

    def without_value(pair: re.Match[str]) -> str:
        key, value = pair["key"], pair["value"]
        telling = _by_key.telling(key) or key.lower().replace("_", "-").rpartition("-")[2] in _MORE_TELLING
        return f"{key}={hidden(value) if telling and value else value}"

    user, at, host = match["authority"].rpartition("@")
    login = _LOGIN.fullmatch(user)
    if login is not None:
        user = f"{login['name']}:{hidden(login['password'])}"
    plain = f"{match['scheme']}://{user}{at}{host}{match['path']}"
    if match["query"]:
        plain += "?" + _PAIR.sub(without_value, match["query"])
    return plain


def without_references(url: str) -> str:
    """Return a URL in which `x` stands in place of each reference to a secret, so that it can be read as a URL."""
    return _REFERENCE.sub("x", url)


def check_fixed_target(url: str, *, query: bool) -> None:
    """Raise TaskError when a secret decides what a URL leads to: then nobody can say beforehand what is acted on.

    Secrets may stand for the user and the password, and in the query (without `query`: under telling keys only, for
    some databases take their host from there).
    """
    match = _PARTS.match(_REFERENCE.sub("\0", url))
    if match is None:
        fixed = [url] if _REFERENCE.search(url) is None else ["\0"]
    else:
        fixed = [match["authority"].rpartition("@")[2], match["path"]]
        if not query:
            pairs = _PAIR.finditer(match["query"] or "")
            fixed += [pair[0] for pair in pairs if "\0" in pair["key"] or not _by_key.telling(pair["key"])]
    if any("\0" in part for part in fixed):
        raise TaskError(
            "a secret decides what its URL leads to; secrets may stand for the user and the password, not for the "
            "host, the port or the path"
        )
