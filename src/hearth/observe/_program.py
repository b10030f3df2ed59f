"""A program as it was started, in one line: quoted as a shell reads it, so that the line can be copied."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["program_name", "program_text", "unquoted"]

_CUT = "…"  # stands for words, or the rest of one, that are not told
# All that `shlex.quote` writes besides the text itself: single quotes around a word, and a single quote in double ones.
_QUOTED = re.compile(r"'([^']*)'|\"'\"")
_FIRST = re.compile(r"(?:'[^']*'|\"'\"|[^ ])+")


def program_text(words: Sequence[str]) -> str:
    """Return the words of a program as a shell reads them."""
    return " ".join(word if word == _CUT else shlex.quote(word) for word in words)


def program_name(text: str) -> str:
    """Return the first word of such a line: the program as it was called."""
    first = _FIRST.match(text)
    return "" if first is None else unquoted(first[0])


def unquoted(text: str) -> str:
    """Return such a line as its words with a space between them."""
    return _QUOTED.sub(lambda quoted: "'" if quoted[1] is None else quoted[1], text)
