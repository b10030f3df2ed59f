"""Removing what a program left, however deep, and whatever it forbids. POSIX."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["remove_tree"]


def remove_tree(folder: Path) -> None:
    """Remove a tree that nobody changes meanwhile; what cannot be removed stays, and nothing is raised.

    Directories may lie deeper than a path can name (PATH_MAX) or a function call itself, and may be closed to their
    owner (overlayfs' own work folder is): each is opened up, and those in it are moved to the top before it goes.
    """
    with suppress(OSError):
        folder.chmod(0o700)
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            names = count()
            while _pass(top, names):
                pass
        finally:
            os.close(top)
        folder.rmdir()


def _pass(top: int, names: Iterator[int]) -> bool:
    """Remove one level; return whether there was any, and any of it went."""
    gone = False
    for name, is_directory in _entries(top):
        with suppress(OSError):
            if is_directory:
                gone |= _empty(top, name, names)
                os.rmdir(name, dir_fd=top)
            else:
                os.unlink(name, dir_fd=top)
            gone = True
    return gone


def _empty(top: int, name: str, names: Iterator[int]) -> bool:
    """Remove the files of a directory, and move its directories up; return whether any went."""
    gone = False
    os.chmod(name, 0o700, dir_fd=top)
    here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry, is_directory in _entries(here):
            with suppress(OSError):
                if is_directory:
                    os.chmod(entry, 0o700, dir_fd=here)  # to move it is to write its ".."
                    os.rename(entry, f".moved-{next(names)}", src_dir_fd=here, dst_dir_fd=top)
                else:
                    os.unlink(entry, dir_fd=here)
                gone = True
    finally:
        os.close(here)
    return gone


def _entries(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
