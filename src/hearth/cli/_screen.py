"""Printing for a person: styled lines and tables, safe by construction, plain where the terminal is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from hearth._visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import ConsoleOptions

__all__ = ["Part", "Screen", "Symbols"]

Part = str | tuple[str, str]
"""A piece of a line: text, or text and its style."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """The signs that an output uses, as far as its encoding has them."""

    begun: str = "▸"
    done: str = "✓"
    failed: str = "✗"
    effect: str = "~"
    bar: str = "│"
    arrow: str = "→"
    dot: str = "·"
    dash: str = "–"
    spinner: str = "dots"

    @classmethod
    def of(cls, encoding: str | None) -> Symbols:
        """Return the signs for an encoding; ASCII ones where it lacks any of them."""
        full = cls()
        try:
            f"{full.begun}{full.done}{full.failed}{full.bar}{full.arrow}{full.dot}{full.dash}⠋…".encode(
                encoding or "ascii"
            )
        except (UnicodeEncodeError, LookupError):
            return cls(begun=">", done="ok", failed="FAILED", bar="|", arrow="->", dot="-", dash="-", spinner="line")
        return full


class _Console(Console):
    """A console that falls silent when its reader goes away: a run must not end for want of someone who watches."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Screen:
    """Lines for a person, on stdout or stderr. Every text is made visible, none is markup.

    Lines are never cut or wrapped here: what is printed can be searched, and a narrow terminal wraps by itself.
    """

    def __init__(self, *, no_color: bool = False, to_stderr: bool = False) -> None:
        self.console = _Console(
            stderr=to_stderr, markup=False, emoji=False, highlight=False, no_color=True if no_color else None
        )
        self.symbols = Symbols.of(getattr(sys.stderr if to_stderr else sys.stdout, "encoding", None))

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches, on a terminal that can do more than print."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def line(self, *parts: Part, indent: int = 0) -> None:
        """Print one line."""
        self.console.print(self.text(*parts, indent=indent), soft_wrap=True)

    def text(self, *parts: Part, indent: int = 0) -> Text:
        """Return one line without printing it."""
        line = Text(" " * indent)
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            line.append(visible(text), style=style or None)
        return line

    def lines(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Print a text of several lines, each made visible by itself."""
        for line in text.split("\n"):
            self.line((line.expandtabs(4), style), indent=indent)

    def block(self, lines: Sequence[str], *, indent: int = 0, style: str = "") -> None:
        """Print many lines of one style at once: a command may write a hundred thousand of them."""
        if lines:
            lead = " " * indent
            text = "\n".join(f"{lead}{visible(line)}" for line in lines)
            self.console.print(_Block(text, style), soft_wrap=True)

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def heading(self, text: str) -> None:
        """Print an empty line and a heading."""
        self.blank()
        self.line((text, "bold"))

    def pairs(self, pairs: Iterable[tuple[str, Part | Sequence[Part]]], *, indent: int = 2) -> None:
        """Print names and their values, one below the other."""
        kept = [
            (name, [value] if isinstance(value, str) or _is_styled(value) else list(value)) for name, value in pairs
        ]
        width = max((len(name) for name, _ in kept), default=0)
        for name, parts in kept:
            self.line((f"{name:<{width}}  ", "dim"), *parts, indent=indent)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Part]], *, right: Iterable[int] = ()) -> None:
        """Print rows under their headings; a column is as wide as its widest cell, those in `right` end flush."""
        shown = [[(visible(text), style) for text, style in map(_styled, row)] for row in rows]
        widths = [
            max([cell_len(heading), *(cell_len(row[place][0]) for row in shown)])
            for place, heading in enumerate(columns)
        ]
        flush = frozenset(right)
        for row in ([(heading, "bold") for heading in columns], *shown):
            cells: list[Part] = []
            for place, (text, style) in enumerate(row):
                gap = " " * (widths[place] - cell_len(text))
                last = place == len(row) - 1 and place not in flush
                cells += [gap, (text, style)] if place in flush else [(text, style), "" if last else gap]
                cells.append("" if place == len(row) - 1 else "  ")
            self.line(*cells)


class _Block:
    """Text in one piece: rich takes it as it is, line by line it would cost thirty times as much."""

    def __init__(self, text: str, style: str) -> None:
        self._text = text
        self._style = style

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> Iterator[Segment]:
        yield Segment(self._text, console.get_style(self._style) if self._style else None)
        yield Segment.line()


def _is_styled(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(item, str) for item in value)  # noqa: PLR2004


def _styled(part: Part) -> tuple[str, str]:
    return (part, "") if isinstance(part, str) else part
