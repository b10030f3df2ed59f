"""What a person is shown has no characters that act, or hide."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth._visible import visible


@given(st.text(st.characters()))
def test_what_is_shown_has_no_characters_that_act(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain ü ✓", "plain ü ✓"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\u2028", r"\u2028"),
        ("pass\u115fword", r"pass\u115fword"),
        ("\u3164\u2800\ufe01", r"\u3164\u2800\ufe01"),
        ("größer ☃ 😀 ⚠️ 'x' \\", "größer ☃ 😀 ⚠️ 'x' \\"),
        ("\udc80", r"\udc80"),
        ("\x9b31m", r"\x9b31m"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
    ],
)
def test_control_characters_are_seen(text: str, shown: str) -> None:
    assert visible(text) == shown
