"""A command below a supervising process: everything that descends from it is within reach. Linux."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from hearth.errors import TaskError
from hearth.execution._kin import signal_family
from hearth.execution._nursery import NURSERY, UnreachableError
from hearth.execution._strays import MARK, kill_marked, new_mark
from hearth.execution._wire import encode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._kin import Process
    from hearth.execution._leader import Command

__all__ = ["Supervised", "can_supervise"]

_START_SECONDS = 10.0
_ATTEMPTS = 3
# A supervising process that was told to kill says every quarter of a second how far it is.
_HELP_SECONDS = 0.4  # after which HEARTH itself kills what it sees below a silent one
_SILENT_SECONDS = 1.0  # after which one with nothing left below it is taken for lost
_LOST_SECONDS = 3.0  # after which any silent one is
_SWEEP_SECONDS = 5.0
_PROCESS_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9


def can_supervise() -> bool:
    """Whether this platform has what is needed to hold on to processes."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


class Supervised:
    """A Leader, whose other side is `_supervisor`.

    OSError and ValueError when the command cannot be started, UnreachableError when it could be in another way;
    TaskError when nobody knows whether it was started: what there is of it has been killed then. What `go_on` raises
    just before the command is sent away is passed on: nothing was started then.
    """

    def __init__(self, command: Command, go_on: Callable[[], None] = lambda: None) -> None:
        self.reach = "descendants"
        self.pid = self.left = 0
        self._guard: Process | None = None
        self.exit_code: int | None = None
        self.gone = False
        self._stuck: tuple[int, ...] = ()
        self._mark = new_mark()
        self._lock = threading.RLock()  # guards the descriptors: none is used once given back
        self._closed = False
        self._said = b""
        self._kill_asked = self._heard_at = 0.0
        self._handles: list[int] = []
        self.stdin = self.stdout = self.stderr = -1
        theirs: list[int] = []
        try:
            targets = self._open_pipes(command, theirs)
            request = encode_request(
                command.argv, cwd=command.cwd, env={**command.env, MARK: self._mark}, targets=targets
            )
            self._control, answer, self._handles = _ask_for(request, theirs, go_on)
        except BaseException:
            self._give_back()
            raise
        finally:
            for end in theirs:
                os.close(end)
        try:
            self._take_answer(answer, command)
        except BaseException:
            self._give_back()
            NURSERY.give_back(self._control)  # which closes it, where it cannot be of use any more
            raise

    def _open_pipes(self, command: Command, theirs: list[int]) -> list[int]:
        """Open what the command reads and writes; return the descriptors that it is to find them at."""
        targets = []
        if command.stdin is not None:
            end, self.stdin = os.pipe()
            theirs.append(end)
            targets.append(0)
        self.stdout, end = os.pipe()
        theirs.append(end)
        self.stderr, end = os.pipe()
        theirs.append(end)
        targets += [1, 2]
        if command.result_pipe is not None:
            theirs.append(os.dup(command.result_pipe[1]))
            targets.append(command.result_pipe[1])
        for number in command.passed:
            theirs.append(os.dup(number))
            targets.append(number)
        return targets

    def _take_answer(self, said: bytes, command: Command) -> None:
        line, _, self._said = said.partition(b"\n")
        word, _, number = line.partition(b" ")
        if word == b"failed":
            if int(number) == errno.ENOSYS:
                raise UnreachableError("the system cannot start a process in a session of its own")
            raise OSError(int(number), os.strerror(int(number)))
        if word != b"started":
            NURSERY.discard(self._control)
            NURSERY.sweep()
            left = kill_marked(self._mark, _SWEEP_SECONDS)
            raise TaskError(
                f"whether {command.argv[0]!r} was started is not known: its supervising process was killed or did not "
                f"answer; {f'processes that live: {left}' if left else 'nothing of it is left'}"
            )
        own, _, guards = number.partition(b" ")
        self.pid = int(own)
        self._guard = NURSERY.is_served_by(self._control, int(guards))
        self._control.settimeout(0)
        self._take_in(b"")

    # ---- what goes on ------------------------------------------------------------------------------------------------

    @property
    def unkilled(self) -> tuple[int, ...]:
        """What the supervising process sees and cannot kill; the command's own number stands for what it cannot see."""
        return self._stuck or (() if self.gone else (self.pid,))

    @property
    def descriptor(self) -> int:
        """The control socket, as long as there is anything to hear from it."""
        return -1 if self.gone else self._control.fileno()

    def look(self) -> None:
        """Take in what the supervising process says, or that it is lost."""
        if self.gone:
            return
        try:
            said = self._control.recv(4096)
        except BlockingIOError:
            if self._kill_asked:
                self._step_in(time.monotonic() - max(self._kill_asked, self._heard_at))
            return
        except OSError:
            said = b""
        self._heard_at = time.monotonic()
        if said:
            self._take_in(said)
        else:
            self._lost()

    def _take_in(self, said: bytes) -> None:
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            word, *numbers = line.decode("ascii").split()
            if word == "exit":
                self.exit_code = int(numbers[0])
            elif word == "left":
                self.left = int(numbers[0])
            elif word == "stuck":
                self._stuck = tuple(map(int, numbers))
            elif word == "gone":
                self.gone = True
                self._stuck = ()

    def _step_in(self, silent: float) -> None:
        """Kill what a supervising process does not that was told to: it is stopped, or traced by the command itself.

        It stays their parent as long as anything is left, so that nothing is lost; what it is traced by ends first.
        """
        if silent > _HELP_SECONDS:
            seen = self._guard is not None and self._guard.still_lives()
            left = signal_family(self._guard.pid, (signal.SIGKILL,)) if self._guard is not None and seen else []
            over = silent > (_LOST_SECONDS if left else _SILENT_SECONDS)
            self._signal(1, signal.SIGKILL if over else signal.SIGCONT)
            NURSERY.wake()  # who traced the one may have traced the other

    def _lost(self) -> None:
        """Kill what there is, now that the supervising process has ended before its time."""
        self.reach = "mark"
        self._strike()
        self._has_ended(1)  # before that, what it leaves is nobody's child yet
        self._stuck = tuple(sorted({*NURSERY.sweep(), *kill_marked(self._mark, _SWEEP_SECONDS)}))
        if self.exit_code is None and self._has_ended(0):
            self.exit_code = -signal.SIGKILL  # how it ended nobody heard: so this is taken for its end
        self.gone = True

    def _has_ended(self, which: int) -> bool:
        """Wait for the end of the command (0) or of its supervising process (1), a second at most."""
        if which >= len(self._handles):
            return self.pid not in self._stuck
        wait = select.poll()
        wait.register(self._handles[which], select.POLLIN)
        return bool(wait.poll(1000))

    # ---- what one can do ---------------------------------------------------------------------------------------------

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def terminate(self, *, count: bool) -> None:
        """Have TERM sent to all that descends from it, and from what it left behind."""
        self._ask(b"c" if count else b"t")

    def kill(self) -> None:
        """Kill its group here and now, and have the rest killed until nothing is left."""
        with self._lock:
            if not self._closed and not self.gone:
                self._strike()
                self._signal(1, signal.SIGCONT)  # the supervising process may have been stopped
                self._kill_asked = self._kill_asked or time.monotonic()
                self._ask(b"k")

    def _ask(self, letter: bytes) -> None:
        with contextlib.suppress(OSError):  # if it is lost, the next look shows it
            self._control.send(letter)

    def _strike(self) -> None:
        if not self._signal(0, signal.SIGKILL, _PROCESS_GROUP):
            self._signal(0, signal.SIGKILL)

    def _signal(self, which: int, number: int, flags: int = 0) -> bool:
        """Signal the command (0) or its supervising process (1); False when that is not possible."""
        with self._lock:
            if which >= len(self._handles):
                return False
            try:
                signal.pidfd_send_signal(self._handles[which], number, None, flags)
            except OSError:
                return False
            return True

    def close(self, patience: float) -> None:
        """Kill what is left, wait until it is gone, and give everything back."""
        deadline = time.monotonic() + patience
        wait = select.poll()
        wait.register(self._control, select.POLLIN)
        if not self.gone:
            self.kill()
        while not self.gone and (rest := deadline - time.monotonic()) > 0:
            wait.poll(min(rest, _HELP_SECONDS / 4) * 1000)
            self.look()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._give_back()
            if self.gone and self.reach == "descendants":
                NURSERY.give_back(self._control)
            else:
                NURSERY.discard(self._control)

    def _give_back(self) -> None:
        for end in (self.stdin, self.stdout, self.stderr, *self._handles):
            if end >= 0:
                os.close(end)
        self.stdin = self.stdout = self.stderr = -1
        self._handles = []


def _ask_for(request: bytes, streams: list[int], go_on: Callable[[], None]) -> tuple[socket.socket, bytes, list[int]]:
    """Send a command to a supervising process; return its control socket, its answer (b"": none), and its descriptors.

    One that is killed before it has read the whole command has started nothing: then the next one gets it.
    """
    for _ in range(_ATTEMPTS):
        control = NURSERY.take()
        control.settimeout(_START_SECONDS)
        try:
            go_on()
            sent = socket.send_fds(control, [request], streams)
            control.sendall(request[sent:])
            return control, *socket.recv_fds(control, 4096, 2, socket.MSG_CMSG_CLOEXEC)[:2]
        except (BrokenPipeError, ConnectionResetError):  # a reset says that it left something unread
            NURSERY.discard(control)
        except OSError:  # a timeout, mostly
            return control, b"", []
        except BaseException:
            NURSERY.discard(control)
            raise
    raise UnreachableError("supervising processes are killed before they can do anything")
