"""The process that starts the commands of steps, and ends what they leave behind: this side of it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.execution._inherited import inherited
from hearth.execution._kin import end_family, look

if TYPE_CHECKING:
    from hearth.execution._kin import Process

__all__ = ["NURSERY", "Nursery", "UnreachableError"]

_log = logging.getLogger(__name__)

_START_SECONDS = 20.0
_SWEEP_SECONDS = 5.0
_SILENT_SECONDS = 1.0  # after which this process does itself what it asked for
_CLOSE_SECONDS = 1.0
_MOST_IDLE = 4
_ATTEMPTS = 3
# The packages' own __init__ would import more than all the rest. No word of this shows whose process it is: who kills
# all that `ps` shows as HEARTH's must not kill what ends the steps after HEARTH.
_PROGRAM = """
import os, sys
for name in ("hearth", "hearth.execution"):
    sys.modules[name] = module = type(sys)(name)
    module.__path__ = [os.environ["HEARTH_FOLDER"]] if "." in name else []
from hearth.execution._nursery_process import main
main()
"""


_LATE: list[subprocess.Popen[bytes]] = []  # had not ended when they were closed; they will, by themselves


class UnreachableError(Exception):
    """There can be no supervising process here."""


class _KilledError(Exception):
    """The process has been killed."""


class Nursery:
    """Hands out supervising processes: `take` gives the control socket of one that waits for a command (`_wire`).

    The process behind it is started with the first command, and again when it was killed, or when this process has
    changed what its children are to inherit. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._idle: list[socket.socket] = []
        self._lent: set[socket.socket] = set()
        self._guards: dict[socket.socket, Process] = {}
        self._inherited: tuple[object, ...] = ()
        self._ready = False
        self._retired: list[subprocess.Popen[bytes]] = []
        self._why_not = ""

    def prepare(self) -> None:
        """Start the process, without waiting until it can work: the first command then need not wait for it."""
        with contextlib.suppress(UnreachableError, _KilledError), self._lock:
            requests = self._have_process()
            if not self._idle:
                self._idle.append(self._new(requests))

    def take(self) -> socket.socket:
        """Return the control socket of a supervising process. UnreachableError where there can be none."""
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    requests = self._have_process()
                    if not self._ready:
                        self._await_ready(requests)
                    control = self._waiting() or self._new(requests)
                except _KilledError:
                    self._retire()
                else:
                    self._lent.add(control)
                    return control
        raise UnreachableError("the process that makes them is killed as soon as it is started")

    def is_served_by(self, control: socket.socket, pid: int) -> Process | None:
        """Note which process the other end is: it, and its command, are spared when others leave something."""
        guard = look(pid)
        if guard is not None:
            with self._lock:
                self._guards[control] = guard
        return guard

    def give_back(self, control: socket.socket) -> None:
        """Take a supervising process back that has nothing left to do."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE and control in self._lent:
                self._lent.discard(control)
                self._idle.append(control)
            else:
                self.discard(control)

    def discard(self, control: socket.socket) -> None:
        """Hang up on a supervising process: it kills what there may be of its command, and ends."""
        with self._lock:
            self._lent.discard(control)
            self._guards.pop(control, None)
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # heard also where a forked child of ours has it open too
            control.close()

    def wake(self) -> None:
        """Let the process go on where it was stopped; waits for nobody."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGCONT)

    def sweep(self) -> tuple[int, ...]:
        """Kill what supervising processes left behind that were killed themselves; return what does not die.

        The process behind it does that, its parent; where it does not answer (a step may stop it, or trace it as a
        debugger does), this one.
        """
        with self._lock:
            if self._requests is None or self._process is None:
                return ()
            left: list[Process] = []
            try:
                self.wake()
                self._requests.settimeout(_SILENT_SECONDS)
                self._requests.sendall(b"o")
                try:
                    said = self._line(self._requests)
                except TimeoutError:
                    left = end_family(self._process.pid, _SWEEP_SECONDS, self._known_guards())
                    self.wake()
                    said = self._line(self._requests)
                return tuple(int(pid) for pid in said.split()[1:])
            except OSError:  # it was killed too, or does not answer
                if not left:  # else it stays their parent, so that they are not lost
                    self._process.kill()
                self._retire()
                return tuple(process.pid for process in left)

    def _known_guards(self) -> list[int]:
        """Return the supervising processes that live; one that was killed may have left its number to a stray."""
        return [guard.pid for guard in self._guards.values() if guard.still_lives()]

    def close(self) -> None:
        """End the process; commands under way keep their supervising processes."""
        with self._lock:
            self._retire()
            for process in self._retired:
                try:
                    process.wait(timeout=_CLOSE_SECONDS)
                except subprocess.TimeoutExpired:
                    _LATE.append(process)
            self._retired.clear()

    def forget(self) -> None:
        """In a forked child: the process belongs to the parent."""
        for process in (self._process, *self._retired):
            if process is not None:
                process.returncode = 0  # not our child: nothing to wait for
        self._hang_up()
        self.__init__()  # type: ignore[misc]

    def _have_process(self) -> socket.socket:
        if self._why_not:
            raise UnreachableError(self._why_not)
        try:
            now = inherited()
        except OSError as error:
            raise self._unreachable(f"/proc cannot be read: {error.strerror}") from error
        if self._process is not None and (self._process.poll() is not None or now != self._inherited):
            self._retire()
        if self._requests is None:
            self._inherited = now
            self._requests = self._start()
        return self._requests

    def _start(self) -> socket.socket:
        if not sys.executable:
            raise self._unreachable("the path of the Python interpreter is not known")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env={"HEARTH_FOLDER": str(Path(__file__).parent), "HEARTH_PID": str(os.getpid())},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise self._unreachable(f"{sys.executable} cannot be started: {error.strerror}") from error
        self._ready = False
        return ours

    def _await_ready(self, requests: socket.socket) -> None:
        assert self._process is not None  # noqa: S101 - requests go to it
        try:
            requests.settimeout(_START_SECONDS)
            said = self._line(requests)
        except OSError as error:
            said = str(error)
        if said == "ready":
            self._ready = True
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            if not said and self._process.wait(timeout=_CLOSE_SECONDS) < 0:
                raise _KilledError
        self._retire()
        raise self._unreachable(said or "its process ended at once")

    def _line(self, requests: socket.socket) -> str:
        said = b""
        while not said.endswith(b"\n"):
            piece = requests.recv(4096)
            if not piece:
                break
            said += piece
        return said.decode("utf-8", "replace").strip()

    def _waiting(self) -> socket.socket | None:
        """Return one that waits for a command, and lives."""
        while self._idle:
            control = self._idle.pop()
            control.settimeout(0)
            try:
                control.recv(1)
            except BlockingIOError:
                return control
            except OSError:
                pass
            self._guards.pop(control, None)
            control.close()  # it says nothing while it waits: so this was its end
        return None

    def _new(self, requests: socket.socket) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.wake()
        with theirs:
            try:
                socket.send_fds(requests, [b"s"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise _KilledError from error
        return ours

    def _unreachable(self, why: str) -> UnreachableError:
        self._why_not = why
        _log.warning(
            "no supervising process can be had (%s): of a step that is stopped, only the process group is killed", why
        )
        return UnreachableError(why)

    def _retire(self) -> None:
        self._hang_up()
        if self._process is not None:
            self._retired = [process for process in self._retired if process.poll() is None]
            self._retired.append(self._process)
        self._process = None

    def _hang_up(self) -> None:
        for end in (self._requests, *self._idle):
            if end is not None:
                end.close()
        self._requests = None
        for control in self._idle:
            self._guards.pop(control, None)
        self._idle.clear()
        self._lent.clear()
        self._ready = False


NURSERY = Nursery()
atexit.register(NURSERY.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NURSERY.forget)
