"""Running one command: its output as it comes, and an end for certain of all that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hearth.errors import TaskError
from hearth.execution._grouped import Grouped
from hearth.execution._leader import Command, why_not_started
from hearth.execution._nursery import NURSERY, UnreachableError
from hearth.execution._supervised import Supervised, can_supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.execution._cancellation import Cancellation
    from hearth.execution._leader import Leader

__all__ = ["Command", "ProcessOutcome", "Sink", "prepare", "run_process", "started", "supported"]

GRACE = 2.0  # seconds between TERM and KILL
SETTLE = 1.0  # seconds that children have to finish after their leader has exited
AFTER_KILL = 5.0  # seconds after which a process that KILL does not end is given up
_PIECE = 1 << 16
_FIRST_GLANCE, _LONGEST_GLANCE = 0.002, 0.05  # seconds between two looks, where nothing wakes us


class Sink(Protocol):
    """Takes what a stream delivers."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; an exception kills the command and is passed on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOutcome:
    """How a command ended.

    `exit_code` is negative for a signal, None for a process that even KILL could not end; `stopped` is "", "timeout" or
    "cancelled"; `left_running` counts the processes that outlived their leader and were killed; `unkilled` are those
    that KILL did not end; `output_open` says that a process out of reach still held the output when reading ended.
    `reach` says what could be found and killed: "descendants", all that descends from the command; "group", its process
    group, where the platform allows no more; "mark", its process group, what its supervising process left, and orphans
    by a variable in their environment, when the supervising process had been killed.
    """

    pid: int
    exit_code: int | None
    duration_us: int
    stopped: str = ""
    left_running: int = 0
    output_open: bool = False
    reach: str = "descendants"
    unkilled: tuple[int, ...] = ()


def supported() -> bool:
    """Whether this platform has process groups, and pipes that one can wait for."""
    return os.name == "posix"


def prepare() -> None:
    """Start what the first command needs, without waiting for it (some 20 ms); to be called, or not, before a run."""
    if can_supervise():
        NURSERY.prepare()


def run_process(
    command: Command,
    *,
    sinks: Mapping[str, Sink],
    timeout: float | None,
    cancellation: Cancellation,
    start: Callable[[Command, Callable[[], None]], Leader] | None = None,
) -> ProcessOutcome:
    """Run a command to its end in a session of its own, and return when no process is left that descends from it.

    `sinks` has "stdout", "stderr", and "result" where there is a result pipe; they are fed while the command runs.
    After `timeout` seconds, or when `cancellation` is requested, all its processes get TERM, and KILL two seconds
    later; an immediate cancellation is KILL at once, even while a sink is busy. Children that outlive the leader
    have a second to finish, then they are counted and killed likewise; whether they have made sessions of their own
    does not matter (`ProcessOutcome.reach`). Pipes held open by processes out of reach are given up a second after
    the end of all others. `start` is another way to start it (a sandbox's). Both ends of the result pipe are closed
    in any case. TaskError when the command cannot start, or when a stop was requested before.
    """
    run = _Run(command, timeout, started if start is None else start)

    def go_on() -> None:
        if cancellation.requested:
            raise TaskError(f"stopped: {cancellation.reason}; nothing was started")

    try:
        go_on()
        run.start(sinks, go_on)
        with cancellation.on_request(lambda: run.wake(immediate=cancellation.immediate)):
            return run.until_end()
    finally:
        run.close()


def started(command: Command, go_on: Callable[[], None]) -> Leader:
    """Start it; `go_on` raises where it must not be any more, and is asked last of all: getting ready takes a while."""
    if can_supervise():
        with contextlib.suppress(UnreachableError):
            return Supervised(command, go_on)
    go_on()
    return Grouped(command)


