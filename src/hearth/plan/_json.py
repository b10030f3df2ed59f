"""JSON (RFC 8259) with line marks: duplicate keys and inexact numbers are refused, every bound is kept."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from hearth.plan._limits import MAX_DEPTH, MAX_NODES
from hearth.plan._marks import Marks
from hearth.plan._problems import short
from hearth.plan._scalars import ScalarError, parse_float, parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from hearth.plan._problems import JsonPath, Problems

__all__ = ["compose_json"]

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
_WORDS = {"true": True, "false": False, "null": None}
# The standard library's scanner of strings, in C where there is one; its type stub leaves it out.
_scan_string: Callable[[str, int], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]


def compose_json(text: str, problems: Problems) -> tuple[object, Marks]:
    """Return the tree of one JSON text and its marks; syntax errors raise PlanError, lesser ones are noted."""
    scanner = _Scanner(text, problems)
    value, marks, position = scanner.value(scanner.space(0), (), 0)
    if scanner.space(position) != len(text):
        scanner.fail(scanner.space(position), "text after the end of the plan")
    return value, marks


class _Scanner:
    """Recursive descent; the depth is bounded, so the recursion is."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._text = text
        self._problems = problems
        self._nodes = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]

    def space(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return match.end() if match else position

    def line(self, position: int) -> int:
        return bisect_right(self._breaks, position - 1) + 1

    def fail(self, position: int, what: str, path: JsonPath = ()) -> NoReturn:
        self._problems.fatal(path, f"not JSON: {what}", line=self.line(position))

    def value(self, position: int, path: JsonPath, depth: int) -> tuple[object, Marks, int]:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            what = f"more than {MAX_NODES} values; put large data into a file and list it under inputs"
            self._problems.fatal((), what, line=self.line(position))
        marks = Marks(self.line(position))
        character = self._text[position : position + 1]
        if character in ("{", "["):
            if depth >= MAX_DEPTH:
                self._problems.fatal((), f"nested deeper than {MAX_DEPTH} levels", line=marks.line)
            read = self._object if character == "{" else self._array
            result, end = read(self.space(position + 1), path, marks, depth + 1)
            return result, marks, end
        if character == '"':
            string, end = self._string(position, path)
            return string, marks, end
        if word := _WORD.match(self._text, position):
            return _WORDS[word[0]], marks, word.end()
        if number := _NUMBER.match(self._text, position):
            try:
                whole = number["fraction"] is None and number["exponent"] is None
                return (parse_integer if whole else parse_float)(number[0]), marks, number.end()
            except ScalarError as error:
                self._problems.add(path, str(error), line=marks.line)
                return number[0], marks, number.end()
        return self.fail(position, f"unexpected {short(character)}" if character else "the text ends too early", path)

    def _string(self, position: int, path: JsonPath) -> tuple[str, int]:
        try:
            return _scan_string(self._text, position + 1)
        except json.JSONDecodeError as error:
            return self.fail(error.pos, error.msg, path)

    def _array(self, position: int, path: JsonPath, marks: Marks, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        if self._text.startswith("]", position):
            return items, position + 1
        while True:
            item, item_marks, position = self.value(position, (*path, len(items)), depth)
            marks.children[len(items)] = item_marks
            items.append(item)
            position = self.space(position)
            if self._text.startswith("]", position):
                return items, position + 1
            if not self._text.startswith(",", position):
                self.fail(position, "expected a comma or ]", path)
            position = self.space(position + 1)

    def _object(self, position: int, path: JsonPath, marks: Marks, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        if self._text.startswith("}", position):
            return members, position + 1
        while True:
            if not self._text.startswith('"', position):
                self.fail(position, 'expected a key in "quotes"', path)
            line = self.line(position)
            key, position = self._string(position, path)
            position = self.space(position)
            if not self._text.startswith(":", position):
                self.fail(position, "expected a colon", (*path, key))
            member, member_marks, position = self.value(self.space(position + 1), (*path, key), depth)
            if key in members:
                first = marks.children[key].line
                what = f"the key {short(key)} stands here a second time (first on line {first})"
                self._problems.add((*path, key), what, line=line)
            else:
                members[key] = member
                member_marks.line = line
                marks.children[key] = member_marks
            position = self.space(position)
            if self._text.startswith("}", position):
                return members, position + 1
            if not self._text.startswith(",", position):
                self.fail(position, "expected a comma or }", path)
            position = self.space(position + 1)
