"""Where each value of a plan file stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.plan._problems import JsonPath

__all__ = ["Marks"]


class Marks:
    """A tree beside the plan's tree: the line (from 1) of a value, or of its key within a mapping."""

    __slots__ = ("children", "line")

    def __init__(self, line: int) -> None:
        self.line = line
        self.children: dict[str | int, Marks] = {}

    def line_of(self, path: JsonPath) -> int:
        """Return the line of `path`, or of the nearest value above it that the file holds."""
        marks = self
        for segment in path:
            child = marks.children.get(segment)
            if child is None:
                break
            marks = child
        return marks.line
