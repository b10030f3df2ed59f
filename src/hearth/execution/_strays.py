"""The last resort: processes of a step found by what stands in their environment.

Used when the supervising process of a command was killed itself, so that nobody knows any more who descends from it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from hearth.execution._kin import look, process_ids, signal_family, signal_process

__all__ = ["MARK", "kill_marked", "new_mark"]

MARK = "HEARTH_STEP"  # the variable
_PAUSE = 0.005
_EMPTY_LOOKS = 2  # one alone may miss what is born meanwhile


def new_mark() -> str:
    """Return a value for the variable MARK that no other command has."""
    return os.urandom(16).hex()


def kill_marked(mark: str, patience: float) -> tuple[int, ...]:
    """Kill the orphans with this mark and all that descends from them; return those that live after so many seconds.

    An orphan's parent is one of this process' own ancestors: so a process that somebody else has started with the same
    environment (a service, a batch job) is none.
    """
    deadline = time.monotonic() + patience
    empty = 0
    while True:
        left = _kill_once(b"\0" + f"{MARK}={mark}".encode("ascii") + b"\0")
        empty = 0 if left else empty + 1
        if empty == _EMPTY_LOOKS or time.monotonic() > deadline:
            return tuple(left)
        time.sleep(_PAUSE)


def _kill_once(mark: bytes) -> list[int]:
    ancestors = _ancestors()
    left = []
    for pid in process_ids():
        if not _has(pid, mark):
            continue
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            process = look(pid)  # looked at again, now that the number cannot pass to another process
            if process is not None and process.alive and process.parent in ancestors and _has(pid, mark):
                left += [pid, *(child.pid for child in signal_family(pid, (signal.SIGKILL,)))]
                signal_process(handle, signal.SIGKILL)
        finally:
            os.close(handle)
    return left


def _has(pid: int, mark: bytes) -> bool:
    try:
        return mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
    except OSError:  # it has ended, or is another user's
        return False


def _ancestors() -> set[int]:
    """Return this process, its parent, and so on."""
    found: set[int] = set()
    process = look(os.getpid())
    while process is not None and process.pid not in found:
        found.add(process.pid)
        process = look(process.parent)
    return found
