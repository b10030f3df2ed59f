"""Text for a terminal: nothing from a record can act on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.cli._text import OutputLines, bytes_text, count, left_behind, seconds_text


def test_lines_of_output_come_when_they_are_complete() -> None:
    reader = OutputLines()
    assert reader.feed(b"one\ntw") == ["one"]
    assert reader.feed(b"o\n") == ["two"]
    assert reader.feed(b"three") == []
    assert reader.finish() == ["three"]
    assert reader.finish() == []


@given(st.binary(), st.integers(min_value=1, max_value=5))
def test_any_bytes_in_any_pieces_give_the_same_safe_lines(data: bytes, size: int) -> None:
    whole = OutputLines()
    lines = [*whole.feed(data), *whole.finish()]
    pieces = OutputLines()
    found = [line for start in range(0, len(data), size) for line in pieces.feed(data[start : start + size])]
    assert [*found, *pieces.finish()] == lines
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "data, lines",
    [
        (b"\x1b[31mred\x1b[0m\n", ["red"]),
        (b"10%\r50%\r100%\r\n", ["100%"]),
        (b"windows\r\nlines\r\n", ["windows", "lines"]),
        (b"\x1b]0;title\x07\n", [r"\x1b]0;title\x07"]),
        (b"a\tb\n", ["a   b"]),
        (b"\xff\xfe\n", [r"\xff\xfe"]),
        ("é".encode(), ["é"]),
        (b"\xc3", [r"\xc3"]),
        (b"\n\n", ["", ""]),
    ],
)
def test_output(data: bytes, lines: list[str]) -> None:
    reader = OutputLines()
    assert [*reader.feed(data), *reader.finish()] == lines


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0.00 s"),
        (0.123, "0.12 s"),
        (12.34, "12.3 s"),
        (65, "1 min 05 s"),
        (3725, "1 h 02 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert bytes_text(number) == text


def test_counting() -> None:
    assert [count(number, "step") for number in (0, 1, 2)] == ["no steps", "1 step", "2 steps"]


def test_a_line_without_end_is_given_out_in_pieces() -> None:
    reader = OutputLines()
    lines = [line for _ in range(64) for line in reader.feed(b"x" * 8192)]
    assert len(lines) > 3
    assert all(len(line) < 100_000 for line in lines)
    assert "".join([*lines, *reader.finish()]) == "x" * (64 * 8192)


@pytest.mark.parametrize("reach", ["group", "mark"])
def test_how_far_a_stop_could_reach_is_said(reach: str) -> None:
    (said,) = left_behind({"reach": reach})
    assert said.startswith("HEARTH could only reach its process group")


@pytest.mark.parametrize("details", [{}, {"reach": "descendants"}, {"reach": ["mark"]}, {"reach": "\x1b[2J"}])
def test_nothing_is_said_where_all_was_within_reach(details: dict[str, object]) -> None:
    assert left_behind(details) == []
