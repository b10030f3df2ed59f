"""What stops a run from outside: a worse posture, and signals."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import ArtemisEscalationError
from hearth.execution._bounded import bounded, unbounded
from hearth.execution._cancellation import Cancellation
from hearth.execution._signals import SignalGuard, signal_name
from hearth.security import BoundaryState, Posture, PostureReading, SecurityState

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Escalation", "RunWatch"]

_POLL_SECONDS = 0.05
_JOIN_SECONDS = 1.0
_UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Escalation:
    """A posture worse than the one at the run's start: the worse state, and why."""

    new_state: object
    reason: str

    def __str__(self) -> str:
        return str(ArtemisEscalationError(self.new_state, self.reason))


class RunWatch:
    """Notices a worse posture and the signals that end a process, and cancels the running task; used in a `with`.

    A kernel that has `subscribe` calls at once, and the task is killed in the calling thread. Any other kernel is asked
    between steps, and every 50 ms by a thread while tasks run (`start_thread`). The first escalation counts; a kernel
    that does not answer, or whatever else ends the watching, is one (UNKNOWN): a sensor died.
    Signals go to the tasks through a thread too, one that asks nobody and so cannot hang: a handler may interrupt code
    that holds a lock, and runs only when the main thread comes back from the system call it is in. The first signal
    asks, the second one kills.
    """

    def __init__(self, kernel: Any) -> None:  # noqa: ANN401 - any object with the two states, or None
        self.cancellation = Cancellation()
        self.signals = SignalGuard()
        self.escalation: Escalation | None = None
        self._start: PostureReading | None = None
        self._kernel = bounded(kernel)
        self._unsubscribe: object = None
        self._mouth: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        subscribe = getattr(self._kernel, "subscribe", None)
        if callable(subscribe):
            try:
                self._unsubscribe = subscribe(self._on_worse)
            except Exception:  # noqa: BLE001 - a foreign kernel's own idea of subscribing; it is asked instead
                self._unsubscribe = None
        # After subscribing: what worsens in between is seen by one of the two.
        self._start = PostureReading.of(self._kernel)
        self.signals.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signals.tell(None)
        self._over.set()
        if self._mouth is not None:
            self._mouth.close()
        for thread in self._threads:
            # A foreign kernel that hangs must not keep the run from ending; the threads are daemons.
            thread.join(_JOIN_SECONDS)
        if callable(self._unsubscribe):
            self._unsubscribe()
        self.signals.__exit__(kind, error, trace)

    @property
    def start(self) -> PostureReading:
        """The posture at the run's start, against which every later one counts as worse or not."""
        return self._start or PostureReading()

    def start_thread(self, *, polls: bool) -> None:
        """Watch while steps run: signals, and with `polls` the posture of a kernel that does not call."""
        if polls and self._kernel is not None and not callable(self._unsubscribe):
            self._begin(threading.Thread(target=self._poll, name="hearth-poll", daemon=True))
        if self.signals.active:
            ear, self._mouth = socket.socketpair()
            self._mouth.setblocking(False)  # noqa: FBT003 - the socket's own signature
            self._begin(threading.Thread(target=self._watch, args=(ear,), name="hearth-watch", daemon=True))
            self.signals.tell(self._mouth)

    def _begin(self, thread: threading.Thread) -> None:
        thread.start()
        self._threads.append(thread)

    def look(self) -> Escalation | None:
        """Ask the kernel now; return the escalation, if there was one at any time of the run."""
        if self.escalation is None:
            self._compare("", self._kernel)
        return self.escalation

    def report(self, error: ArtemisEscalationError, reason: str | None = None) -> Escalation:
        """Take a step's own word for an escalation, and pass it on to a kernel that takes reports.

        `reason` is what others are told, where the error's own holds secrets.
        """
        self._note(Escalation(error.new_state, error.reason))
        security = SecurityState.parse(error.new_state)
        boundary = BoundaryState.parse(error.new_state)
        # Only to a kernel with our own states: what another one's `escalate` would mean is not known.
        if self._has_our_states():
            if security is not None and not isinstance(error.new_state, BoundaryState):
                self._kernel.escalate(security, error.reason if reason is None else reason)
            elif boundary is not None:
                self._kernel.report_boundary(boundary, error.reason if reason is None else reason)
        return self.escalation or Escalation(error.new_state, error.reason)

    @property
    def interruption(self) -> str:
        """`interrupted by SIGINT`, or empty."""
        return "" if self.signals.signum is None else f"interrupted by {signal_name(self.signals.signum)}"

    def _has_our_states(self) -> bool:
        try:
            return isinstance(getattr(self._kernel, "posture", None), Posture)
        except Exception:  # noqa: BLE001 - a kernel that cannot say so takes no reports either; the step's word stands
            return False

    def _on_worse(self, *told: object) -> None:
        # Asked in the thread that calls, which may hold the kernel's lock: another one would wait for it.
        try:
            self._compare(next((text for text in reversed(told) if isinstance(text, str)), ""), unbounded(self._kernel))
        except BaseException as error:  # noqa: BLE001 - it said that something is worse: that counts, whatever this is
            self._note(Escalation(_UNKNOWN, f"the posture worsened, and cannot be read: {type(error).__name__}"))

    def _compare(self, reason: str, kernel: Any) -> None:  # noqa: ANN401 - as given
        if self._start is None:
            return  # what is worse already when the run starts is its start
        now = PostureReading.of(kernel)
        worse = now.worsened_since(self._start)
        if worse is not None:
            self._note(Escalation(worse, reason or now.failure or f"the posture went from {self.start} to {now}"))

    def _note(self, escalation: Escalation) -> None:
        with self._lock:
            if self.escalation is None:
                self.escalation = escalation
        self.cancellation.request(str(self.escalation), immediate=True)

    def _poll(self) -> None:
        while self.escalation is None and not self._over.wait(_POLL_SECONDS):
            try:
                self.look()
            except BaseException as error:  # noqa: BLE001 - whatever it is, nobody would watch any more
                self._note(Escalation(_UNKNOWN, f"the posture cannot be watched any more: {type(error).__name__}"))

    def _watch(self, ear: socket.socket) -> None:
        sent_again: list[int] = []
        with ear:
            while True:
                try:
                    numbers = ear.recv(64)
                except ConnectionError:
                    return
                if not numbers:
                    return  # the run is over
                for number in filter(self.signals.takes, numbers):
                    if number in sent_again:
                        sent_again.remove(number)
                        continue
                    if self.signals.signum is None:
                        self.signals.signum = number
                    why = f"interrupted by {signal_name(number)}"
                    self.cancellation.request(why, immediate=self.cancellation.requested)
                    if self.signals.wake_main_thread(number):
                        sent_again.append(number)
