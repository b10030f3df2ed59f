"""Running one command: its own process group, its output as it comes, an end for certain."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hearth.errors import TaskError
from hearth.execution._groups import exit_descriptor, group_exists, members
from hearth.execution._guardian import GUARDIAN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.execution._cancellation import Cancellation

__all__ = ["Command", "ProcessOutcome", "Sink", "run_process", "supported"]

GRACE = 2.0  # seconds between TERM and KILL
SETTLE = 1.0  # seconds that children have to finish after their leader has exited
AFTER_KILL = 5.0  # seconds after which a process that KILL does not end is given up
_PIECE = 1 << 16
_GIVEN_UP: list[subprocess.Popen[bytes]] = []  # processes that KILL did not end; the guardian goes on watching them
_FIRST_GLANCE, _LONGEST_GLANCE = 0.002, 0.05  # seconds between two looks, where nothing wakes us


class Sink(Protocol):
    """Takes what a stream delivers."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; an exception kills the command and is passed on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `stdin` None is the null device; `result_pipe` (read end, write end) is inherited by the child."""

    argv: tuple[str, ...]
    cwd: Path | str
    env: Mapping[str, str]
    stdin: bytes | None = None
    result_pipe: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOutcome:
    """How a command ended.

    `exit_code` is negative for a signal, None for a process that even KILL could not end; `stopped` is "", "timeout" or
    "cancelled"; `left_running` counts the processes of the group that outlived their leader and were killed;
    `output_open` says that a process outside the group still held the output when reading ended.
    """

    pid: int
    exit_code: int | None
    duration_us: int
    stopped: str = ""
    left_running: int = 0
    output_open: bool = False


def supported() -> bool:
    """Whether this platform has process groups, and pipes that one can wait for."""
    return os.name == "posix"


def run_process(
    command: Command,
    *,
    sinks: Mapping[str, Sink],
    timeout: float | None,
    cancellation: Cancellation,
) -> ProcessOutcome:
    """Run a command to its end in a session of its own, and return when no process of its group is left.

    `sinks` has "stdout", "stderr", and "result" where there is a result pipe; they are fed while the command runs.
    After `timeout` seconds, or when `cancellation` is requested, the whole group gets TERM, and KILL two seconds later;
    an immediate cancellation is KILL at once, even while a sink is busy. Children that outlive the leader have a second
    to finish, then they are counted and killed likewise. Pipes held open by processes that left the group are given up
    a second after the group's end. Both ends of the result pipe are closed in any case. TaskError when the command
    cannot start, or when a stop was requested before.
    """
    run = _Run(command, timeout)
    try:
        if cancellation.requested:
            raise TaskError(f"stopped: {cancellation.reason}; nothing was started")
        run.start(sinks)
        with cancellation.on_request(lambda: run.wake(immediate=cancellation.immediate)):
            return run.until_end()
    finally:
        run.close()


