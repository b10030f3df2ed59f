"""DeclaredEffect: what a step says that it will change."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hearth.plan._paths import absolute
from hearth.plan._patterns import escaped, has_wildcard, path_matches
from hearth.plan._problems import short
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hearth.plan._problems import JsonPath, Problems

__all__ = ["DeclaredEffect", "check_own_inputs", "parse_effect"]

_OF_PATHS = (SideEffectCategory.FILE_SYSTEM, SideEffectCategory.CONFIGURATION)
_MAYBE_PATHS = (SideEffectCategory.DATA_MUTATION, SideEffectCategory.SYSTEM)


@dataclass(frozen=True, slots=True)
class DeclaredEffect:
    """One effect that a plan declares.

    `pattern` is a path pattern for `file_system` and `configuration` (relative ones start at the plan's cwd), else a
    text in the task's own words. `reversible` says that it can be taken back, `must` that its absence is a deviation.
    """

    category: SideEffectCategory
    pattern: str
    reversible: bool
    must: bool = False

    @property
    def is_path(self) -> bool:
        """Whether the pattern is one of paths: by its category, or by its look (`app.db`, `/etc/hosts`)."""
        pattern = self.pattern
        if pattern.startswith(("program:", "call:")) or "://" in pattern:
            return False
        if self.category in _OF_PATHS or (self.category in _MAYBE_PATHS and "/" in pattern):
            return True
        named = bool(posixpath.splitext(pattern)[1]) and ":" not in pattern
        return self.category is SideEffectCategory.DATA_MUTATION and named

    def to_dict(self) -> dict[str, Any]:
        """Return the effect as JSON."""
        return {
            "category": self.category.value,
            "pattern": self.pattern,
            "reversible": self.reversible,
            "must": self.must,
        }


def parse_effect(entry: Mapping[str, Any]) -> DeclaredEffect:
    """Build an effect from an entry of `effects` that the schema has accepted."""
    category = next(category for category in SideEffectCategory if category.value in entry)
    return DeclaredEffect(category, entry[category.value], entry.get("reversible", False), entry.get("must", False))


def check_own_inputs(
    effects: Iterable[tuple[JsonPath, DeclaredEffect]],
    files: Mapping[str, Path],
    *,
    cwd: Path,
    problems: Problems,
) -> None:
    """Note every declared effect on one of the plan's own `files` (their names, and where they are).

    A pattern without wildcards also covers the folder that a file lies in. Both the paths as written and the real ones
    are compared, so that a symbolic link hides nothing.
    """
    places: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name, file in files.items():
        for place in (absolute(file), file.resolve()):
            places[place.as_posix()] = name
            folders.update({parent.as_posix(): name for parent in place.parents})
    starts = {absolute(cwd).as_posix(), cwd.resolve().as_posix()}
    known: dict[str, str | None] = {}
    for path, effect in effects:
        if not effect.is_path:
            continue
        pattern = effect.pattern
        if pattern not in known:
            known[pattern] = next(filter(None, (_touched(pattern, start, places, folders) for start in starts)), None)
        touched = known[pattern]
        if touched:
            problems.add(
                path,
                f"declares an effect on {short(touched)}, which this plan runs from; what was approved must stay as it "
                "is: let the step work on a copy, or narrow the pattern",
            )


def _touched(pattern: str, start: str, places: Mapping[str, str], folders: Mapping[str, str]) -> str | None:
    """Return the name of a file that `pattern`, relative to `start`, covers."""
    plain = PurePath(pattern).as_posix()
    if has_wildcard(pattern):
        whole = posixpath.join(escaped(start), plain) + ("/" if pattern.endswith("/") else "")
        return next((name for place, name in places.items() if path_matches(whole, place)), None)
    normal = posixpath.normpath(posixpath.join(start, plain))
    return places.get(normal) or folders.get(normal)
