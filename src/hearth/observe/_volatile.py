"""What of a step's changes is compared loosely with its preview, and how far: content and new names, nothing else.

A volatile path that was there before is compared by itself: its kind of change, type, mode, owner, attributes and link
target are held, its content is not. Of those that are newly made the names may differ, too: each needs a counterpart
in the preview, with the same pattern, folder, type, mode, owner and attributes. Never volatile are devices, files with
set-id bits, capabilities or several names, and symbolic links that lead out of their folder.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from hearth.observe._change import ChangeKind
from hearth.observe._node import NodeType
from hearth.plan import path_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hearth.observe._change import Change
    from hearth.observe._node import Node

__all__ = ["NewPaths", "parted", "pattern_of"]

_SET_ID = 0o6000
_WRITTEN = (ChangeKind.MODIFIED, ChangeKind.METADATA, ChangeKind.TOUCHED)


@dataclass(frozen=True, slots=True)
class _New:
    """A volatile path that was made: its pattern, and digests of what is held of itself alone, and with its folder.

    A folder that is new and volatile itself counts by what is held of it, any other one by its path.
    """

    pattern: str
    own: str
    whole: str


class NewPaths:
    """The volatile paths that a step made."""

    def __init__(self) -> None:
        self._found: dict[str, _New] = {}

    @property
    def patterns(self) -> frozenset[str]:
        """The patterns that they match."""
        return frozenset(one.pattern for one in self._found.values())

    def without_counterpart(self, approved: Self) -> Iterator[str]:
        """Yield the paths that have no counterpart among those of the preview; none there counts for two."""
        left = Counter(one.whole for one in approved._found.values())
        others = []
        for path, one in self._found.items():
            same = approved._found.get(path)
            if same is not None and same.own == one.own:
                left[same.whole] -= 1
            else:
                others.append((path, one))
        for path, one in others:
            if left[one.whole] <= 0:
                yield path
            left[one.whole] -= 1

    def _add(self, path: str, node: Node, pattern: str) -> None:
        """Take in a path, after the folder that it lies in."""
        held = (pattern, node.type.value, node.mode, node.uid, node.gid, node.target, sorted(node.xattrs.items()))
        own = _digest(held)
        folder = posixpath.dirname(path)
        above = self._found.get(folder)
        whole = _digest((own, above is not None, folder if above is None else above.whole))
        self._found[path] = _New(pattern, own, whole)


def parted(changes: Sequence[Change], patterns: Sequence[str]) -> tuple[dict[str, Change], NewPaths]:
    """Return the changes that are compared one by one, without what is not held of them, and the new volatile paths."""
    one_by_one: dict[str, Change] = {}
    new = NewPaths()
    for change in sorted(changes, key=lambda one: one.path):
        pattern = pattern_of(change, patterns)
        if pattern is None:
            one_by_one[change.path] = change
        elif change.before is None and change.after is not None:
            new._add(change.path, change.after, pattern)  # noqa: SLF001 - of this file
        else:
            kind = ChangeKind.MODIFIED if change.kind in _WRITTEN else change.kind
            loose = replace(change, kind=kind, before=_loose(change.before), after=_loose(change.after))
            one_by_one[change.path] = loose
    return one_by_one, new


def pattern_of(change: Change, patterns: Sequence[str]) -> str | None:
    """Return the pattern for which a change is compared loosely; None where it is not."""
    if not _may_vary(change.before) or not _may_vary(change.after):
        return None
    return next((pattern for pattern in patterns if path_matches(pattern, change.path)), None)


def _may_vary(node: Node | None) -> bool:
    if node is None or node.type is NodeType.DIRECTORY:
        return True
    if node.type is NodeType.SYMLINK:
        target = node.target or ""
        return not target.startswith("/") and ".." not in target.split("/")
    if node.type in (NodeType.BLOCK, NodeType.CHARACTER):
        return False
    return not node.mode & _SET_ID and "security.capability" not in node.xattrs and node.links == 1


def _loose(node: Node | None) -> Node | None:
    return None if node is None else replace(node, size=None, sha256=None)


def _digest(held: object) -> str:
    return hashlib.sha256(repr(held).encode("utf-8", "surrogatepass")).hexdigest()
