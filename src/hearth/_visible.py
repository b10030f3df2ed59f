"""Text as a person may be shown it: nothing in it acts on a terminal, hides, or turns the reading direction."""

from __future__ import annotations

import re

__all__ = ["is_visible", "visible"]

# Printable by their category, and yet nothing is seen of them: fillers, joiners, variation selectors other than those
# of emoji, the blank Braille cell (Unicode 15, DerivedCoreProperties.txt, Default_Ignorable_Code_Point; and U+2800).
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]")


def is_visible(text: str) -> bool:
    """Whether every character can be seen, or is a space (U+0020)."""
    return text.isprintable() and (text.isascii() or _BLANK.search(text) is None)


def visible(text: str) -> str:
    """Return one line in which every character that cannot be seen is written as an escape.

    That covers terminal control sequences, line breaks, characters that turn the reading direction, lone surrogates
    (Unicode categories C and Z but for the space), and blank letters.
    """
    if is_visible(text):
        return text
    return "".join(
        character if is_visible(character) else character.encode("unicode_escape").decode("ascii") for character in text
    )