class _Run:
    """One command under way: a loop over its pipes, its end, its deadline, and whoever wants to stop it."""

    def __init__(self, command: Command, timeout: float | None) -> None:
        self._command = command
        self._timeout = timeout
        self._lock = (
            threading.RLock()
        )  # guards the group's number and the wake-up pipe: neither is used once given back
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._group_gone = True
        self._owned = list(command.result_pipe or ())
        self._wake_end = -1
        self._selector = selectors.PollSelector() if hasattr(selectors, "PollSelector") else selectors.SelectSelector()
        self._readers: dict[int, Sink] = {}
        self._stdin = memoryview(command.stdin or b"")
        self._exit_end = -1
        self._glance = _FIRST_GLANCE
        self._started = self._duration_us = self._left_running = 0
        self._stopped = self._requested = ""
        self._deadline = self._kill_at = self._killed_at = self._exited_at = self._gone_at = None

    _deadline: float | None
    _kill_at: float | None
    _killed_at: float | None
    _exited_at: float | None
    _gone_at: float | None

    def start(self, sinks: Mapping[str, Sink]) -> None:
        """Start the command and open every way to hear from it."""
        command = self._command
        result = command.result_pipe
        self._started = time.monotonic_ns()
        if self._timeout is not None:
            self._deadline = self._started / 1e9 + self._timeout
        try:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=command.cwd,
                env=command.env,
                start_new_session=True,
                pass_fds=result[1:] if result else (),
            )
        except (OSError, ValueError) as error:
            raise TaskError(_why_not_started(command, error)) from error
        self._process, self._pid, self._group_gone = process, process.pid, False
        GUARDIAN.watch(process.pid)
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None  # noqa: S101 - asked for above
            self._read_from(pipe.fileno(), sinks[name])
        if result is not None:
            self._give_back(result[1])
            self._read_from(result[0], sinks["result"])
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin.fileno(), selectors.EVENT_WRITE, "stdin")
        heard, self._wake_end = os.pipe()
        self._owned += (heard, self._wake_end)
        os.set_blocking(self._wake_end, False)
        self._selector.register(heard, selectors.EVENT_READ, "wake")
        self._exit_end = exit_descriptor(process.pid)
        if self._exit_end >= 0:
            self._owned.append(self._exit_end)
            self._selector.register(self._exit_end, selectors.EVENT_READ, "exit")

    def _read_from(self, stream: int, sink: Sink) -> None:
        os.set_blocking(stream, False)
        self._readers[stream] = sink
        self._selector.register(stream, selectors.EVENT_READ, "read")

    def _give_back(self, descriptor: int) -> None:
        self._owned.remove(descriptor)
        os.close(descriptor)

    # ---- called from any thread, also from a signal handler ----------------------------------------------------------

    def wake(self, *, immediate: bool) -> None:
        """Have the loop notice a cancellation; an immediate one kills here and now."""
        self._requested = "immediate" if immediate else "graceful"
        if immediate:
            self._signal(signal.SIGKILL)
        with self._lock:
            if self._wake_end >= 0:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_end, b"!")

    def _signal(self, number: int) -> None:
        with self._lock:
            if not self._group_gone:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, number)

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def until_end(self) -> ProcessOutcome:
        """Serve the pipes until everything has ended."""
        while True:
            now = time.monotonic()
            self._stop_when_due(now)
            if self._at_rest(now):
                break
            for key, _ in self._selector.select(self._patience(now)):
                self._serve(key.fd, key.data)
            if self._exited_at is None:
                self._look_for_exit()
        assert self._process is not None  # noqa: S101 - it was started
        return ProcessOutcome(
            pid=self._pid,
            exit_code=self._process.returncode,
            duration_us=self._duration_us or (time.monotonic_ns() - self._started) // 1000,
            stopped=self._stopped,
            left_running=self._left_running,
            output_open=bool(self._readers),
        )

    def _stop_when_due(self, now: float) -> None:
        if not self._stopped and self._exited_at is None:
            if self._requested:
                self._stopped = "cancelled"
            elif self._deadline is not None and now >= self._deadline:
                self._stopped = "timeout"
            if self._stopped:
                self._terminate(now)
        due = self._kill_at is not None and now >= self._kill_at
        if self._killed_at is None and (due or self._requested == "immediate"):
            self._signal(signal.SIGKILL)
            self._killed_at = now

    def _terminate(self, now: float) -> None:
        if self._requested != "immediate":
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process could not answer
            self._kill_at = now + GRACE

    def _at_rest(self, now: float) -> bool:
        """Whether there is nothing left to wait for."""
        given_up = self._killed_at is not None and now >= self._killed_at + AFTER_KILL
        if self._exited_at is None:
            return given_up
        if not self._group_is_alive():
            if self._gone_at is None:
                self._gone_at = now
            return not self._readers or now >= self._gone_at + SETTLE
        if self._kill_at is None and self._killed_at is None and (self._requested or now >= self._exited_at + SETTLE):
            self._left_running = members(self._pid)
            self._terminate(now)
        return given_up

    def _patience(self, now: float) -> float | None:
        due = [moment for moment in (self._kill_at, None if self._stopped else self._deadline) if moment is not None]
        if self._exited_at is not None or self._exit_end < 0 or self._killed_at is not None:
            due = [now + self._glance]
            self._glance = min(2 * self._glance, _LONGEST_GLANCE)
        return max(0.0, min(due) - now) if due else None

    def _serve(self, stream: int, what: str) -> None:
        if what == "read":
            self._read(stream)
        elif what == "stdin":
            self._write()
        elif what == "wake":
            os.read(stream, 16)

    def _read(self, stream: int) -> None:
        try:
            chunk = os.read(stream, _PIECE)
        except BlockingIOError:
            return
        if chunk:
            self._readers[stream].feed(chunk)
        else:
            self._selector.unregister(stream)
            del self._readers[stream]

    def _write(self) -> None:
        assert self._process is not None  # noqa: S101 - it was started
        assert self._process.stdin is not None  # noqa: S101 - registered only then
        stream = self._process.stdin.fileno()
        try:
            self._stdin = self._stdin[os.write(stream, self._stdin[:_PIECE]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._selector.unregister(stream)
            self._process.stdin.close()

    def _look_for_exit(self) -> None:
        assert self._process is not None  # noqa: S101 - it was started
        with self._lock:
            if self._process.poll() is None:
                return
            self._group_is_alive()
        if self._requested == "immediate" and self._process.returncode == -signal.SIGKILL:
            self._stopped = self._stopped or "cancelled"
        self._exited_at = time.monotonic()
        self._duration_us = (time.monotonic_ns() - self._started) // 1000
        if self._exit_end >= 0:
            self._selector.unregister(self._exit_end)

    def _group_is_alive(self) -> bool:
        # As long as a member lives, the system gives the group's number to nobody else.
        with self._lock:
            if not self._group_gone and self._process is not None and self._process.returncode is not None:
                self._group_gone = not group_exists(self._pid)
            return not self._group_gone

    def close(self) -> None:
        """Kill what is left, and give every descriptor back: nothing of the command stays behind."""
        process = self._process
        if process is not None:
            if process.returncode is None:
                self._signal(signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0 if self._killed_at else AFTER_KILL)
            elif not self._group_gone:
                self._signal(signal.SIGKILL)
            if process.returncode is not None:
                GUARDIAN.release(self._pid)
            else:
                _GIVEN_UP.append(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        with self._lock:
            self._group_gone = True
            self._wake_end = -1
            while self._owned:
                os.close(self._owned.pop())
        self._selector.close()


def _why_not_started(command: Command, error: Exception) -> str:
    program = command.argv[0]
    number = error.errno if isinstance(error, OSError) else None
    if not os.path.isdir(command.cwd):  # noqa: PTH112 - it may be a str
        return f"cannot start {program!r}: the folder to start it in is not there: {command.cwd}"
    if number == errno.ENOENT and os.sep not in program:
        return f"cannot start {program!r}: there is no such command in PATH ({command.env.get('PATH', '')})"
    if number == errno.ENOEXEC:
        return f"cannot start {program!r}: it is no program, and its first line names no interpreter (#!…)"
    if number == errno.E2BIG:
        return f"cannot start {program!r}: the arguments or the script are too long for the system; use a file"
    return f"cannot start {program!r}: {getattr(error, 'strerror', None) or error}"
