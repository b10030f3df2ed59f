"""LowerView: the tree that a step finds, which is the host under the layers of the steps before it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from hearth.observe._layer_merged import Merged, Part
from hearth.observe._layer_mounts import LayerMounts
from hearth.observe._layer_names import read_numbers
from hearth.observe._tree_directory import Directories
from hearth.observe._tree_reader import NodeReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from hearth.observe._layer_merged import Found
    from hearth.observe._node import Node
    from hearth.observe._tree_directory import Directory

__all__ = ["LowerView"]

_KEPT = 4096


class LowerView:
    """The host at `host` under the layers `below` (oldest first) of a state folder; a context manager.

    Paths are absolute and plain: no link in them is followed, so a path through a link names nothing. `unseen` are the
    reasons why something could not be read. ObservationError where a layer is malformed, and where `stop` says why to
    end ("": go on). Not for several threads at a time.
    """

    def __init__(
        self, *, state: Path, below: tuple[str, ...] = (), host: Path = Path("/"), stop: Callable[[], str] | None = None
    ) -> None:
        self.reader = NodeReader(stop)
        self.directories = Directories()
        self._layers = tuple(LayerMounts.read(state, layer) for layer in reversed(below))
        # By inode: a later layer says more of what an earlier one, or the host, has.
        self._numbers = {inode: number for layer in below for inode, number in read_numbers(state / layer).items()}
        self._points = {"/"}.union(*(layer.mounts for layer in self._layers))
        self._host = self.directories.root(host)
        self._known: dict[str, Merged | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all descriptors."""
        self.directories.close()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Why something may have gone unseen so far."""
        return tuple(self.reader.unseen)

    def add_points(self, points: Iterable[str]) -> None:
        """Count more mount points as such: those of the layer that lies above these."""
        self._points.update(points)

    def node(self, path: str, *, content: bool = True) -> Node | None:
        """Return what lies at a path; None for nothing."""
        if path in self._points:
            merged = self.merged(path)
            return None if merged is None else self.own_node(merged, path)
        found = self.find(path)
        return None if found is None else self.found_node(found, path, content=content)

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; none where there is no directory."""
        merged = self.merged(path)
        return [] if merged is None else sorted(merged.names(path, self.reader))

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; OSError where there is none, or it is no file."""
        found = self.find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if found.merged is not None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return open(found.part.directory.open(found.name), "rb")  # noqa: PTH123 - a descriptor

    def find(self, path: str) -> Found | None:
        """Return where a path's content lies; None for nothing, and for a mount point."""
        if path in self._points:
            return None
        parent, name = os.path.split(path)
        merged = self.merged(parent)
        return None if merged is None else merged.find(name, path, self.reader)

    def merged(self, path: str) -> Merged | None:
        """Return the merged directory at a path; None where there is no directory."""
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not an absolute path")
        missing: list[str] = []
        here = path
        while here not in self._known and here not in self._points:
            missing.append(os.path.basename(here))  # noqa: PTH119 - a text of any bytes
            here = os.path.dirname(here)  # noqa: PTH120 - as above
        merged = self._known[here] if here in self._known else self._mounted(here)
        while missing and merged is not None:
            name = missing.pop()
            here = f"{here.rstrip('/')}/{name}"
            found = merged.find(name, here, self.reader)
            merged = None if found is None else found.merged
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[path] = merged
        return merged

    def found_node(self, found: Found, path: str, *, content: bool = True) -> Node | None:
        """Return the node of what `find` found."""
        node = self.reader.node(found.part.directory, found.name, path, content=content, status=found.status)
        if node is None or found.merged is not None:
            return node
        return replace(node, links=self.number_of_names(found.status))

    def number_of_names(self, status: os.stat_result) -> int:
        """Return how many names (hard links) the file has that this was told of."""
        return self._numbers.get((status.st_dev, status.st_ino), status.st_nlink)

    def own_node(self, merged: Merged, path: str) -> Node | None:
        """Return a merged directory's own node: the newest layer's."""
        return self.reader.node(merged.parts[0].directory, ".", path)

    def _mounted(self, point: str) -> Merged | None:
        """Return the directory at a mount point; "/" is one, overlaid or not."""
        parts = [
            Part(self.directories.root(layer.upper(point)), layer.prefix)
            for layer in self._layers
            if point in layer.mounts
        ]
        host: Directory = self._host
        for name in filter(None, point.split("/")):
            host = host.child(name)
        parts.append(Part(host, ""))
        return Merged(tuple(parts))
