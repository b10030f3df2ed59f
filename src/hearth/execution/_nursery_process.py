"""The process that starts the commands of steps: a program of its own, started and spoken to by `_nursery`.

HEARTH is a process with threads, of any size, perhaps a part of somebody else's program; it cannot well be the parent
of whatever a command leaves behind. This one is small and has a single thread, so it forks fast and safely: a
supervising process (`_supervisor`) for as many commands as run at a time.

Its standard input is a socket. HEARTH sends `s` with the control socket of a new supervising process, or `o`: kill
what the supervising processes left that were killed themselves. It answers `ready`, once, or why it cannot work, and
`left PID …` to each `o`. It ends when HEARTH has, with everything that it started.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import select
import signal
import time

from hearth.execution._kin import signal_family
from hearth.execution._supervisor import Ear, supervise
from hearth.execution._wire import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hearth.execution._kin import Process

__all__ = ["main"]

_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 4, 15, 36
# What `ps` and `killall` take for its name. Who kills all that is called python, or hearth, kills HEARTH; not this.
_NAME = b"step-guard"
_DEADLINE = 5.0  # seconds after which a process that KILL does not end is given up
_PAUSE = 0.002
_LOOK_EVERY = 0.2
_LONGEST_WITHOUT_HEARTH = 70.0  # more than a supervising process takes
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def main() -> None:
    """Serve HEARTH until it ends. Its process number is the variable HEARTH_PID."""
    ignored = frozenset(number for number in _IGNORED if signal.getsignal(number) == signal.SIG_IGN)
    requests = _socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    try:
        parent = int(os.environ["HEARTH_PID"])
        hearth = os.pidfd_open(parent)
        _prctl()
    except (OSError, ImportError, AttributeError) as error:
        requests.send(f"{error}\n".encode())
        return
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if os.getppid() == parent:
        requests.send(b"ready\n")
        _Nursery(requests, hearth, ignored).run()
        os._exit(0)  # HEARTH may be waiting


def _prctl() -> None:
    """Become a child subreaper that no other process of this user can trace. OSError when the system knows none."""
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"no child subreaper: {os.strerror(ctypes.get_errno())}")
    prctl(_PR_SET_NAME, _NAME, 0, 0, 0)
    prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)  # a command has it again, by its exec


class _Nursery:
    def __init__(self, requests: _socket.socket, hearth: int, ignored: frozenset[int]) -> None:
        self._requests = requests
        self._hearth = hearth
        self._ignored = ignored
        self._ear = Ear()
        self._supervisors: set[int] = set()

    def run(self) -> None:
        wait = select.poll()
        for what in (self._requests, self._hearth, self._ear):
            wait.register(what, select.POLLIN)
        asked = True
        while asked:
            for descriptor, _ in wait.poll():
                if descriptor == self._hearth:
                    asked = False
                elif descriptor == self._requests.fileno():
                    asked = self._serve()
                else:
                    self._ear.clear()
            if self._reap():
                self._kill_orphans()
        wait.unregister(self._requests)
        self._requests.close()
        self._see_off(wait)

    def _see_off(self, wait: select.poll) -> None:
        """Stay until the last supervising process has ended; each knows by itself when HEARTH is gone."""
        gone_at = 0.0
        while self._supervisors:
            for descriptor, _ in wait.poll(_LOOK_EVERY * 1000 if gone_at else None):
                if descriptor == self._hearth:
                    wait.unregister(descriptor)
                    gone_at = time.monotonic()
            self._ear.clear()
            if gone_at:  # one that was stopped goes on, one that does not come to an end is replaced by this process
                late = time.monotonic() > gone_at + _LONGEST_WITHOUT_HEARTH
                for pid in self._supervisors:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGCONT)
            if self._reap():
                self._kill_orphans()
        with contextlib.suppress(ChildProcessError):  # mostly there is no child left, and so no descendant
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            self._kill_orphans()

    def _serve(self) -> bool:
        """Do what HEARTH asks for; False when it will ask for nothing more."""
        try:
            letter, ancillary, _, _ = self._requests.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if letter == b"s":
            for handle in descriptors(ancillary):
                self._fork(_socket.socket(fileno=handle))
        elif letter == b"o":
            self._reap()
            left = self._kill_orphans()
            with contextlib.suppress(OSError):
                self._requests.send(" ".join(("left", *(str(process.pid) for process in left))).encode() + b"\n")
        return bool(letter)

    def _fork(self, control: _socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError:  # too many processes: HEARTH sees that nobody has taken its socket
            control.close()
            return
        if pid:
            self._supervisors.add(pid)
            control.close()
            return
        status = 1
        try:
            self._requests.close()
            _prctl()
            supervise(control, self._hearth, self._ignored)
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> bool:
        """Wait for those that have ended; True when one of them had not come to its own end."""
        cut_short = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return cut_short
            if pid == 0:
                return cut_short
            if pid in self._supervisors:
                self._supervisors.discard(pid)
                cut_short = cut_short or status != 0

    def _kill_orphans(self) -> list[Process]:
        """Kill what became this process' child because its supervising process was killed; return what does not die."""
        left: list[Process] = []
        deadline = time.monotonic() + _DEADLINE
        empty = 0
        while empty < 2 and time.monotonic() < deadline:  # noqa: PLR2004 - one look alone may miss the newly born
            left = signal_family(os.getpid(), (signal.SIGKILL,), besides=self._supervisors)
            empty = 0 if left else empty + 1
            time.sleep(_PAUSE)
            if self._reap():  # one more has left something
                empty = 0
        return left
