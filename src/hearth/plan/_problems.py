"""What is wrong with a plan, and where: problems are gathered, sorted by line and raised together."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from hearth.errors import PlanError
from hearth.plan._limits import MAX_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.plan._marks import Marks

__all__ = ["JsonPath", "Problem", "Problems", "did_you_mean", "format_path", "short"]

JsonPath = tuple[str | int, ...]
"""Keys and list indices from the plan's root; `()` is the plan itself."""

_SIMPLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 60
_TYPO_LENGTH = 40
_TOO_MANY = 10 * MAX_PROBLEMS


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: `line` from 1 (None where the plan is no file), the place and what is wrong there."""

    line: int | None
    path: JsonPath
    what: str

    def render(self, where: str) -> str:
        """Return `file:line: path: what`."""
        place = where if self.line is None else f"{where}:{self.line}"
        path = format_path(self.path)
        return f"{place}: {path}: {self.what}" if path else f"{place}: {self.what}"


class Problems:
    """Collects what is wrong with one plan; `where` is the file's name as the caller gave it."""

    def __init__(self, where: str, marks: Marks | None = None) -> None:
        self.where = where.encode("utf-8", "backslashreplace").decode()  # a path need not be UTF-8, a message must
        self.marks = marks
        self._found: dict[Problem, None] = {}  # a set that keeps its order
        self._at: set[JsonPath] = set()
        self._above: set[JsonPath] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: JsonPath, what: str, *, line: int | None = None) -> None:
        """Note a problem; without `line`, the marks say where `path` stands. Raises PlanError beyond a thousand."""
        if line is None and self.marks is not None:
            line = self.marks.line_of(path)
        self._found[Problem(line, path, what)] = None
        if len(self._found) > _TOO_MANY:
            raise self.error()
        self._at.add(path)
        self._above.update(path[:length] for length in range(len(path)))

    def fatal(self, path: JsonPath, what: str, *, line: int | None = None) -> NoReturn:
        """Note a problem after which reading makes no sense, and raise all of them."""
        self.add(path, what, line=line)
        raise self.error()

    def rendered(self, path: JsonPath, what: str) -> str:
        """Return what is to be said of a place without noting it as a problem."""
        line = None if self.marks is None else self.marks.line_of(path)
        return Problem(line, path, what).render(self.where)

    def concern(self, path: JsonPath) -> bool:
        """Whether a problem is known at `path` or below it."""
        return path in self._above or path in self._at

    def places(self) -> frozenset[JsonPath]:
        """Return the paths at which a problem is known."""
        return frozenset(self._at)

    def error(self) -> PlanError:
        """Return all problems as one error, by line; beyond a hundred they are counted only."""
        found = sorted(self._found, key=lambda problem: problem.line or 0)
        lines = [problem.render(self.where) for problem in found[:MAX_PROBLEMS]]
        if len(found) > MAX_PROBLEMS:
            least = "at least " if len(found) > _TOO_MANY else ""
            lines.append(f"{self.where}: and {least}{len(found) - MAX_PROBLEMS} more problems")
        return PlanError(lines)

    def raise_if_any(self) -> None:
        """Raise PlanError if a problem has been noted."""
        if self._found:
            raise self.error()


def format_path(path: JsonPath) -> str:
    """Write a path as `steps[2].env["a b"]`; long keys are cut."""
    parts: list[str] = []
    for segment in path:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif _SIMPLE_KEY.fullmatch(segment) and len(segment) <= _SHOWN:
            parts.append(f".{segment}" if parts else segment)
        else:
            parts.append(f"[{short(segment)}]")
    return "".join(parts)


def short(value: object) -> str:
    """Return a value as JSON on one line, cut to what a message can hold; never large, whatever the value."""
    if isinstance(value, str):
        shown = json.dumps(value if len(value) <= _SHOWN else value[:_SHOWN] + "…", ensure_ascii=False)
        return shown.encode("utf-8", "backslashreplace").decode()  # a file name may hold half a surrogate pair
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value) if value is None or isinstance(value, bool | int | float) else type(value).__name__
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely was to be, or None."""
    if len(word) > _TYPO_LENGTH:
        return None
    candidates = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else None
