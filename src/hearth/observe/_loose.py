"""What an approver is to know of volatile patterns: which paths they leave open, and which of these others trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.observe._deviation import VOLATILE, volatile_patterns
from hearth.observe._node import NodeType
from hearth.observe._volatile import pattern_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.observe._change import Change
    from hearth.observe._manifest import StepManifest

__all__ = ["Loose", "loosely_compared", "risky_patterns"]

_EXECUTABLE = 0o111
# Folders of the system, and names wherever they lie: what others run, or are told by what they may do.
_FOLDERS = re.compile(r"/(etc|usr|boot|bin|sbin|lib[^/]*|opt|proc|sys|dev|var/spool/cron)(/.*)?")
_NAMES = re.compile(
    r"sudoers.*|\.ssh|authorized_keys.*|cron.*|.*\.(service|timer|socket|so|rules)|systemd|init\.d|rc\.local|pam\.d"
    r"|passwd-?|g?shadow-?|group-?|profile(\.d)?|\.(bash|zsh|profile).*|\.git|hooks"
)


@dataclass(frozen=True, slots=True)
class Loose:
    """What may differ of a path from the preview, in words; `risky` where others run or trust what it holds."""

    words: str
    risky: bool


def loosely_compared(step: StepManifest, volatile: Sequence[str], cwd: Path | None) -> dict[str, Loose]:
    """Return which of a step's paths `deviations` compares loosely, for its patterns or HEARTH's own."""
    patterns = volatile_patterns(volatile, cwd)
    found = {}
    for change in step.changes:
        pattern = pattern_of(change, patterns)
        if pattern is not None:
            name, content = change.before is None, NodeType.FILE in _types(change)
            words = " and ".join([*(["name"] if name else []), *(["content"] if content else [])] or ["times"])
            found[change.path] = Loose(f"{words} may differ", risky=pattern not in VOLATILE and _is_risky(change))
    return found


def risky_patterns(volatile: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns that are written for what others run or trust."""
    return tuple(pattern for pattern in volatile if _is_trusted(pattern))


def _is_risky(change: Change) -> bool:
    nodes = [node for node in (change.before, change.after) if node is not None and node.type is NodeType.FILE]
    return _is_trusted(change.path) or any(node.mode & _EXECUTABLE for node in nodes)


def _types(change: Change) -> set[NodeType]:
    return {node.type for node in (change.before, change.after) if node is not None}


def _is_trusted(path: str) -> bool:
    return bool(_FOLDERS.fullmatch(path)) or any(_NAMES.fullmatch(name) for name in path.split("/"))
