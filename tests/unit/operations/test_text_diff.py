"""The diffs of previews: those of difflib, and quick also where that is slow."""

from __future__ import annotations

import difflib
import random
import time

import pytest

from hearth.operations._text_diff import unified_diff


@pytest.mark.parametrize("seed", range(200))
def test_it_turns_the_old_text_into_the_new_one(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    old = [chance.choice("abcdef") for _ in range(chance.randrange(30))]
    new = list(old)
    for _ in range(chance.randrange(3)):
        place = chance.randrange(len(new) + 1)
        new[place : place + chance.randrange(3)] = [chance.choice("abcxyz") for _ in range(chance.randrange(3))]
    assert applied(old, list(unified_diff(old, new))) == new


def applied(old: list[str], lines: list[str]) -> list[str]:
    """Return what a unified diff makes of a text."""
    found, place = [], 0
    for line in lines:
        if line.startswith("@@"):
            start, _, length = line.split()[1].removeprefix("-").partition(",")
            until = int(start) - (length != "0")
            found += old[place:until]
            place = until
        elif line.startswith("+"):
            found.append(line[1:])
        else:
            assert old[place] == line[1:]
            place += 1
            found += [line[1:]] if line.startswith(" ") else []
    return found + old[place:]


@pytest.mark.parametrize("place", [0, 1, 50, 98, 99])
def test_one_changed_line_is_shown_as_difflib_shows_it(place: int) -> None:
    old = [f"line {number}" for number in range(100)]
    new = [*old[:place], "other", *old[place + 1 :]]
    assert list(unified_diff(old, new)) == list(difflib.unified_diff(old, new, lineterm=""))[2:]


def test_equal_texts_have_none() -> None:
    assert list(unified_diff(["a"], ["a"])) == []


def test_a_large_text_whose_every_line_was_changed_is_quick() -> None:
    old = [f"line {number} {number % 7}" for number in range(100_000)]
    new = [line.replace("1", "one") for line in old]
    began = time.monotonic()
    lines = list(unified_diff(old, new))
    assert time.monotonic() - began < 5  # with difflib minutes
    assert applied(old, lines) == new
