"""The write-ahead log, frame by frame: SQLite ends its reading silently at the first one that is damaged.

Format: sqlite.org, "Database File Format", section 4. A frame carries the salts of the log's header and a checksum over
itself and all before it. Behind the last good one only frames of an earlier use of the file, with other salts, may
follow, or one transaction that was cut off while it was written.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["damaged_log"]

_HEADER = 32
_FRAME = 24
_MAGIC = (0x377F0682, 0x377F0683)


def damaged_log(path: Path) -> str:
    """Return what is wrong with a write-ahead log, "" for nothing (or no log). It must be at rest."""
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    if len(data) < _HEADER:
        return ""
    magic, _, size = struct.unpack(">III", data[:12])
    if magic not in _MAGIC:
        return "its header is damaged, so that nothing in it can be read"
    order = ">" if magic & 1 else "<"
    state = _sum(data[:24], order, (0, 0))
    if state != struct.unpack(">II", data[24:32]):
        return "its header is damaged, so that nothing in it can be read"
    salts, good, first = data[16:24], True, 0
    for number, start in enumerate(range(_HEADER, len(data) - _FRAME - size + 1, size + _FRAME), 1):
        frame = data[start : start + _FRAME]
        if good:
            state = _sum(frame[:8] + data[start + _FRAME : start + _FRAME + size], order, state)
            good = frame[8:16] == salts and state == struct.unpack(">II", frame[16:24])
            first = number
        if not good and frame[8:16] == salts and frame[4:8] != bytes(4):
            return f"frame {first} is damaged, and a commit stands in or behind it: what was stored last may be lost"
    return ""


def _sum(data: bytes, order: str, state: tuple[int, int]) -> tuple[int, int]:
    one, two = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for place in range(0, len(words), 2):
        one = (one + words[place] + two) & 0xFFFFFFFF
        two = (two + words[place + 1] + one) & 0xFFFFFFFF
    return one, two
