"""Printing: safe, never cut, ASCII where the encoding has nothing else."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.cli._screen import Part, Screen, Symbols

if TYPE_CHECKING:
    from collections.abc import Callable


class Stream(io.TextIOWrapper):
    """A stdout of any encoding that can be read back."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="backslashreplace", write_through=True)

    def text(self) -> str:
        data: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return data.decode(self.encoding)


def printed(monkeypatch: pytest.MonkeyPatch, action: Callable[[Screen], None], encoding: str = "utf-8") -> str:
    """Return what an action prints on a stdout of that encoding."""
    stream = Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    action(Screen())
    monkeypatch.undo()
    return stream.text()


def test_a_line_is_neither_markup_nor_wrapped_nor_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("[bold]x[/bold] :smile: ", "y" * 500, (" \x1b[31m", "red"))
    assert printed(monkeypatch, lambda screen: screen.line(*parts)) == f"[bold]x[/bold] :smile: {'y' * 500} \\x1b[31m\n"


def test_no_colours_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, lambda screen: screen.line(("red", "bold red"))) == "red\n"


def test_columns_are_as_wide_as_their_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[Part, Part]] = [("a", "1"), ("日本", "10"), ("long\nname", ("7", "red"))]
    text = printed(monkeypatch, lambda screen: screen.table(("NAME", "N"), rows, right=(1,)))
    assert text.splitlines() == ["NAME         N", "a            1", "日本        10", "long\\nname   7"]


def test_names_and_values_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[tuple[str, Part | list[Part]]] = [("id", "x"), ("record", ["here", (", verified", "green")])]
    assert printed(monkeypatch, lambda screen: screen.pairs(pairs)).splitlines() == [
        "  id      x",
        "  record  here, verified",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", None, "no-such-encoding"])
def test_signs_for_a_poor_encoding_are_ascii(encoding: str | None) -> None:
    symbols = Symbols.of(encoding)
    assert symbols.done == "ok"
    assert all(getattr(symbols, name).isascii() for name in Symbols.__slots__)


def test_a_poor_encoding_does_not_end_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream("ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    screen = Screen()
    screen.line(screen.symbols.done, " schön ✓")
    assert stream.text() == "ok sch\\xf6n \\u2713\n"


def test_a_reader_that_goes_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    screen = Screen()
    screen.line("one")
    screen.line("two")
