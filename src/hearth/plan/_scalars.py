"""Numbers and texts as plans hold them: what is ambiguous, or has no exact JSON form, is refused."""

from __future__ import annotations

import math
import re

from hearth.plan._limits import LARGEST_INTEGER, MAX_NUMBER_LENGTH

__all__ = ["ScalarError", "parse_float", "parse_integer", "resolve_plain", "scalar_fault"]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_OCTAL_LOOK = re.compile(r"0[0-7]+")
_NUMBER_START = frozenset("+-.0123456789")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class ScalarError(ValueError):
    """A number or a text cannot stand in a plan; the message says why and what to write instead."""


def resolve_plain(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted YAML scalar by YAML 1.2's core schema (section 10.3.2), stricter for numbers.

    `yes`, `on`, dates, `1:30` and `1_000` are texts. Raises ScalarError for numbers with leading zeros (an octal
    number to one reader, a decimal one to another), infinities, NaN and numbers too large to be exact.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _FLOAT.fullmatch(text):
        if _LEADING_ZERO.match(text):
            octal = f" or 0o{text.lstrip('0') or '0'}" if _OCTAL_LOOK.fullmatch(text[:MAX_NUMBER_LENGTH]) else ""
            raise ScalarError(f'a leading zero is ambiguous; write "{text[:MAX_NUMBER_LENGTH]}" in quotes{octal}')
        return parse_integer(text) if _INTEGER.fullmatch(text) else parse_float(text)
    if _OCTAL.fullmatch(text):
        return parse_integer(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return parse_integer(text[2:], 16)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(f'{text} is not a number that JSON has; write "{text}" in quotes if a text is meant')
    return text


def parse_integer(text: str, base: int = 10) -> int:
    """Convert digits that were checked already; raises ScalarError beyond ±(2^53-1)."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ScalarError(f"a number of {len(text)} characters; write it in quotes")
    number = int(text, base)
    fault = scalar_fault(number)
    if fault:
        raise ScalarError(fault)
    return number


def parse_float(text: str) -> float:
    """Convert a float literal that was checked already; raises ScalarError when it is too large."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ScalarError(f"a number of {len(text)} characters; write it in quotes")
    number = float(text)
    fault = scalar_fault(number)
    if fault:
        raise ScalarError(fault)
    return number


def scalar_fault(value: str | float | bool | None) -> str | None:
    """Say why a scalar cannot stand in a plan, or None when it can."""
    if isinstance(value, str):
        if "\0" in value:
            return "a text with a NUL character"
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return "a text with half a surrogate pair, which UTF-8 cannot hold"
        return None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            return f"an integer beyond ±{LARGEST_INTEGER} is not exact in JSON; write it in quotes"
        return None
    return None if math.isfinite(value) else "not a finite number; JSON has no form for it"
