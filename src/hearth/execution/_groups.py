"""Who is in a process group, and when a process exits."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["exit_descriptor", "group_exists", "members"]

_PROC = Path("/proc")
_DEAD = frozenset("ZXx")


def group_exists(group: int) -> bool:
    """Whether any process of the group lives; dead ones that nobody has waited for do not count, where one can tell."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return members(group) > 0


def members(group: int) -> int:
    """Return how many processes of the group live; 1 where the platform does not tell."""
    if not _PROC.joinpath("self/stat").exists():
        return 1
    return sum(1 for entry in os.scandir(_PROC) if entry.name.isdigit() and _is_member(entry.name, group))


def _is_member(pid: str, group: int) -> bool:
    try:
        status = _PROC.joinpath(pid, "stat").read_bytes()
    except OSError:
        return False  # it has just ended
    # `pid (name) state ppid pgrp …`; a name may hold spaces and parentheses.
    fields = status.rpartition(b")")[2].split()
    return int(fields[2]) == group and fields[0].decode("ascii") not in _DEAD


def exit_descriptor(pid: int) -> int:
    """Return a descriptor that becomes readable when the process exits, or -1 where there is none."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel, a filter, no descriptor left: one can look from time to time instead
        return -1
