"""Processes by descent, and signals that reach exactly those.

Read from /proc, so Linux only. Like all that runs outside of HEARTH's own process (`_nursery_process`) it imports next
to nothing.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["Process", "end_family", "family", "look", "process_ids", "signal_family", "signal_process"]

_STATE, _PARENT, _GROUP, _THREADS, _START = 0, 1, 2, 17, 19  # fields after the name, proc_pid_stat(5)
_DEAD = (b"Z", b"X", b"x")
_STOPPED = (b"T", b"t")
_PAUSE = 0.005
_EMPTY_LOOKS = 2  # one alone may miss what is born meanwhile


class Process:
    """What the kernel says about a process: its number and its start (clock ticks since boot) are its identity.

    `alive` is False for one that has ended and that nobody has waited for yet; `stopped` is True for one that goes on
    only when somebody lets it: after SIGSTOP, or held by a debugger.
    """

    __slots__ = ("alive", "group", "parent", "pid", "start", "stopped")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.parent = int(fields[_PARENT])
        self.group = int(fields[_GROUP])
        self.start = int(fields[_START])
        # A process whose first thread has ended looks like a dead one, but its other threads go on.
        self.alive = fields[_STATE] not in _DEAD or int(fields[_THREADS]) > 1
        self.stopped = fields[_STATE] in _STOPPED

    def still_lives(self) -> bool:
        """Whether the number is still that of this process."""
        now = look(self.pid)
        return now is not None and now.start == self.start


def look(pid: int) -> Process | None:
    """Return the process with this number, or None where there is none."""
    try:
        status = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        line = os.read(status, 4096)
    except OSError:  # it ended in between
        return None
    finally:
        os.close(status)
    # `pid (name) state parent group …`; a name may hold spaces and parentheses.
    fields = line.rpartition(b")")[2].split()
    return Process(pid, fields) if len(fields) > _START else None


def process_ids() -> Iterator[int]:
    """Yield the number of every process that can be seen; none where there is no /proc."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib would cost more than the rest
    except OSError:
        return
    for name in names:
        if name.isdecimal():
            yield int(name)


def family(root: int, besides: Collection[int] = ()) -> list[Process]:
    """Return all that descend from `root`, parents before their children, without `besides` and what descends from it.

    It is a look at something that moves: a process that is born meanwhile may be missing. Who needs all of them looks
    until there are none.
    """
    children: dict[int, list[Process]] = {}
    for pid in process_ids():
        if (process := look(pid)) is not None:
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    met = {root, *besides}
    parents = [root]
    while parents:
        for process in children.get(parents.pop(0), ()):
            if process.pid not in met:
                met.add(process.pid)
                found.append(process)
                parents.append(process.pid)
    return found


def signal_family(root: int, numbers: Collection[int], besides: Collection[int] = ()) -> list[Process]:
    """Send the signals to all that descend from `root` at this moment; return those that live.

    No other process is ever hit: each is held by a descriptor, so that its number cannot pass to another one, and then
    its line up to `root` is checked by the starts of its ancestors. One that changes its parent at that moment is left
    to the next call. What may not be signalled is passed over.
    """
    first = look(root)
    if first is None:
        return []
    known = {root: first.start}
    met = family(root, besides)
    handles: list[int] = []
    try:
        for process in met:
            try:
                handle = os.pidfd_open(process.pid)
            except OSError:  # it has ended, or there are no descriptors left: then the next call goes on
                continue
            handles.append(handle)
            now = look(process.pid)
            parent = look(now.parent) if now is not None else None
            # Known before and the same now: so this was the parent also when the child said so.
            if now is not None and parent is not None and known.get(parent.pid) == parent.start:
                known[now.pid] = now.start
            else:
                os.close(handles.pop())
        for handle in handles:  # only now: whoever ends changes the parent of its children
            for number in numbers:
                signal_process(handle, number)
    finally:
        for handle in handles:
            os.close(handle)
    return [process for process in met if process.alive]


def end_family(root: int, patience: float, besides: Collection[int] = ()) -> list[Process]:
    """Kill all that descend from `root`, in rounds until none is left; return those that live after so many seconds."""
    deadline = time.monotonic() + patience
    empty = 0
    while True:
        left = signal_family(root, (signal.SIGKILL,), besides)
        empty = 0 if left else empty + 1
        if empty == _EMPTY_LOOKS or time.monotonic() > deadline:
            return left
        time.sleep(_PAUSE)


def signal_process(handle: int, number: int) -> bool:
    """Send a signal through a process' descriptor; return False when it has ended, or may not be signalled."""
    try:
        signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
