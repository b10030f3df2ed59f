"""What goes over the sockets between HEARTH, the server of its sandboxes, and the keeper of each of them."""

from __future__ import annotations

import json
import socket
from typing import Any

__all__ = ["receive", "receive_message", "send", "send_message"]

_LENGTH = 8  # bytes
_MOST_DESCRIPTORS = 32
_PIECE = 1 << 16


def send(to: socket.socket, letter: bytes, descriptors: list[int]) -> None:
    """Send one letter, and descriptors with it."""
    socket.send_fds(to, [letter], descriptors)


def receive(of: socket.socket) -> tuple[bytes, list[int]]:
    """Receive a letter and its descriptors, which no program inherits; no letter when the other end is closed."""
    letter, descriptors, _, _ = socket.recv_fds(of, 1, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return letter, descriptors


def send_message(to: socket.socket, header: dict[str, Any], payload: bytes = b"") -> None:
    """Send a JSON header and bytes."""
    head = json.dumps(header).encode()
    to.sendall(len(head).to_bytes(_LENGTH, "big") + len(payload).to_bytes(_LENGTH, "big") + head + payload)


def receive_message(of: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """Receive what `send_message` sent; None when the other end is closed before."""
    lengths = _exactly(of, 2 * _LENGTH)
    if lengths is None:
        return None
    head = _exactly(of, int.from_bytes(lengths[:_LENGTH], "big"))
    payload = _exactly(of, int.from_bytes(lengths[_LENGTH:], "big"))
    if head is None or payload is None:
        return None
    return dict(json.loads(head)), payload


def _exactly(of: socket.socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        piece = of.recv(min(_PIECE, size - len(content)))
        if not piece:
            return None
        content += piece
    return bytes(content)
