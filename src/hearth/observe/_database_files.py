"""What a declared change of rows may do to a database's files: give them another content, and nothing else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hearth.observe._node import Node, NodeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.observe._change import Change

__all__ = ["database_of", "is_change_of_data", "is_change_of_rows"]

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database (sqlite.org/tempfiles.html)
_PERMISSIONS = 0o777
_USUAL = 0o644
_SPECIAL = 0o7000


def database_of(path: str) -> str:
    """Return the path of the database that a file would belong to: its own, or the one that it lies beside."""
    return next((path.removesuffix(end) for end in _BESIDE if path.endswith(end)), path)


def is_change_of_rows(change: Change, changes: Iterable[Change]) -> bool:
    """Whether it is what SQLite itself does to a database's files: another content of regular files.

    Type, permissions, owner, attributes and names are as they were. What is made beside a database has what SQLite
    gives it: the database's permissions without special bits, its owner or ours, no attribute of its own. The
    database is looked for among `changes`, and where it did not change itself, on this machine.
    """
    before, after = change.before, change.after
    if any(node is not None and node.type is not NodeType.FILE for node in (before, after)):
        return False
    if after is None:
        return change.path != database_of(change.path)
    if before is not None:
        return _rights(before) == _rights(after) and after.links <= before.links
    if change.path == database_of(change.path) or after.links > 1:
        return False
    database = _database(database_of(change.path), changes)
    if database is None:  # nobody knows what it would be given: at most what is usual for a new file
        return not after.mode & ~_USUAL and not after.xattrs and _is_ours(after)
    return (
        database.type is NodeType.FILE
        and after.mode == database.mode & _PERMISSIONS
        and (after.uid == database.uid or _is_ours(after))
        and (after.gid == database.gid or _is_ours(after))
        and after.xattrs.items() <= database.xattrs.items()
    )


def is_change_of_data(change: Change) -> bool:
    """Whether a change is one of data: what was there keeps its type and rights, what is new has no special bits."""
    before, after = change.before, change.after
    if after is None:
        return True
    if before is None:
        return not after.mode & _SPECIAL or after.type is NodeType.SYMLINK
    return before.type is after.type and _rights(before) == _rights(after)


def _rights(node: Node) -> tuple[object, ...]:
    return node.mode, node.uid, node.gid, dict(node.xattrs)


def _database(path: str, changes: Iterable[Change]) -> Node | None:
    """Return the database as the step found it, for that is what SQLite goes by; None where there is none."""
    changed = next((one for one in changes if one.path == path), None)
    if changed is not None:
        return changed.before or changed.after
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return Node.of(status) if stat.S_ISREG(status.st_mode) else None


def _is_ours(node: Node) -> bool:
    """Whether it belongs to us, as what we make does, also in a folder that hands its group down."""
    if not hasattr(os, "geteuid"):
        return True
    return node.uid == os.geteuid() and node.gid in (os.getegid(), *os.getgroups())
