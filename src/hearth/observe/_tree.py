"""Trees: what lies in a folder and below it, a digest of all that, and what became of it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from hearth.observe._change import Change
from hearth.observe._node import NodeType, path_to_json
from hearth.observe._tree_directory import Directories
from hearth.observe._tree_reader import NodeReader
from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hearth.observe._node import Node
    from hearth.observe._tree_directory import Directory

__all__ = ["compare", "scan", "tree_digest"]


def scan(
    root: Path, *, content: bool = True, skip: Sequence[str] = (), unseen: list[str] | None = None
) -> dict[str, Node]:
    """Return every path from `root` on (itself among them) with its node.

    The paths begin with `root` as it was given; no link below it is followed, and mounted file systems are walked
    through. `content=False` leaves files unread (`sha256` is None). What is in `skip` (paths), and all below, is left
    out. What cannot be read stands in `unseen` as a reason in words; what vanishes meanwhile is not there.
    """
    reader = NodeReader()
    found: dict[str, Node] = {}
    left_out = frozenset(skip)
    with Directories() as directories:
        top = os.fspath(root)
        first = directories.root(top)
        waiting: list[tuple[str, Directory]] = []
        node = reader.node(first, ".", top, content=content)
        if node is None:  # a root that is no directory is its own whole tree
            parent, name = os.path.split(os.path.abspath(top))  # noqa: PTH100 - texts of any bytes
            node = reader.node(directories.root(parent), name, top, content=content)
        elif top not in left_out:
            waiting.append((top, first))
        if node is not None and top not in left_out:
            found[top] = node
        while waiting:
            path, directory = waiting.pop()
            for name in reader.names(directory, path):
                below = f"{path}/{name}" if path != "/" else f"/{name}"
                if below in left_out:
                    continue
                node = reader.node(directory, name, below, content=content)
                if node is None:
                    continue
                found[below] = node
                if node.type is NodeType.DIRECTORY:
                    waiting.append((below, directory.child(name)))
    if unseen is not None:
        unseen.extend(reader.unseen)
    return found


def tree_digest(root: Path) -> str:
    """Return a SHA-256 (hex) of everything from `root` on, wherever it lies: two trees that compare equal have one.

    It covers the RFC 8785 form of each node in the order of the paths' bytes, relative to `root`. Times count for files
    alone, how many names an inode has does not (as in `compare`).
    """
    digest = hashlib.sha256(b"HEARTH-tree-v1\0")
    top = os.fspath(root)
    for path, node in sorted(scan(root).items(), key=lambda item: os.fsencode(item[0])):
        document = node.to_dict()
        document.pop("links", None)
        if node.type is not NodeType.FILE:
            document.pop("mtime_ns", None)
        digest.update(canonical_bytes([path_to_json(path[len(top) :].lstrip("/")), document]) + b"\n")
    return digest.hexdigest()


def compare(before: Mapping[str, Node], after: Mapping[str, Node]) -> tuple[Change, ...]:
    """Return what became of each path between two scans, sorted by the paths' bytes."""
    paths = sorted({*before, *after}, key=os.fsencode)
    changes = (Change.between(path, before.get(path), after.get(path)) for path in paths)
    return tuple(change for change in changes if change is not None)
