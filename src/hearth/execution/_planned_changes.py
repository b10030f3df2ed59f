"""What a file step is about to do to paths, and what it did: as changes that can be held against a declaration."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.observe import Change, ChangeKind, Node, NodeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.execution._task import Task
    from hearth.plan import Step

__all__ = ["PlannedChanges"]

_FILE, _FOLDER = 0o644, 0o755


class PlannedChanges:
    """The paths of one file step as they are before it, to be compared with what they are after it.

    Contents are told apart by size and time of change: what the step itself kept and hashed is in its own effects.
    """

    def __init__(self, task: Task, step: Step, cwd: Path) -> None:
        """TaskError for paths that cannot be known before, as the task says."""
        acts_on = getattr(task, "acts_on", None)
        named = () if acts_on is None else acts_on(step.params, cwd)
        paths = [target.removeprefix("file:") for target in named if target.startswith("file:/")]
        self._gone = {path for path in paths if os.path.realpath(cwd / str(step.params.get("move", ""))) == path}
        if "delete" in step.params:
            self._gone.update(paths)
        folders = _missing_folders(set(paths) - self._gone) if step.params.get("parents") else []
        self._before = {path: _node(path) for path in [*folders, *paths]}
        self._folders = set(folders)

    def planned(self) -> tuple[Change, ...]:
        """Return what the step is about to do, as far as its parameters say."""
        return tuple(filter(None, (self._planned(path, node) for path, node in self._before.items())))

    def made(self) -> tuple[Change, ...]:
        """Return what became of the paths."""
        return _sorted(Change.between(path, before, _node(path)) for path, before in self._before.items())

    def _planned(self, path: str, before: Node | None) -> Change | None:
        if path in self._gone:
            return Change.between(path, before, None)
        if before is None:
            folder = path in self._folders
            node = _new(NodeType.DIRECTORY, _FOLDER) if folder else replace(_new(NodeType.FILE, _FILE), size=0)
            return Change(path=path, kind=ChangeKind.CREATED, before=None, after=node)
        return Change(path=path, kind=ChangeKind.MODIFIED, before=before, after=before)


def _sorted(changes: Iterable[Change | None]) -> tuple[Change, ...]:
    return tuple(sorted(filter(None, changes), key=lambda change: change.path))


def _new(kind: NodeType, mode: int) -> Node:
    return Node(type=kind, mode=mode, uid=os.geteuid(), gid=os.getegid())


def _node(path: str) -> Node | None:
    try:
        return Node.of(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _missing_folders(paths: Iterable[str]) -> list[str]:
    """Return the folders on the way to these paths that are not there yet."""
    found = {str(folder) for path in paths for folder in Path(path).parents if not folder.exists()}
    return sorted(found)
