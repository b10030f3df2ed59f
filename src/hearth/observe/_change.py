"""Change: what became of one path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from hearth.observe._node import Node, path_from_json, path_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Change", "ChangeKind"]


class ChangeKind(StrEnum):
    """What became of a path.

    A REPLACED path has another type than before, METADATA is mode, owner or extended attributes alone, TOUCHED the time
    of a file's last change alone.
    """

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    REPLACED = "replaced"
    METADATA = "metadata"
    TOUCHED = "touched"

    @property
    def words(self) -> str:
        """What is said of a path: that it `was` this."""
        return {
            ChangeKind.REPLACED: "replaced by something of another type",
            ChangeKind.METADATA: "given other permissions, owner or attributes",
            ChangeKind.TOUCHED: "given another time of change",
        }.get(self, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One absolute path, and what lay there before and lies there after (None: nothing)."""

    path: str
    kind: ChangeKind
    before: Node | None
    after: Node | None

    @classmethod
    def between(cls, path: str, before: Node | None, after: Node | None) -> Self | None:
        """Return what became of a path; None where nothing did that lasts.

        A directory's own time of change says no more than that something in it changed, so it alone is nothing.
        """
        if before is None or after is None:
            if before is after:
                return None
            kind = ChangeKind.CREATED if before is None else ChangeKind.DELETED
        elif before.type is not after.type:
            kind = ChangeKind.REPLACED
        elif before != after:
            same = (before.size, before.sha256, before.target, before.device)
            content = same != (after.size, after.sha256, after.target, after.device)
            kind = ChangeKind.MODIFIED if content else ChangeKind.METADATA
        elif before.mtime_ns != after.mtime_ns and before.type.value == "file":
            kind = ChangeKind.TOUCHED
        else:
            return None
        return cls(path=path, kind=kind, before=before, after=after)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form. When a file was written stands there only where that is all that changed.

        So two runs that did the same have the same manifest.
        """
        return {
            "path": path_to_json(self.path),
            "kind": str(self.kind),
            "before": self._told(self.before),
            "after": self._told(self.after),
        }

    def _told(self, node: Node | None) -> dict[str, Any] | None:
        if node is None:
            return None
        document = node.to_dict()
        if self.kind is not ChangeKind.TOUCHED:
            document.pop("mtime_ns", None)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        before, after = document["before"], document["after"]
        return cls(
            path=path_from_json(document["path"]),
            kind=ChangeKind(document["kind"]),
            before=None if before is None else Node.from_dict(before),
            after=None if after is None else Node.from_dict(after),
        )
