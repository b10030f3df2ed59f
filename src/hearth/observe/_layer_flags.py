"""Flags of inodes (chattr(1)): what a step set is neither compared nor committed, so it is said."""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.observe._layer_merged import Found, Part, Upper
    from hearth.observe._tree_directory import Directory

__all__ = ["flags_not_kept", "flags_of"]

_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, linux/fs.h
# What a program may set, in the order of their letters in chattr(1). Immutable (i) and append-only (a) it may not.
_LETTERS = {
    "A": 0x80, "C": 0x800000, "D": 0x10000, "P": 0x20000000, "S": 0x8, "T": 0x20000, "c": 0x4, "d": 0x40, "j": 0x4000,
    "m": 0x400, "s": 0x1, "t": 0x8000, "u": 0x2, "x": 0x2000000,
}  # fmt: skip
_SETTABLE = sum(_LETTERS.values())
# Copying up keeps these alone (fs/overlayfs/overlayfs.h, OVL_COPY_FS_FLAGS_MASK); others may be gone by that.
_COPIED = 0x80 | 0x8


def flags_of(directory: Directory, name: str, status: os.stat_result) -> int:
    """Return the flags of a file or directory that a program may set; 0 where the file system has none."""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return 0
    try:
        import fcntl  # this module is imported on other systems, too

        descriptor = directory.open(name)
    except (ImportError, OSError):
        return 0
    try:
        (flags,) = struct.unpack_from("=I", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)))
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return int(flags) & _SETTABLE


def flags_not_kept(upper: Upper, below: Found | None, top: Part) -> str:
    """Return the letters (chattr(1)) of the flags that a layer has otherwise than what lay there; "" for none.

    `top` is the layer's own directory: what is new inherits its flags.
    """
    after = flags_of(upper.part.directory, upper.name, upper.status)
    if below is not None and stat.S_IFMT(below.status.st_mode) == stat.S_IFMT(upper.status.st_mode):
        before = flags_of(below.part.directory, below.name, below.status)
        changed = (after & ~before) | (before & ~after & _COPIED)
    elif after:
        status = top.directory.status(".")
        changed = after & ~(0 if status is None else flags_of(top.directory, ".", status))
    else:
        changed = 0
    return "".join(letter for letter, flag in _LETTERS.items() if changed & flag)
