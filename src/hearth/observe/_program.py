"""A program as it was started, in one line: quoted as a shell reads it, so that the line can be copied."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from hearth._visible import is_visible

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["program_name", "program_text", "unquoted"]

_CUT = "…"  # stands for words, or the rest of one, that are not told
# All that is written besides the text itself: single quotes around a word, a single quote in double ones, and `$'…'`
# around a word that has bytes which are no text (where a `$` stands in a word, single quotes stand around that).
_QUOTED = re.compile(r"(\$?)'([^']*)'|\"'\"")
_FIRST = re.compile(r"(?:'[^']*'|\"'\"|[^ ])+")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(\\))")


def program_text(words: Sequence[str]) -> str:
    """Return the words of a program as a shell reads them; bytes that are no UTF-8 as escapes, in `$'…'`."""
    return " ".join(word if word == _CUT else _quoted(word) for word in words)


def program_name(text: str) -> str:
    """Return the first word of such a line: the program as it was called."""
    first = _FIRST.match(text)
    return "" if first is None else unquoted(first[0])


def unquoted(text: str) -> str:
    """Return such a line as its words with a space between them."""
    return _QUOTED.sub(_plain, text)


def _quoted(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        return "$'" + "".join(map(_escape, word)) + "'"
    return shlex.quote(word)


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character != "'" and is_visible(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _plain(quoted: re.Match[str]) -> str:
    if quoted[2] is None:
        return "'"
    if not quoted[1]:
        return quoted[2]
    return _ESCAPED.sub(_byte, quoted[2].encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _byte(escape: re.Match[bytes]) -> bytes:
    return b"\\" if escape[2] else bytes([int(escape[1], 16)])
