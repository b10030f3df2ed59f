"""File handles: which file of a lower layer one of an upper layer was copied from."""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearth.observe._tree_directory import Directory

__all__ = ["Handle", "handle_of", "handle_of_origin"]

Handle = tuple[int, bytes]
"""A handle's type and its bytes, as name_to_handle_at(2) gives them."""

_MAX_HANDLE = 128
_ORIGIN = struct.Struct("=BBBBB16s")  # struct ovl_fb (fs/overlayfs/overlayfs.h): version, magic, len, flags, type, uuid
_MAGIC = 0xFB


def handle_of_origin(value: bytes) -> Handle | None:
    """Return the handle in an `overlay.origin` attribute; None where the kernel wrote that it could have none."""
    if len(value) <= _ORIGIN.size:
        return None
    _, magic, length, _, kind, _ = _ORIGIN.unpack_from(value)
    return (kind, value[_ORIGIN.size : length]) if magic == _MAGIC else None


def handle_of(directory: Directory, name: str) -> Handle | None:
    """Return the handle of what lies at a name; None where the file system or the platform has none."""
    function = _name_to_handle_at()
    if function is None:
        return None
    buffer = ctypes.create_string_buffer(8 + _MAX_HANDLE)
    struct.pack_into("=Ii", buffer, 0, _MAX_HANDLE, 0)
    mount = ctypes.c_int()
    if function(directory.descriptor(), os.fsencode(name), buffer, ctypes.byref(mount), 0) != 0:
        return None
    length, kind = struct.unpack_from("=Ii", buffer, 0)
    return kind, buffer.raw[8 : 8 + length]


@cache
def _name_to_handle_at() -> Any:  # noqa: ANN401 - ctypes' own type says no more
    try:
        return ctypes.CDLL(None, use_errno=True).name_to_handle_at
    except (AttributeError, OSError, TypeError):
        return None