class _Run:
    """One command under way: a loop over its pipes, its end, its deadline, and whoever wants to stop it."""

    def __init__(
        self, command: Command, timeout: float | None, start: Callable[[Command, Callable[[], None]], Leader]
    ) -> None:
        self._command = command
        self._start = start
        self._timeout = timeout
        self._lock = threading.RLock()  # guards the wake-up pipe, which must not be used once given back
        self._leader: Leader | None = None
        self._owned = list(command.result_pipe or ())
        self._wake_end = self._ear = -1
        self._selector = selectors.PollSelector() if hasattr(selectors, "PollSelector") else selectors.SelectSelector()
        self._readers: dict[int, Sink] = {}
        self._stdin = memoryview(command.stdin or b"")
        self._glance = _FIRST_GLANCE
        self._started = self._duration_us = 0
        self._stopped = self._requested = ""
        self._deadline = self._kill_at = self._killed_at = self._exited_at = self._gone_at = None

    _deadline: float | None
    _kill_at: float | None
    _killed_at: float | None
    _exited_at: float | None
    _gone_at: float | None

    def start(self, sinks: Mapping[str, Sink], go_on: Callable[[], None]) -> None:
        """Start the command and open every way to hear from it."""
        result = self._command.result_pipe
        self._started = time.monotonic_ns()
        if self._timeout is not None:
            self._deadline = self._started / 1e9 + self._timeout
        try:
            self._leader = leader = self._start(self._command, go_on)
        except (OSError, ValueError) as error:
            raise TaskError(why_not_started(self._command, error)) from error
        self._read_from(leader.stdout, sinks["stdout"])
        self._read_from(leader.stderr, sinks["stderr"])
        if result is not None:
            self._give_back(result[1])
            self._read_from(result[0], sinks["result"])
        if leader.stdin >= 0:
            os.set_blocking(leader.stdin, False)
            self._selector.register(leader.stdin, selectors.EVENT_WRITE, "stdin")
        heard, self._wake_end = os.pipe()
        self._owned += (heard, self._wake_end)
        os.set_blocking(self._wake_end, False)
        self._selector.register(heard, selectors.EVENT_READ, "wake")
        self._ear = leader.descriptor
        if self._ear >= 0:
            self._selector.register(self._ear, selectors.EVENT_READ, "leader")

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
        if immediate and self._leader is not None:
            self._leader.kill()
        with self._lock:
            if self._wake_end >= 0:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_end, b"!")

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def until_end(self) -> ProcessOutcome:
        """Serve the pipes until everything has ended."""
        leader = self._leader
        assert leader is not None  # noqa: S101 - it was started
        while True:
            now = time.monotonic()
            self._look_at(leader, now)
            self._stop_when_due(leader, now)
            if self._at_rest(leader, now):
                break
            for key, _ in self._selector.select(self._patience(now)):
                self._serve(leader, key.fd, key.data)
        return ProcessOutcome(
            pid=leader.pid,
            exit_code=leader.exit_code,
            duration_us=self._duration_us or (time.monotonic_ns() - self._started) // 1000,
            stopped=self._stopped,
            left_running=leader.left,
            output_open=bool(self._readers),
            reach=leader.reach,
            unkilled=leader.unkilled,
        )

    def _look_at(self, leader: Leader, now: float) -> None:
        leader.look()
        if self._exited_at is None and leader.exit_code is not None:
            if self._requested == "immediate" and leader.exit_code == -signal.SIGKILL:
                self._stopped = self._stopped or "cancelled"
            self._exited_at = now
            self._duration_us = (time.monotonic_ns() - self._started) // 1000
        if self._gone_at is None and leader.gone:
            self._gone_at = now
        if self._ear >= 0 and leader.descriptor < 0:
            self._selector.unregister(self._ear)
            self._ear = -1

    def _stop_when_due(self, leader: Leader, now: float) -> None:
        if not self._stopped and self._exited_at is None:
            if self._requested:
                self._stopped = "cancelled"
            elif self._deadline is not None and now >= self._deadline:
                self._stopped = "timeout"
            if self._stopped:
                self._terminate(leader, now)
        due = self._kill_at is not None and now >= self._kill_at
        if self._killed_at is None and (due or self._requested == "immediate"):
            leader.kill()
            self._killed_at = now

    def _terminate(self, leader: Leader, now: float) -> None:
        if self._requested != "immediate":
            leader.terminate(count=self._exited_at is not None)
            self._kill_at = now + GRACE

    def _at_rest(self, leader: Leader, now: float) -> bool:
        """Whether there is nothing left to wait for."""
        if self._gone_at is not None:
            return not self._readers or now >= self._gone_at + SETTLE
        if self._exited_at is not None and self._kill_at is None and self._killed_at is None:  # noqa: SIM102 - two questions
            if self._requested or now >= self._exited_at + SETTLE:
                self._terminate(leader, now)
        return self._killed_at is not None and now >= self._killed_at + AFTER_KILL

    def _patience(self, now: float) -> float | None:
        due = [moment for moment in (self._kill_at, None if self._stopped else self._deadline) if moment is not None]
        since = [moment for moment in (self._exited_at, self._gone_at) if moment is not None]
        due += [moment + SETTLE for moment in since if now < moment + SETTLE]
        if self._killed_at is not None or (self._ear < 0 and self._gone_at is None):
            due = [now + self._glance]
            self._glance = min(2 * self._glance, _LONGEST_GLANCE)
        return max(0.0, min(due) - now) if due else None

    def _serve(self, leader: Leader, stream: int, what: str) -> None:
        if what == "read":
            self._read(stream)
        elif what == "stdin":
            self._write(leader)
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

    def _write(self, leader: Leader) -> None:
        stream = leader.stdin
        try:
            self._stdin = self._stdin[os.write(stream, self._stdin[:_PIECE]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._selector.unregister(stream)
            leader.close_stdin()

    def close(self) -> None:
        """Kill what is left, and give every descriptor back: nothing of the command stays behind."""
        if self._leader is not None:
            self._leader.close(0 if self._killed_at else AFTER_KILL)
        with self._lock:
            self._wake_end = -1
            while self._owned:
                os.close(self._owned.pop())
        self._selector.close()
