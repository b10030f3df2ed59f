"""The ways in which programs write a value that they were given: quoted, escaped, encoded for a URL or a page."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

import orjson

from hearth.record._plain import printable

__all__ = ["as_bytes", "rewritings"]

_ENCODED = re.compile("%[0-9A-F]{2}")
_NOT_PLAIN = re.compile(r"([^A-Za-z0-9_./:@%+=,-])")


def rewritings(value: str) -> set[str]:
    """Return a value as it may turn up in texts: itself, in JSON, in shells, in URLs, in HTML, in Python literals.

    Bytes that are not UTF-8 may stand in it as lone surrogates (PEP 383); they are written in all the usual ways too.
    """
    raw = value.encode("utf-8", "surrogateescape") if _from_bytes(value) else value.encode("utf-8", "surrogatepass")
    shown = {value, printable(value), raw.decode("utf-8", "replace"), raw.decode("utf-8", "backslashreplace")}
    forms = set(shown)
    for text in map(printable, shown):
        encoded = {quote(text, safe=""), quote(text), quote_plus(text), quote_plus(text, safe="/")}
        page = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        forms |= {
            orjson.dumps(text)[1:-1].decode(),
            json.dumps(text)[1:-1],
            repr(text)[1:-1],
            ascii(text)[1:-1],
            text.replace("'", "'\\''"),  # a shell's single quotes
            text.replace("'", "'\"'\"'"),
            _NOT_PLAIN.sub(r"\\\1", text),  # a shell's backslashes
            page,
            page.replace('"', "&quot;").replace("'", "&#x27;"),
            page.replace('"', "&quot;").replace("'", "&#39;"),
            page.replace('"', "&#34;").replace("'", "&#39;"),
            *encoded,
            *(_ENCODED.sub(lambda match: match[0].lower(), form) for form in encoded),
        }
    forms |= {repr(raw)[2:-1], quote(raw, safe="")}
    return {form for form in forms if form}


def as_bytes(form: str) -> set[bytes]:
    """Return the bytes by which a form is found in UTF-8 text and in compact JSON."""
    needles = {form.encode("utf-8", "surrogatepass")}
    if _from_bytes(form):
        needles.add(form.encode("utf-8", "surrogateescape"))
    else:
        needles.add(orjson.dumps(printable(form))[1:-1])
    return needles


def _from_bytes(text: str) -> bool:
    surrogates = [character for character in text if "\ud800" <= character <= "\udfff"]
    return bool(surrogates) and all("\udc80" <= character <= "\udcff" for character in surrogates)
