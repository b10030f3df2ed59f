"""Reading a file's lines in bounded memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHUNK", "chunks", "whole_lines"]

CHUNK = 1 << 20
"""How much is read at a time, in bytes."""


def chunks(descriptor: int) -> Iterator[bytes]:
    """Yield what an open file holds, from its beginning, at positions of its own: others may move the descriptor's."""
    position = 0
    while True:
        if hasattr(os, "pread"):
            chunk = os.pread(descriptor, CHUNK, position)
        else:  # Windows: nobody else has this copy
            copy = os.dup(descriptor)
            os.lseek(copy, position, os.SEEK_SET)
            chunk = os.read(copy, CHUNK)
            os.close(copy)
        if not chunk:
            return
        position += len(chunk)
        yield chunk


def whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines (without LF) of a text that comes in pieces; a last one that no LF ends is left out."""
    rest = b""
    for chunk in pieces:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
