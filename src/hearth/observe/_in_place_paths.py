"""Which file a system call means: the names that a process gives, as paths of this host. Linux.

The process waits in the call, so its folder, its descriptors and its root are those that the kernel will use.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING

from hearth.observe._linux import system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HERE", "Elsewhere", "PathFinder", "ancestors"]

HERE = -100  # AT_FDCWD
_OPENAT2, _IN_ROOT = 437, 0x10  # openat2(2), the same number on every architecture
_MOST_LINKS = 40  # path_resolution(7)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EBADF)
_DELETED = " (deleted)"
_PATH_MAX = 4096
_TOO_LONG = "it changed files whose paths are longer than 4,096 bytes: they were looked at in new folders alone"


class Elsewhere(Exception):  # noqa: N818 - it is no error
    """What is named lies in a mount namespace of the process' own; the text says so."""


class PathFinder:
    """Finds paths. `proc` is a descriptor of this host's /proc. Names lead through this process' own rights."""

    def __init__(self, proc: int) -> None:
        self._proc = proc
        self._own = f"/proc/{os.getpid()}"
        status = os.stat(f"{os.getpid()}/ns/mnt", dir_fd=proc)
        self._mounts = (status.st_dev, status.st_ino)

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
            root = os.readlink(f"{pid}/root", dir_fd=self._proc)
            start = f"/proc/{pid}/cwd" if folder == HERE else f"/proc/{pid}/fd/{folder}"
            if in_folder:
                root, text = _link(start), "/" + text.lstrip("/")
            elif root != "/":
                start = _link(start)
            return self._resolved(pid, root, start, text, follow=follow)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def descriptor(self, pid: int, number: int) -> str | None:
        """Return the path of what a process has open; None for what has none (a pipe, a file that was removed)."""
        self._require_here(pid)
        where = f"{pid}/fd/{number}"
        try:
            path = _link(f"/proc/{where}")
            status = os.stat(where, dir_fd=self._proc)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        return path if path[:1] == "/" and status.st_nlink else None

    def _require_here(self, pid: int) -> None:
        status = os.stat(f"{pid}/ns/mnt", dir_fd=self._proc)
        if (status.st_dev, status.st_ino) != self._mounts:
            raise Elsewhere("it changed files in a mount namespace of its own: which ones was not observed")

    def _resolved(self, pid: int, root: str, start: str, text: str, *, follow: bool) -> str | None:
        for _ in range(_MOST_LINKS):
            head, _, tail = text.rstrip("/").rpartition("/")
            if text[:1] == "/":
                head = "/" + head.lstrip("/")
            if tail in ("", ".", ".."):
                return self._directory(pid, root, start, text)
            parent = self._directory(pid, root, start, head)
            if parent is None:
                return None
            path = f"{parent.rstrip('/')}/{tail}"
            open_file = self._open_file(parent, tail) if follow else None
            if open_file is not None:
                return open_file or None
            if not (follow or text.endswith("/")) or not stat.S_ISLNK(_mode(path)):
                return path
            text = _link(path)
            start = parent
        return None

    def _open_file(self, parent: str, tail: str) -> str | None:
        """Return what a name in /proc/PID/fd stands for ("": no file of any name); None for other names."""
        parts = parent.split("/")
        if len(parts) < 4 or parts[1] != "proc" or not parts[2].isdecimal():  # noqa: PLR2004 - /proc/PID/fd
            return None
        if parts[-1] == "fd" and tail.isdecimal():
            return self.descriptor(int(parts[2]), int(tail)) or ""
        return None

    def _directory(self, pid: int, root: str, start: str, text: str) -> str | None:
        """Return a folder's own path; None where it was removed. A process' own folder in /proc is told as its own."""
        if text[:1] == "/":
            for own in ("/proc/self", "/proc/thread-self"):
                if text == own or text.startswith(own + "/"):
                    text = f"/proc/{pid}{text[len(own) :]}"
            if root == "/":
                descriptor = os.open(text, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                descriptor = _open_in(root, text)
        elif root == "/":
            descriptor = os.open(f"{start}/{text}" if text else start, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            descriptor = _open_in(root, f"{start.removeprefix(root)}/{text}")
        try:
            found = _link(f"/proc/self/fd/{descriptor}")
            if found.endswith(_DELETED) and os.fstat(descriptor).st_nlink == 0:
                return None
        finally:
            os.close(descriptor)
        if found == self._own or found.startswith(self._own + "/"):
            found = f"/proc/{pid}{found[len(self._own) :]}"
        return found


def _open_in(root: str, text: str) -> int:
    """Open a folder below another root: absolute links lead there, too (openat2(2), RESOLVE_IN_ROOT)."""
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _IN_ROOT)
        return system_call("openat2", _OPENAT2, here, os.fsencode(text), how, len(how))
    finally:
        os.close(here)


def _link(path: str) -> str:
    """Return where a link leads; Elsewhere for what is beyond PATH_MAX."""
    try:
        return os.readlink(path)  # noqa: PTH115 - a text of any bytes
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Elsewhere(_TOO_LONG) from None
        raise


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and len(os.fsencode(path)) >= _PATH_MAX:
            raise Elsewhere(_TOO_LONG) from None
        raise


def ancestors(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first; not the root."""
    while (place := path.rfind("/")) > 0:
        path = path[:place]
        yield path
