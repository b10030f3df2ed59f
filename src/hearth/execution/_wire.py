"""How a command goes to its supervising process: `r`, with its descriptors, then its length and its words.

Both ends use this, so it imports next to nothing.
"""

from __future__ import annotations

import _socket
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Request", "descriptors", "encode_request", "receive_request", "rights"]

_BEGIN = b"r"
_MOST_STREAMS = 5
_LENGTH = 8  # bytes
_PIECE = 1 << 16
_SIZE = 4  # bytes of a descriptor


class Request:
    """What to start: `streams` become the descriptors `targets` of the command; 0 is the null device unless given."""

    __slots__ = ("argv", "cwd", "env", "streams", "targets")

    def __init__(self, words: list[bytes], streams: list[int]) -> None:
        number = int(words[2])
        self.targets = [int(word) for word in words[0].split()]
        self.cwd = words[1]
        self.argv = words[3 : 3 + number]
        self.env = dict(_pair(word) for word in words[3 + number :])
        self.streams = streams


def _pair(word: bytes) -> tuple[bytes, bytes]:
    name, _, value = word.partition(b"=")
    return name, value


def encode_request(
    argv: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str], targets: Iterable[int]
) -> bytes:
    """Return the bytes to send. ValueError for what no command can have: a null byte, a variable's name with `=`."""
    words = [os.fsencode(cwd), b"%d" % len(argv), *map(os.fsencode, argv)]
    for name, value in env.items():
        if "=" in name or not name:
            raise ValueError("illegal environment variable name")
        words.append(os.fsencode(name) + b"=" + os.fsencode(value))
    if any(b"\0" in word for word in words):
        raise ValueError("embedded null byte")
    words.insert(0, b" ".join(b"%d" % target for target in targets))
    content = b"\0".join(words)
    return _BEGIN + len(content).to_bytes(_LENGTH, "big") + content


def receive_request(control: _socket.socket) -> Request | None:
    """Wait for a whole request; None when the other end is closed before."""
    space = _socket.CMSG_SPACE(_MOST_STREAMS * _SIZE)
    try:
        _, ancillary, _, _ = control.recvmsg(len(_BEGIN), space, _socket.MSG_CMSG_CLOEXEC)
        streams = descriptors(ancillary)
        content = _exactly(control, int.from_bytes(_exactly(control, _LENGTH), "big"))
    except OSError:
        return None
    return Request(content.split(b"\0"), streams)


def _exactly(control: _socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = control.recv(min(_PIECE, size - len(content)))
        if not piece:
            raise BrokenPipeError
        content += piece
    return bytes(content)


def rights(handles: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that passes descriptors on."""
    data = b"".join(handle.to_bytes(_SIZE, sys.byteorder) for handle in handles)
    return [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)] if data else []


def descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a message."""
    return [
        int.from_bytes(data[place : place + _SIZE], sys.byteorder)
        for level, kind, data in ancillary
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS
        for place in range(0, len(data) - len(data) % _SIZE, _SIZE)
    ]
