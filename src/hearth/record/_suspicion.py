r"""Ruling a secret out: a look at the bytes that costs under a microsecond, because almost every event holds none.

What `find_secrets` can find needs one of these signs: `=`, `@`, `\`, `'`, `<`, a tab or line break; sixteen letters,
digits or underscores in a row; an option; a colon behind a word (a structural colon of JSON stands behind a quote); or
one of a few short beginnings. Each byte is mapped to its class, so that one search finds any sign of a class. The
encoder of details does the first searches itself: for the usual event, the call would cost more than they do.
"""

from __future__ import annotations

import re

from hearth.record._patterns import COMMAND_SIGNS, KEY_SIGNS, SIGNATURE, SQL_PASSWORD, TAG
from hearth.record._telling import is_telling

__all__ = ["CLASSES", "LONG_RUN", "suspicious"]

_ASCII = 0x80
CLASSES = bytes(
    ord("a") if byte < _ASCII and (chr(byte).isalnum() or chr(byte) == "_")
    else ord("!") if chr(byte) in "=@<\\'\t\n\r\f\v"
    else byte if chr(byte) in '-: "'
    else ord(".")
    for byte in range(256)
)  # fmt: skip
LONG_RUN = "a" * 16
_LONGEST_KEY = 260
_KEY = re.compile(r"[\w.-]+", re.ASCII)
_NO_BEGINNING = "0123456789.-"
_TOLD = re.compile(r"(?<![\w.-])[\d.-]*+([A-Za-z_][\w.-]*+)\\*+[\"']?\s{0,4}+(?:=>|:=|[:=])", re.ASCII)
# In encoded JSON an escape glues a letter to what follows: a line break before `--password` reads `n--password`.
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_DASH = re.compile(r"(?<![a-])-|-----")
_OPTIONS = re.compile(r"(?<![\w-])--?([A-Za-z][\w-]++)", re.ASCII)


def suspicious(raw: bytes, text: str | None = None, shape: str | None = None) -> bool:
    """Whether a secret in these bytes (JSON without spaces between its parts, or a text) cannot be ruled out quickly.

    `text` is the same, decoded, and `shape` its bytes' classes, where the caller has them. In a text of its own, a
    quoted key before a colon is no sign here: `"key":` is what JSON looks like.
    """
    if shape is None:
        shape = raw.translate(CLASSES).decode("latin-1")
    if text is None or len(text) != len(raw):
        # Never fails, and every sign is ASCII. Character by character beside the shape, which is one of bytes.
        text = raw.decode("latin-1")
    if "!" in shape or LONG_RUN in shape or "earer " in text:
        return _looks_closer(text)
    if "-" in shape:
        # Without a hyphen, such keys have a run of sixteen.
        if "glpat-" in text or "AIza" in text or "glrt-" in text or "dckr_pat_" in text:
            return True
        if _DASH.search(shape) and _has_option(text):
            return True
    return (" :" in shape and _looks_closer(text)) or ("a:" in shape and _tells_before_colon(text, shape))


def _tells_before_colon(text: str, shape: str) -> bool:
    """Whether a key that tells a secret stands right before a colon: the very run of characters that `_TOLD` takes."""
    position = shape.find("a:")
    while position >= 0:
        backwards = text[max(0, position + 1 - _LONGEST_KEY) : position + 1][::-1]
        key = _KEY.match(backwards)
        if key is not None and (len(key[0]) >= _LONGEST_KEY or _tells(key[0][::-1].lstrip(_NO_BEGINNING))):
            return True
        position = shape.find("a:", position + 2)
    return False


def _has_option(text: str) -> bool:
    return (
        "-----" in text or any(sign in text for sign in COMMAND_SIGNS)
        or any(is_telling(option) for option in _OPTIONS.findall(text))
    )  # fmt: skip


def _looks_closer(text: str) -> bool:
    return _shows_sign(text) or ("\\" in text and _shows_sign(_ESCAPE.sub(_plain, text)))


def _plain(escape: re.Match[str]) -> str:
    return escape[1] if escape[1] in '\\"/' else " "


def _shows_sign(text: str) -> bool:
    if any(sign in text for sign in KEY_SIGNS) or "PRIVATE KEY" in text or ("@" in text and "://" in text):
        return True
    if SIGNATURE in text:
        return True
    if "earer " in text or "earer\t" in text or ("-" in text and _has_option(text)):
        return True
    if "'" in text and SQL_PASSWORD.search(text):
        return True
    if "</" in text and any(is_telling(tag["key"]) for tag in TAG.finditer(text)):
        return True
    return any(_tells(key) for key in _TOLD.findall(text))


def _tells(key: str) -> bool:
    """Whether what stands behind this key may be a secret. A header `Cookie` holds one whatever words are before it."""
    return is_telling(key) or key[-6:].lower() == "cookie"
