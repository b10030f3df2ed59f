"""Which file a system call means: the names that a process gives, as paths of this host. Linux.

The process waits in the call, so its folder, its descriptors and its root are those that the kernel will use. Most
names lead through folders that mean the same to everybody; those are opened at once. What leads through a link of
/proc, to /proc, or starts below another root is followed by hand (`_in_place_walk`).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from hearth.observe._in_place_walk import HIDDEN, KERNEL, PROC, Elsewhere, file_system, own_path, walk
from hearth.observe._linux import system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HERE", "Elsewhere", "KernelPath", "PathFinder", "ancestors"]

HERE = -100  # AT_FDCWD
_OPENAT2, _NO_MAGIC_LINKS = 437, 0x02  # openat2(2), the same number on every architecture
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EBADF)
_DELETED = " (deleted)"
_PATH_MAX = 4096
_TOO_LONG = "it changed files whose paths are longer than 4,096 bytes: they were looked at in new folders alone"
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0
_HOW = struct.pack("=QQQ", _FOLDER, 0, _NO_MAGIC_LINKS)


class KernelPath(str):
    """A path on a file system of the kernel's own (/proc, /sys, …), wherever that is mounted."""

    __slots__ = ()


class PathFinder:
    """Finds paths. `proc` is a descriptor of this host's /proc. Names lead through this process' own rights."""

    def __init__(self, proc: int) -> None:
        self._proc = proc
        self._mounts = self._key(f"{os.getpid()}/ns/mnt")
        self._root = self._key(f"{os.getpid()}/root")

    def find(self, pid: int, folder: int, name: bytes, *, follow: bool, in_folder: bool = False) -> str | None:
        """Return the path that a process means by a name; None where the call cannot get anywhere.

        The folders on the way are told without links. A link at the end is followed if the call does that, and where it
        leads to nothing that is what would be made. `in_folder` says that the folder is its root (RESOLVE_IN_ROOT).
        OSError where it cannot be told; Elsewhere.
        """
        self._require_here(pid)
        text = os.fsdecode(name)
        if not text:
            return None
        try:
            if not in_folder and self._has_our_root(pid):
                found = self._at_once(pid, folder, text, follow=follow)
                if found is not None:
                    return found
            descriptor, last = self._walked(pid, folder, text, follow=follow, in_folder=in_folder)
            try:
                return self._path(descriptor, last)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def status(self, pid: int, folder: int, name: bytes) -> os.stat_result:
        """Return what lies where a name leads to, links followed. OSError; Elsewhere."""
        descriptor, last = self._walked(pid, folder, os.fsdecode(name), follow=True, in_folder=False)
        try:
            return os.lstat(last, dir_fd=descriptor) if last else os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def descriptor(self, pid: int, number: int) -> str | None:
        """Return the path of what a process has open; None for what has none (a pipe, a file that was removed)."""
        self._require_here(pid)
        try:
            descriptor = os.open(f"{pid}/fd/{number}", os.O_PATH | os.O_CLOEXEC, dir_fd=self._proc)
            try:
                return self._path(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def _require_here(self, pid: int) -> None:
        if self._key(f"{pid}/ns/mnt") != self._mounts:
            raise Elsewhere("it changed files in a mount namespace of its own: which ones was not observed")

    def _has_our_root(self, pid: int) -> bool:
        return os.readlink(f"{pid}/root", dir_fd=self._proc) == "/" and self._key(f"{pid}/root") == self._root

    def _key(self, name: str) -> tuple[int, int]:
        status = os.stat(name, dir_fd=self._proc)
        return status.st_dev, status.st_ino

    def _at_once(self, pid: int, folder: int, text: str, *, follow: bool) -> str | None:
        """Return the path where a name leads through nothing that means something else to the process; else None."""
        bare = text.rstrip("/")
        head, slash, tail = bare.rpartition("/")
        if tail in ("", ".", ".."):
            return None
        absolute = text[:1] == "/"
        here = HERE if absolute else os.open(self._start(pid, folder), _FOLDER, dir_fd=self._proc)
        try:
            if slash:
                there = _open_plain(here, head or "/")
                if there < 0:
                    return None
                if here >= 0:
                    os.close(here)
                here = there
            if (follow or bare != text) and stat.S_ISLNK(_mode(tail, here)):
                return None
            return self._path(here, tail, plain=True)
        finally:
            if here >= 0:
                os.close(here)

    def _start(self, pid: int, folder: int) -> str:
        return f"{pid}/cwd" if folder == HERE else f"{pid}/fd/{folder}"

    def _walked(self, pid: int, folder: int, text: str, *, follow: bool, in_folder: bool) -> tuple[int, str]:
        opened: list[int] = []
        try:
            if in_folder or text[:1] != "/":
                opened.append(os.open(self._start(pid, folder), _FOLDER, dir_fd=self._proc))
            if not in_folder:
                opened.append(os.open(f"{pid}/root", _FOLDER, dir_fd=self._proc))
            return walk(pid, self._proc, (opened[-1], opened[0]), text, follow=follow)
        finally:
            for one in opened:
                os.close(one)

    def _path(self, descriptor: int, last: str = "", *, plain: bool = False) -> str | None:
        """Return the path of what is open, or of a name in it; None for what has none.

        With `plain` also None for what lies on a /proc. Elsewhere where the path leads to something else, for it lies
        below another mount, or was mounted for other processes alone.
        """
        try:
            found = own_path(descriptor)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise Elsewhere(_TOO_LONG) from None
            raise
        if found[:1] != "/" or not _leads_to(found, descriptor):
            return None
        kind = file_system(descriptor)
        if plain and kind == PROC:
            return None
        if last:
            found = f"{found.rstrip('/')}/{last}"
            if len(os.fsencode(found)) >= _PATH_MAX:
                raise Elsewhere(_TOO_LONG)
        return KernelPath(found) if kind in KERNEL else found


def _leads_to(path: str, descriptor: int) -> bool:
    """Whether a path leads to what is open; not where that was removed. Elsewhere where it leads to something else."""
    status = os.fstat(descriptor)
    with suppress(FileNotFoundError, NotADirectoryError):
        there = os.lstat(path)
        if there.st_ino == status.st_ino and there.st_dev == status.st_dev:
            return True
    if status.st_nlink == 0 and path.endswith(_DELETED):
        return False
    raise Elsewhere(HIDDEN)


def _open_plain(here: int, text: str) -> int:
    """Open a folder that no link of /proc leads to; -1 where there is none, or the kernel cannot tell (Linux 5.6)."""
    try:
        return system_call("openat2", _OPENAT2, here, os.fsencode(text), _HOW, len(_HOW))
    except OSError:
        return -1


def _mode(name: str, folder: int) -> int:
    try:
        return os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return 0


def ancestors(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first; not the root."""
    while (place := path.rfind("/")) > 0:
        path = path[:place]
        yield path
