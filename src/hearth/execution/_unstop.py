"""A lockdown must not wait for a HEARTH process that somebody has stopped: it is woken, or killed. Linux."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.execution._kin import look, signal_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hearth.execution._kin import Process

__all__ = ["StoppedProcesses"]

_PATIENCE = 0.1  # seconds; a run whose process is not stopped has mostly ended by then
_SECONDS_AWAKE = 2.0  # that a process has, once it was woken, to kill its step and to seal
_LOOK_EVERY = 0.05


class StoppedProcesses:
    """Looks after runs that were told to end, and whose process may be stopped (Ctrl-Z, SIGSTOP, a debugger).

    Such a process sees no lockdown, and its step goes on. It gets CONT, again and again where it is stopped again; two
    seconds later it is killed, and then its supervising process kills the step, and `hearth recover` seals the record.
    A process that was not stopped is left alone, however long it takes: it knows what it does.
    """

    def __init__(self, locks: Path) -> None:
        """`locks` is the folder of `RunsUnderWay`, which says the numbers of the processes."""
        self._woken: set[Path] = set()
        self._killed: set[Path] = set()
        self._locks = locks
        self._next_look = time.monotonic() + _PATIENCE
        self._since: dict[tuple[int, int], float] = {}

    def attend(self, journals: Iterable[Path]) -> None:
        """Do what is due now for the runs that write these journals; to be called until they have ended."""
        now = time.monotonic()
        if now < self._next_look or not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
            return
        self._next_look = now + _LOOK_EVERY
        files = dict(_identities(journals))
        for pid in self._numbers():
            process = look(pid)
            if process is not None and (process.stopped or (pid, process.start) in self._since):
                self._attend_to(process, files, now)

    def said_of(self, journal: Path) -> str:
        """Return what was done to the process of this run; "" for nothing."""
        if journal in self._killed:
            return "its HEARTH process was stopped, did not end the run when it was continued, and was killed"
        if journal in self._woken:
            return "its HEARTH process was stopped, and was continued so that it could end the run"
        return ""

    def _attend_to(self, process: Process, files: dict[tuple[int, int], Path], now: float) -> None:
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:  # it has ended
            return
        try:
            # The number stands in a file that may be old, and be another's by now. Who holds a run's journal open is
            # the process of that run; that is looked at while the descriptor keeps the number from passing on.
            theirs = {files[identity] for identity in _open_files(process.pid) if identity in files}
            again = look(process.pid)
            if not theirs or again is None or again.start != process.start or _has_ended(handle):
                return
            since = self._since.setdefault((process.pid, process.start), now)
            if now >= since + _SECONDS_AWAKE:
                if signal_process(handle, signal.SIGKILL):
                    self._killed |= theirs
            elif again.stopped and signal_process(handle, signal.SIGCONT):
                self._woken |= theirs
        finally:
            os.close(handle)

    def _numbers(self) -> Iterator[int]:
        for path in self._locks.glob("under-way.*.run"):
            try:
                word, _, number = path.read_text(encoding="ascii").strip().partition(" ")
            except (OSError, ValueError):
                continue
            if word == "pid" and number.isdecimal() and int(number) != os.getpid():
                yield int(number)


def _identities(paths: Iterable[Path]) -> Iterator[tuple[tuple[int, int], Path]]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # sealed, stored and removed meanwhile
            continue
        yield (status.st_dev, status.st_ino), path


def _open_files(pid: int) -> set[tuple[int, int]]:
    """Return the device and the number of every file that a process holds open; none where one may not look."""
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                status = link.stat()
            except OSError:  # closed meanwhile
                continue
            found.add((status.st_dev, status.st_ino))
    except OSError:
        return set()
    return found


def _has_ended(handle: int) -> bool:
    wait = select.poll()
    wait.register(handle, select.POLLIN)
    return bool(wait.poll(0))
