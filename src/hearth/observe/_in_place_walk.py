"""A name that a process gives, followed one step after the other as the kernel follows it for that process. Linux.

To open such a name here would not do: `/proc/self` is this process then, and another root is not its root. So links are
read and followed by hand (path_resolution(7)), and what /proc has of a process is taken from the caller's. A /proc is
known by its file system, whatever leads there: a descriptor, a link, another mount of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from functools import cache

from hearth.observe._linux import system_call

__all__ = ["HIDDEN", "KERNEL", "PROC", "Elsewhere", "file_system", "own_path", "walk"]

_FSTATFS = {"x86_64": 138, "aarch64": 44}
_STATFS_BYTES = 120
PROC = 0x9FA0  # statfs(2)
# File systems that are the kernel's own: to write there is to tell the kernel to do something.
KERNEL = frozenset(
    {
        PROC, 0x62656572, 0x27E0EB, 0x63677270, 0x64626720, 0x74726163,  # sysfs, cgroups (both), debugfs, tracefs
        0x73636673, 0x62656570, 0xCAFE4A11, 0xF97CFF8C, 0xDE5E81E4,  # securityfs, configfs, bpf, selinuxfs, efivarfs
        0x42494E4D, 0x6165676C, 0x7655821,  # binfmt_misc, pstore, resctrl
    }
)  # fmt: skip
_TOP_OF_PROC = 1  # the number of a /proc's own inode, fs/proc (PROC_ROOT_INO)
_MOST_LINKS = 40  # path_resolution(7)
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC if hasattr(os, "O_PATH") else 0
HIDDEN = "it changed files that no path of this host leads to: which ones was not observed"
_OTHER_PROC = "it named files by a /proc of other processes than this host's: which ones was not observed"


class Elsewhere(Exception):  # noqa: N818 - it is no error
    """What is named has no path on this host that is known; the text says so."""


def file_system(descriptor: int) -> int:
    """Return the type of the file system that something lies on (statfs(2))."""
    number, held = _statfs()
    system_call("fstatfs", number, descriptor, held)
    return int.from_bytes(held.raw[:4], sys.byteorder)


@cache
def _statfs() -> tuple[int, ctypes.Array[ctypes.c_char]]:
    """Return the call's number and its buffer: an observer has one thread."""
    return _FSTATFS[os.uname().machine], ctypes.create_string_buffer(_STATFS_BYTES)


def walk(  # noqa: C901 - one branch for each kind of name
    pid: int, proc: int, places: tuple[int, int], name: str, *, follow: bool
) -> tuple[int, str]:
    """Return a descriptor of the folder that a name leads to, to be closed, and the last name in it.

    The last name is "" where the descriptor is what was named itself. `pid` is the thread that gives the name, `proc`
    this host's /proc, `places` are descriptors of the thread's root and of the folder that relative names start at.
    A link at the end is followed with `follow`; what does not exist may be the last alone. OSError as the kernel gives
    it; Elsewhere.
    """
    root, start = places
    links = 0
    follow = follow or name.endswith("/")
    names = [one for one in name.rstrip("/").split("/")[::-1] if one not in ("", ".")]
    ends_in_itself = name.rstrip("/").rpartition("/")[2] in ("", ".")  # a folder, told by what leads to it
    here = os.dup(root if name[:1] == "/" else start)
    try:
        while names:
            one = names.pop()
            last = not names and not ends_in_itself
            if one == "..":
                if not _is_same(here, root):
                    here = _to(here, os.open("..", _FOLDER, dir_fd=here))
                continue
            try:
                mode = os.lstat(one, dir_fd=here).st_mode
            except FileNotFoundError:
                if last:
                    return here, one
                raise
            if last and not (follow and stat.S_ISLNK(mode)):
                return here, one
            if not stat.S_ISLNK(mode):
                here = _to(here, os.open(one, _FOLDER | os.O_NOFOLLOW, dir_fd=here))
                continue
            links += 1
            target = _target(pid, proc, here, one, links)
            if target is None:
                here = _to(here, os.open(one, os.O_PATH | os.O_CLOEXEC, dir_fd=here))
                continue
            if target[:1] == "/":
                here = _to(here, os.dup(root))
            names += [part for part in target.split("/")[::-1] if part not in ("", ".")]
    except BaseException:
        os.close(here)
        raise
    return here, ""


def _target(pid: int, proc: int, folder: int, name: str, links: int) -> str | None:
    """Return the text of a link; None for one of /proc that leads somewhere without one: the kernel has to follow it.

    Of a /proc itself `self` and `thread-self` are the caller's. `links` is how many were met, this one included.
    """
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if file_system(folder) != PROC:
        return os.readlink(name, dir_fd=folder)
    if os.fstat(folder).st_ino != _TOP_OF_PROC:
        return None
    if name not in ("self", "thread-self"):
        return os.readlink(name, dir_fd=folder)
    try:
        known = os.readlink("self", dir_fd=folder) == str(os.getpid())
    except OSError:
        known = False
    if not known:
        raise Elsewhere(_OTHER_PROC)
    group = _group(pid, proc)
    return group if name == "self" else f"{group}/task/{pid}"


def _group(pid: int, proc: int) -> str:
    """Return the process that a thread belongs to."""
    descriptor = os.open(f"{pid}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        content = os.read(descriptor, 1 << 12)
    finally:
        os.close(descriptor)
    return content.partition(b"\nTgid:")[2].partition(b"\n")[0].strip().decode()


def _is_same(one: int, other: int) -> bool:
    """Whether both are the same folder, at the same place (it may be mounted at several)."""
    first, second = os.fstat(one), os.fstat(other)
    if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
        return False
    return own_path(one) == own_path(other)


def own_path(descriptor: int) -> str:
    """Return what the kernel calls what this process has open (proc(5), /proc/PID/fd). OSError beyond PATH_MAX."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - a text of any bytes


def _to(here: int, there: int) -> int:
    os.close(here)
    return there
