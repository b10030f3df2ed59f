"""Parameters as an operator reads them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from hearth._visible import is_visible
from hearth.errors import TaskError
from hearth.plan import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["as_text", "command_line", "input_name", "one_line", "refuse_secrets", "seconds", "size"]

_LONGEST = 120
_LONGEST_COMMAND = 4000
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))


def as_text(value: Any) -> str:  # noqa: ANN401 - a JSON tree
    """Return a parameter as a text; a reference to a secret as it stands within a text."""
    if isinstance(value, dict) and isinstance(value.get("secret"), str):
        return f"{{secret: {value['secret']}}}"
    return str(value)


def input_name(params: Any, key: str) -> tuple[str, ...]:  # noqa: ANN401 - a JSON tree
    """Return the input that a parameter names, if it is given; TaskError when that is a secret."""
    if key not in params:
        return ()
    if not isinstance(params[key], str):
        raise TaskError(f"{key} names an input of the plan, which cannot be a secret")
    return (params[key],)


def refuse_secrets(params: Any, keys: tuple[str, ...], advice: str) -> None:  # noqa: ANN401 - a JSON tree
    """Raise TaskError for a reference to a secret where its value would become code, or be seen by other users."""
    for key in keys:
        value = params.get(key) if isinstance(params, dict) else params
        found = Secrets.references(value)
        if found:
            raise TaskError(f"the secret {found[0]} cannot stand in {key}: {advice}")


def one_line(value: Any, longest: int = _LONGEST) -> str:  # noqa: ANN401 - a JSON tree
    """Return a text's first line that says something, shortened; a reference to a secret stays a reference."""
    lines = [" ".join(line.split()) for line in as_text(value).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return "(empty)"
    telling = [line for line in lines if not line.startswith(("#", "--"))] or lines
    first = "".join(character if is_visible(character) else "�" for character in telling[0])
    if len(first) > longest:
        return first[: longest - 2] + " …"
    return first + (" …" if len(lines) > 1 else "")


def command_line(words: Iterable[Any]) -> str:
    """Return words as one line that bash reads as the same words; a very long one is cut, with its length."""
    line = " ".join(map(_quoted, words))
    return line if len(line) <= _LONGEST_COMMAND else f"{line[:_LONGEST_COMMAND]} … ({len(line)} characters)"


def _quoted(word: Any) -> str:  # noqa: ANN401 - a text, or a reference to a secret
    text = as_text(word)
    if not isinstance(word, str):
        return text
    if is_visible(text):
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(character: str) -> str:
    """Return a character as it stands between $' and '."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if is_visible(character):
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def size(count: int) -> str:
    """Return a number of bytes with its unit."""
    return f"{count:,} byte{'' if count == 1 else 's'}".replace(",", " ")


def seconds(value: float | str) -> float:
    """Return a duration, a number of seconds or a text such as "500ms", "5s", "2m", in seconds."""
    if not isinstance(value, str):
        return float(value)
    for unit, factor in _UNITS:
        if value.endswith(unit):
            return float(value.removesuffix(unit)) * factor
    return float(value)
