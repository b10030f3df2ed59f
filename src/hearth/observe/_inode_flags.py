"""Flags and project of an inode (chattr(1)): what a new file takes over from the one whose place it gets. Linux."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["InodeFlags", "read_flags", "write_flags"]

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS (linux/fs.h)
_GET_MORE, _SET_MORE = 0x801C581F, 0x401C5820  # FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR
_MORE = struct.Struct("=5I8x")  # struct fsxattr
_PROJECT = 3
# The letters of chattr(1): s u c S d A m j t C x. Files that are immutable (i) or take but more (a) lose no name, so
# nothing takes their place; what else there is, folders have, or the file system gives by itself.
_KEPT = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x800000 | 0x2000000


class InodeFlags(NamedTuple):
    """Flags, and the number of the project that a file's room is counted for."""

    flags: int
    project: int


def read_flags(file: int) -> InodeFlags | None:
    """Return those of an open file; None where its file system has none."""
    import fcntl

    try:
        (flags,) = struct.unpack_from("=I", fcntl.ioctl(file, _GET_FLAGS, bytes(8)))
    except OSError:
        return None
    try:
        more = _MORE.unpack(fcntl.ioctl(file, _GET_MORE, bytes(_MORE.size)))
    except OSError:
        return InodeFlags(flags & _KEPT, 0)
    return InodeFlags(flags & _KEPT, more[_PROJECT])


def write_flags(file: int, wanted: InodeFlags) -> bool:
    """Give them to an open file that is still empty (some can be given to no other); whether it has them then."""
    import fcntl

    present = read_flags(file)
    if present == wanted:
        return True
    if present is None:
        return False
    try:
        if present.project != wanted.project:
            more = list(_MORE.unpack(fcntl.ioctl(file, _GET_MORE, bytes(_MORE.size))))
            more[_PROJECT] = wanted.project
            fcntl.ioctl(file, _SET_MORE, _MORE.pack(*more))
        if present.flags != wanted.flags:
            (flags,) = struct.unpack_from("=I", fcntl.ioctl(file, _GET_FLAGS, bytes(8)))
            fcntl.ioctl(file, _SET_FLAGS, struct.pack("=Ixxxx", flags & ~_KEPT | wanted.flags))
    except OSError:
        return False
    return read_flags(file) == wanted
