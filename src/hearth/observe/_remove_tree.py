"""Removing what a program left, however deep, and whatever it forbids. POSIX."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_tree"]


def remove_tree(folder: Path) -> None:
    """Remove a tree that nobody changes meanwhile; what cannot be removed stays, and nothing is raised.

    Directories may lie deeper than a path can name (PATH_MAX), descriptors reach or a function can call itself, and may
    be closed to their owner (overlayfs' own work folder is): each is opened up, and left through its `..`.
    """
    with suppress(OSError):
        folder.chmod(0o700)
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            way: list[str] = []
            left = [_remove_files(here)]  # the directories that are still to be entered, of each one on the way
            while left[-1] or way:
                if left[-1]:
                    name = left[-1].pop()
                    inner = _enter(here, name)
                    if inner < 0:
                        continue
                    os.close(here)
                    here = inner
                    way.append(name)
                    left.append(_remove_files(here))
                else:
                    outer = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
                    os.close(here)
                    here = outer
                    left.pop()
                    _remove_directory(here, way.pop())
        finally:
            os.close(here)
        folder.rmdir()


def _enter(here: int, name: str) -> int:
    """Return a descriptor of a directory, opened up; -1 where that cannot be."""
    try:
        os.chmod(name, 0o700, dir_fd=here)
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    except OSError:
        return -1


def _remove_directory(here: int, name: str) -> None:
    with suppress(OSError):
        os.rmdir(name, dir_fd=here)


def _remove_files(here: int) -> list[str]:
    """Remove all but the directories of a directory, and return their names."""
    with os.scandir(here) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            with suppress(OSError):
                os.unlink(name, dir_fd=here)
    return [name for name, is_directory in found if is_directory]
