"""Merged directories: what overlayfs shows of several layers and the host, found without mounting anything.

Source: Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories, directories, redirect_dir, metacopy).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.observe._tree_reader import attributes_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hearth.observe._tree_directory import Directory
    from hearth.observe._tree_reader import NodeReader

__all__ = ["Found", "Merged", "Part", "Upper"]


@dataclass(frozen=True, slots=True)
class Part:
    """A directory of one layer; `prefix` is what that layer's own attributes begin with, "" on the host."""

    directory: Directory
    prefix: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for: where it lies, what lstat(2) says, and, for a directory, the merged one."""

    part: Part
    name: str
    status: os.stat_result
    merged: Merged | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """A directory as a program sees it: those of each layer, newest first, and the host's."""

    parts: tuple[Part, ...]

    def find(self, name: str, path: str, reader: NodeReader) -> Found | None:
        """Return what a name in here stands for; None for nothing. `path` is for reasons alone."""
        below: Found | None = None
        for part in reversed(self.parts):
            if not part.prefix:
                status = _status(part, name, path, reader)
                if status is not None:
                    child = Merged((Part(part.directory.child(name), ""),)) if stat.S_ISDIR(status.st_mode) else None
                    below = Found(part, name, status, child)
                continue
            upper = Upper.read(part, name, path, reader)
            below = below if upper is None else upper.over(below)
        return below

    def names(self, path: str, reader: NodeReader) -> set[str]:
        """Return the names in here."""
        if len(self.parts) == 1 and not self.parts[0].prefix:
            return set(reader.names(self.parts[0].directory, path))
        every = {name for part in self.parts for name in reader.names(part.directory, path)}
        return {name for name in every if self.find(name, path, reader) is not None}


@dataclass(frozen=True, slots=True)
class Upper:
    """What one layer says of a name: something, or that there is nothing any more.

    `own` are overlayfs' attributes without their prefix, `attributes` all of them.
    """

    part: Part
    name: str
    status: os.stat_result
    attributes: Mapping[str, bytes]
    own: Mapping[str, bytes]
    whiteout: bool

    @classmethod
    def read(cls, part: Part, name: str, path: str, reader: NodeReader) -> Upper | None:
        """Return what a layer says of a name; None where it says nothing."""
        status = _status(part, name, path, reader)
        if status is None:
            return None
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            return cls(part, name, status, {}, {}, whiteout=True)
        attributes = attributes_of(part.directory, name, path, reader)
        prefix = part.prefix
        own = {key.removeprefix(prefix): value for key, value in attributes.items() if key.startswith(prefix)}
        whiteout = False
        if "whiteout" in own and stat.S_ISREG(status.st_mode) and status.st_size == 0:
            mark = attributes_of(part.directory, ".", path, reader)
            whiteout = prefix + "whiteouts" in mark or mark.get(prefix + "opaque") == b"x"
        return cls(part, name, status, attributes, own, whiteout)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_opaque(self) -> bool:
        """Whether it hides the directory of that name below."""
        return self.own.get("opaque") == b"y"

    def over(self, below: Found | None) -> Found | None:
        """Return what is seen of it above `below`."""
        if self.whiteout:
            return None
        merged = None
        if self.is_directory:
            lower = () if self.is_opaque or below is None or below.merged is None else below.merged.parts
            merged = Merged((Part(self.part.directory.child(self.name), self.part.prefix), *lower))
        return Found(self.part, self.name, self.status, merged)


def _status(part: Part, name: str, path: str, reader: NodeReader) -> os.stat_result | None:
    try:
        return part.directory.status(name)
    except OSError as error:
        reader.miss(f"{path} cannot be read: {error.strerror}")
        return None
