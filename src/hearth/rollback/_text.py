"""Plain text for terminals: no control characters, no line over the width, commands that stay recognisable."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hearth._visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CONTINUED", "CUT", "WIDTH", "wrapped", "wrapped_action"]

WIDTH = 100
CONTINUED = " \\"
CUT = " <cut>"
_LONGEST_LEAD = 40


def wrapped(text: str, lead: str = "") -> list[str]:
    """Return the text in lines of at most WIDTH characters, the first after `lead`, the others below its end."""
    return textwrap.wrap(
        visible(" ".join(text.split("\n"))),
        width=WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * min(len(lead), _LONGEST_LEAD),
        break_on_hyphens=False,
    ) or [lead.rstrip()]


def wrapped_action(action: str, lead: str) -> list[str]:
    r"""Return an action verbatim (tabs as spaces), its own lines one below the other.

    A line that is too long ends in ` \` where it is broken between two words, which makes a shell wait for the rest,
    and in ` <cut>` where a word itself had to be broken, which makes a shell refuse it: half of a command, or
    one with a space too many, must never run because somebody copied it.
    """
    indent = " " * len(lead)
    lines: list[str] = []
    for line in action.split("\n"):
        for part in _parts(visible(line.expandtabs(4)), WIDTH - len(lead)):
            lines.append(f"{indent if lines else lead}{part}".rstrip())
    return lines


def _parts(line: str, room: int) -> Iterator[str]:
    while len(line) > room:
        space = line.rfind(" ", 1, room - len(CONTINUED) + 1)
        if line[:space].strip() and space > 0:
            yield line[:space] + CONTINUED
            line = line[space:].lstrip(" ")
        else:
            yield line[: room - len(CUT)] + CUT
            line = line[room - len(CUT) :]
    yield line
