"""Directories held by descriptors: any depth, any name, and no link is followed on the way."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Directories", "Directory"]

_RELATIVE = os.open in os.supports_dir_fd
_GONE = (FileNotFoundError, NotADirectoryError)


class Directory:
    """One directory below a root, known by its parent and its name; `Directories` opens it when it is needed.

    Every method raises OSError where the directory itself cannot be reached any more.
    """

    __slots__ = ("_directories", "name", "parent")

    def __init__(self, directories: Directories, name: str, parent: Directory | None) -> None:
        self._directories = directories
        self.name = name
        self.parent = parent

    def child(self, name: str) -> Directory:
        """Return the directory of that name in here; whether there is one shows when it is used."""
        return Directory(self._directories, name, self)

    def names(self) -> list[str]:
        """Return the names in here, in no order."""
        if not _RELATIVE:
            with os.scandir(self._path()) as entries:
                return [entry.name for entry in entries]
        descriptor = os.open(
            ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directories.descriptor(self)
        )
        try:
            with os.scandir(descriptor) as entries:
                return [entry.name for entry in entries]
        finally:
            os.close(descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """Return what lstat(2) says of a name in here; None where there is none. `.` is the directory itself."""
        try:
            if not _RELATIVE:
                return os.lstat(os.path.join(self._path(), name))  # noqa: PTH118 - texts of any bytes
            descriptor = self._directories.descriptor(self)
            # Looking up `.` would need the right to search the directory; its descriptor needs none.
            return os.fstat(descriptor) if name == "." else os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except _GONE:
            return None

    def target(self, name: str) -> str:
        """Return where a symbolic link points to."""
        if not _RELATIVE:
            return os.readlink(os.path.join(self._path(), name))  # noqa: PTH115, PTH118 - texts of any bytes
        return os.readlink(name, dir_fd=self._directories.descriptor(self))

    def open(self, name: str) -> int:
        """Open a file for reading and return its descriptor; a pipe that has come in its place does not block.

        The time of the last access stays where the file is ours to ask that for.
        """
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if not _RELATIVE:
            return os.open(os.path.join(self._path(), name), flags)  # noqa: PTH118 - texts of any bytes
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        parent = self._directories.descriptor(self)
        try:
            return os.open(name, flags | getattr(os, "O_NOATIME", 0), dir_fd=parent)
        except PermissionError:
            return os.open(name, flags, dir_fd=parent)

    def descriptor(self) -> int:
        """Return a descriptor of the directory (O_PATH where there is that), good until the next call of any method."""
        return self._directories.descriptor(self)

    def _path(self) -> str:
        parts = []
        here: Directory | None = self
        while here is not None:
            parts.append(here.name)
            here = here.parent
        return os.path.join(*reversed(parts))  # noqa: PTH118 - a text of any bytes


class Directories:
    """The descriptors of directories that were used last; others are opened again from their parents when needed.

    So a tree deeper than PATH_MAX or than the number of descriptors can be walked. Not for several threads at a time.
    """

    def __init__(self, at_most: int = 128) -> None:
        self._at_most = max(2, at_most)
        self._open: OrderedDict[Directory, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def root(self, path: str | os.PathLike[str]) -> Directory:
        """Return the directory at `path`, the links of which are followed."""
        return Directory(self, os.fspath(path), None)

    def descriptor(self, directory: Directory) -> int:
        """Return a descriptor of a directory, good until the next call."""
        known = self._open.get(directory)
        if known is not None:
            self._open.move_to_end(directory)
            return known
        missing = [directory]
        here = directory.parent
        while here is not None and here not in self._open:
            missing.append(here)
            here = here.parent
        descriptor = self._opened(missing.pop(), None if here is None else self._open[here])
        while missing:
            descriptor = self._opened(missing.pop(), descriptor)
        return descriptor

    def close(self) -> None:
        """Close all of them; a directory that is used afterwards is opened again."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _opened(self, directory: Directory, parent: int | None) -> int:
        flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
        if parent is not None:
            flags |= os.O_NOFOLLOW
        descriptor = os.open(directory.name, flags, dir_fd=parent)
        self._open[directory] = descriptor
        if len(self._open) > self._at_most:
            os.close(self._open.popitem(last=False)[1])
        return descriptor
