"""What a program is about to send, read out of its memory, and sent as it was read. Linux, 64 bits."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass

from hearth.observe._linux import system_call

__all__ = ["Message", "address_at", "data_at", "message_at"]

_HEADER = struct.Struct("=QI4xQQQQi4x")  # struct msghdr: name, its size, parts, their number, control, its size, flags
_PART = struct.Struct("=QQ")  # struct iovec
_MOST_PARTS = 1024
_LONGEST = 1 << 17  # twice what a datagram holds
_LONGEST_CONTROL = 1 << 16
_LONGEST_ADDRESS = 128  # struct sockaddr_storage
_SENDMSG = {"x86_64": 46, "aarch64": 211}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the address (empty: none), the bytes, and what is said to the kernel besides."""

    address: bytes
    data: bytes = b""
    control: bytes = b""

    def send(self, descriptor: int, flags: int) -> int:
        """Send it without waiting; return how much was sent. OSError, BlockingIOError among them."""
        held = [ctypes.create_string_buffer(text, len(text) or 1) for text in (self.address, self.data, self.control)]
        address, data, control = map(ctypes.addressof, held)
        part = ctypes.create_string_buffer(_PART.pack(data, len(self.data)), _PART.size)
        header = _HEADER.pack(
            address if self.address else 0,
            len(self.address),
            ctypes.addressof(part),
            1,
            control if self.control else 0,
            len(self.control),
            0,
        )
        number = _SENDMSG[os.uname().machine]
        flags |= socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        return system_call("sendmsg", number, descriptor, ctypes.create_string_buffer(header, len(header)), flags)


def message_at(memory: int, place: int) -> Message:
    """Return the message that a struct msghdr describes; OSError as the kernel would say it."""
    name, name_size, parts, number, control, control_size, _ = _HEADER.unpack(_read(memory, place, _HEADER.size))
    if number > _MOST_PARTS:
        raise _refused(errno.EMSGSIZE)
    if control_size > _LONGEST_CONTROL:
        raise _refused(errno.ENOBUFS)
    data = b""
    for start, size in _PART.iter_unpack(_read(memory, parts, _PART.size * number)):
        if len(data) + size > _LONGEST:
            raise _refused(errno.EMSGSIZE)
        data += _read(memory, start, size)
    # What is longer than an address can be is cut in a message, and refused elsewhere (net/socket.c).
    address = _read(memory, name, min(name_size, _LONGEST_ADDRESS)) if name else b""
    return Message(address, data, _read(memory, control, control_size) if control else b"")


def address_at(memory: int, place: int, size: int) -> bytes:
    """Return the address of a call that is no message; empty where it names none."""
    if not place:
        return b""
    if size & 0xFFFFFFFF > _LONGEST_ADDRESS:
        raise _refused(errno.EINVAL)
    return _read(memory, place, size & 0xFFFFFFFF)


def data_at(memory: int, place: int, size: int) -> bytes:
    """Return what a call that is no message sends."""
    if size > _LONGEST:
        raise _refused(errno.EMSGSIZE)
    return _read(memory, place, size)


def _read(memory: int, place: int, size: int) -> bytes:
    """Return so many bytes at a place; OSError (EFAULT) where they are not all there."""
    try:
        found = os.pread(memory, size, place) if size else b""
    except (OSError, OverflowError):
        raise _refused(errno.EFAULT) from None
    if len(found) < size:
        raise _refused(errno.EFAULT)
    return found


def _refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))
