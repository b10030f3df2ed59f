"""Text for a terminal: nothing from a record may act on it, hide, or pretend to be something else."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from hearth._visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OutputLines", "bytes_text", "count", "left_behind", "seconds_text"]

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_MINUTE = 60.0
_HOUR = 3600.0
_LONGEST_LINE = 1 << 16
_KIB = 1024
_REACHES = {
    "group": "HEARTH could only reach its process group: what has left that goes on",
    "mark": "HEARTH could only reach its process group, what its supervising process left, and what carries its mark, "
    "for that process was killed: look at the host",
}


class OutputLines:
    """Turns the bytes of one output stream into lines that are safe to show.

    Colours are dropped; where a line overwrites itself with carriage returns, its last state is shown. A line without
    end is given out in pieces.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that are complete now."""
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        if len(self._rest) > _LONGEST_LINE:  # else each chunk of an endless line would cost as much as all before it
            lines.append(self._rest)
            self._rest = ""
        return [_shown(line) for line in lines]

    def finish(self) -> list[str]:
        """Return the last line, if it had no line break."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return [_shown(rest)] if rest else []


def _shown(line: str) -> str:
    state = line.rstrip("\r").rpartition("\r")[2]
    return visible(_COLOURS.sub("", state).expandtabs(4))


def seconds_text(seconds: float) -> str:
    """Return a duration as a person reads it: `0.12 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - three digits tell enough
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min"


def count(number: int, noun: str, nouns: str = "") -> str:
    """Return `1 effect`, `2 effects`, `no effects`; `nouns` is the plural, where it is not the noun and an s."""
    return f"{number or 'no'} {noun if number == 1 else nouns or f'{noun}s'}"


def left_behind(details: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of processes that a step's command left running; details may hold anything."""
    said = []
    left = details.get("left_running")
    if type(left) is int and left > 0:
        said.append(
            "a process that it left running was ended"
            if left == 1
            else f"{left} processes that it left running were ended"
        )
    unkilled = details.get("unkilled")
    if isinstance(unkilled, (list, tuple)):
        alive = [str(number) for number in unkilled if type(number) is int]
        if alive:
            said.append(f"KILL did not end {', '.join(alive)}: look at the host")
    if details.get("output_open") is True:
        said.append("a process out of reach still held its output open, and may go on")
    reach = details.get("reach")
    if isinstance(reach, str) and reach in _REACHES:
        said.append(_REACHES[reach])
    return said


def bytes_text(number: int) -> str:
    """Return a size: `812 bytes`, `1.2 KiB`, `3.4 MiB`."""
    if number < _KIB:
        return f"{number} byte{'' if number == 1 else 's'}"
    size = float(number)
    for unit in ("KiB", "MiB", "GiB"):
        size /= _KIB
        if size < _KIB:
            return f"{size:.1f} {unit}"
    return f"{size / _KIB:.1f} TiB"
