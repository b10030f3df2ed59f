"""System calls that the commit needs and `os` lacks, and folders opened without following a link. Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Folders", "exchange", "mount_points", "rename_new", "sync_all"]

_OPENAT2 = 437  # the same on every architecture but Alpha
_NO_SYMLINKS = 0x04
_NOREPLACE, _EXCHANGE = 1, 2
_CHUNK = 3000  # openat2(2) takes no path of PATH_MAX bytes or more
_LACKING = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> Any:  # noqa: ANN401 - ctypes has no better type
    return ctypes.CDLL(None, use_errno=True)


def _failed(*names: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), *names[:1])


def _rename(folder: int, old: str, new: str, flags: int) -> None:
    libc = _libc()
    if not hasattr(libc, "renameat2"):  # musl before 1.2.5
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(folder, os.fsencode(old), folder, os.fsencode(new), ctypes.c_uint(flags)):
        raise _failed(old)


def rename_new(folder: int, old: str, new: str) -> None:
    """Give a thing a name that nothing has yet, within one folder; FileExistsError where something has (rename(2))."""
    try:
        _rename(folder, old, new, _NOREPLACE)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        with suppress(FileNotFoundError):
            os.stat(new, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def exchange(folder: int, one: str, other: str) -> bool:
    """Swap two names of a folder at once (rename(2), RENAME_EXCHANGE); False where the file system cannot."""
    try:
        _rename(folder, one, other, _EXCHANGE)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        return False
    return True


def sync_all(folder: int) -> None:
    """Make durable what was written to the file system that a folder lies on (syncfs(2)), or to all of them."""
    libc = _libc()
    if hasattr(libc, "syncfs"):
        if libc.syncfs(folder):
            raise _failed()
    else:
        os.sync()


def mount_points() -> frozenset[str]:
    """Return where file systems are mounted, as this process sees it (proc_pid_mountinfo(5))."""
    found = set()
    with suppress(OSError), Path("/proc/self/mountinfo").open("rb") as file:
        for line in file:
            name = line.split(b" ")[4]
            for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
                name = name.replace(code, byte)
            found.add(os.fsdecode(name))
    return frozenset(found)


class Folders:
    """Folders by their absolute path, as descriptors (O_PATH) that stay what they are when a name is put elsewhere.

    `openat2` with RESOLVE_NO_SYMLINKS where there is that, else one O_NOFOLLOW open for each component: a link on the
    way is a NotADirectoryError (ELOOP or ENOTDIR). Paths may be longer than PATH_MAX. With `links` they are followed. A
    descriptor is good until `_MOST` others were asked for.
    """

    _MOST = 256

    def __init__(self, *, links: bool = False) -> None:
        self._links = links
        self._open: OrderedDict[str, int] = OrderedDict()
        self._has_openat2 = not links

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def open(self, path: str) -> int:
        """Return a descriptor of a folder; OSError where there is none."""
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        found = self._walk(path)
        self._open[path] = found
        if len(self._open) > self._MOST:
            os.close(self._open.popitem(last=False)[1])
        return found

    def at(self, path: str) -> tuple[int, str]:
        """Return the folder that holds a path, and the path's name in it."""
        parent, _, name = path.rpartition("/")
        return (self.open(parent or "/"), name) if name else (self.open("/"), ".")

    def forget(self, path: str) -> None:
        """Close a folder that has gone or moved, and all below it."""
        for known in [one for one in self._open if one == path or one.startswith(path + "/")]:
            os.close(self._open.pop(known))

    def readable(self, path: str) -> int:
        """Return a new descriptor that can be listed and synced; the caller closes it."""
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.open(path))

    def sync(self, path: str) -> None:
        """Make the names in a folder durable, where it can be opened for that."""
        try:
            descriptor = self.readable(path)
        except PermissionError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _walk(self, path: str) -> int:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        here = os.open("/", flags)
        chunk: list[str] = []
        size = 0
        for name in [*path.split("/"), None]:
            if name is None or size > _CHUNK:
                try:
                    there = self._step(here, chunk, flags) if chunk else os.dup(here)
                finally:
                    os.close(here)
                here, chunk, size = there, [], 0
            if name:
                chunk.append(name)
                size += 4 * len(name) + 1
        return here

    def _step(self, here: int, names: list[str], flags: int) -> int:
        if self._links:
            return os.open("/".join(names), flags, dir_fd=here)
        if self._has_openat2:
            how = _OpenHow(flags, 0, _NO_SYMLINKS)
            path = os.fsencode("/".join(names))
            found = _libc().syscall(_OPENAT2, here, path, ctypes.byref(how), ctypes.sizeof(how))
            if found >= 0:
                return int(found)
            error = _failed("/".join(names))
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(*error.args, error.filename)
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise error
            self._has_openat2 = False  # before Linux 5.6, or a filter of system calls that does not know it
        here = os.dup(here)
        for name in names:
            try:
                there = os.open(name, flags | os.O_NOFOLLOW, dir_fd=here)
            finally:
                os.close(here)
            here = there
            if not stat.S_ISDIR(os.fstat(here).st_mode):  # pragma: no cover - O_DIRECTORY says so before
                os.close(here)
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        return here
