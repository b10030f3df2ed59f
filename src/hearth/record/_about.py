"""What only speaks of a secret: `token: expired`, `password_policy`, `has_password`.

The reason of a failure often stands right there. As no secret may enter a record (law 7), the lists are closed and
short, and the value must look like what the name promises; anything long or random counts as a secret under any name.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from hearth.record._telling import words_of

__all__ = ["is_about", "is_failure", "is_status"]

_STATUS = re.compile(r"(?i:expired|missing|required|invalid|incorrect|none|null|empty|unset|true|false)[.!]?[,)}\]]*")
_COUNT = re.compile(r"[0-9]{1,3}[.]?[,)}\]]*", re.ASCII)
# Behind a status there is nothing more of the value: a passphrase may begin with any word.
_END = re.compile(r"\s*(?:\Z|[\r\n])|\\[nr]|\\*[\"'<]|(?<=[,.)}\]])\s|;\s")
# What the system says of a file, as strerror(3) and shells word it: `/etc/passwd: Permission denied`.
_FAILURE = re.compile(
    r"(?i:permission denied|operation not permitted|operation not supported|no such file or directory|not a directory"
    r"|is a directory|directory not empty|file exists|file name too long|file too large|text file busy"
    r"|device or resource busy|read-only file system|no space left on device|disk quota exceeded|input/output error"
    r"|too many levels of symbolic links|too many open files|argument list too long|exec format error"
    r"|invalid cross-device link|invalid argument|bad file descriptor|stale file handle|no such device or address"
    r"|(?:command )?not found|cannot execute(?: binary file)?)(?: \(os error [0-9]{1,3}\))?[.!]?[,)}\]]*",
    re.ASCII,
)

_NAMES = frozenset(("name", "type"))
_NUMBERS = frozenset(("length", "count"))
_TIMES = frozenset(("changed", "created", "updated", "rotated", "expires", "expired"))
_QUESTIONS = frozenset(("has", "is", "needs", "requires"))
_ANSWERS = frozenset(("yes", "no", "true", "false", "y", "n", "0", "1"))
_LONGEST = 32
_GREATEST = 999
_DEEPEST = 3
# Words as people write them: letters in one case, perhaps a short number behind; not a mixture as generators make it.
_WORD = r"(?:[A-Za-z]?[a-z]{1,14}|[A-Z]{2,14}|[0-9]{1,3})"
_WORDS = re.compile(rf"(?=[A-Za-z]){_WORD}(?:[ _./-]{_WORD})*")
_UNSPOKEN = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def is_status(key: str, value: str, text: str, end: int) -> bool:
    """Whether the value behind a telling word in prose, which ends at `end` in the text, is a status and all of it.

    Behind the plural (`tokens: 42`) a count of at most three digits is one too.
    """
    counted = key.lower().endswith("tokens") and _COUNT.fullmatch(value) is not None
    return (counted or _STATUS.fullmatch(value) is not None) and _END.match(text, end) is not None


def is_failure(text: str, start: int) -> bool:
    """Whether nothing but what the system says of a file begins here: then the word before it names that file."""
    found = _FAILURE.match(text, start)
    return found is not None and _END.match(text, found.end()) is not None


def is_about(key: str, value: Any) -> bool:  # noqa: ANN401 - anything that a caller hands over
    """Whether a telling key, by its ending or beginning, and its value only say something about a secret."""
    words = words_of(key)
    if len(words) <= 1:
        return False
    last = words[-1]
    if last in _NAMES:
        return type(value) is str and _is_words(value)
    if last in _NUMBERS:
        return _is_small(value)
    if last == "at" and words[-2] in _TIMES:
        return isinstance(value, date) or (type(value) is str and _TIME.fullmatch(value) is not None)
    if last == "policy":
        return _is_policy(value, 0)
    return words[0] in _QUESTIONS and str(value).lower() in _ANSWERS if type(value) in {str, int} else False


def _is_small(value: Any) -> bool:  # noqa: ANN401
    if type(value) is str:
        return _COUNT.fullmatch(value) is not None
    return type(value) is int and 0 <= value <= _GREATEST


def _is_words(text: str) -> bool:
    return len(text) <= _LONGEST and _WORDS.fullmatch(text) is not None and _UNSPOKEN.search(text) is None


def _is_policy(value: Any, depth: int) -> bool:  # noqa: ANN401
    if type(value) is dict:
        return depth < _DEEPEST and all(type(key) is str and _is_policy(item, depth + 1) for key, item in value.items())
    if type(value) is list:
        return depth < _DEEPEST and all(_is_policy(item, depth + 1) for item in value)
    return value is None or type(value) is bool or _is_small(value) or (type(value) is str and _is_words(value))
