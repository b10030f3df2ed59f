"""What stops a run from outside: a worse posture, and signals."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import ArtemisEscalationError
from hearth.execution._cancellation import Cancellation
from hearth.execution._signals import SignalGuard, signal_name
from hearth.security import BoundaryState, Posture, PostureReading, SecurityState

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Escalation", "RunWatch"]

_POLL_SECONDS = 0.05
_JOIN_SECONDS = 1.0


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
    between steps, and every 50 ms by a thread while tasks run (`start_thread`). The first escalation counts.
    Signals go to the tasks through that thread too: a handler may interrupt code that holds a lock, and runs only
    when the main thread comes back from the system call it is in. The first signal asks, the second one kills.
    """

    def __init__(self, kernel: Any) -> None:  # noqa: ANN401 - any object with the two states, or None
        self.cancellation = Cancellation()
        self.signals = SignalGuard()
        self.escalation: Escalation | None = None
        self._start: PostureReading | None = None
        self._kernel = kernel
        self._unsubscribe: object = None
        self._mouth: socket.socket | None = None
        self._thread: threading.Thread | None = None
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
        if self._thread is not None and self._mouth is not None:
            self._mouth.close()
            # A foreign kernel that hangs must not keep the run from ending; the thread is a daemon.
            self._thread.join(_JOIN_SECONDS)
        if callable(self._unsubscribe):
            self._unsubscribe()
        self.signals.__exit__(kind, error, trace)

    @property
    def start(self) -> PostureReading:
        """The posture at the run's start, against which every later one counts as worse or not."""
        return self._start or PostureReading()

    def start_thread(self, *, polls: bool) -> None:
        """Watch while steps run: signals, and with `polls` the posture of a kernel that does not call."""
        polls = polls and self._kernel is not None and not callable(self._unsubscribe)
        if not polls and not self.signals.active:
            return
        ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._thread = threading.Thread(target=self._watch, args=(ear, polls), name="hearth-watch", daemon=True)
        self._thread.start()
        self.signals.tell(self._mouth)

    def look(self) -> Escalation | None:
        """Ask the kernel now; return the escalation, if there was one at any time of the run."""
        if self.escalation is None:
            self._compare("")
        return self.escalation

    def report(self, error: ArtemisEscalationError, reason: str | None = None) -> Escalation:
        """Take a step's own word for an escalation, and pass it on to a kernel that takes reports.

        `reason` is what others are told, where the error's own holds secrets.
        """
        self._note(Escalation(error.new_state, error.reason))
        security = SecurityState.parse(error.new_state)
        boundary = BoundaryState.parse(error.new_state)
        # Only to a kernel with our own states: what another one's `escalate` would mean is not known.
        if isinstance(getattr(self._kernel, "posture", None), Posture):
            if security is not None and not isinstance(error.new_state, BoundaryState):
                self._kernel.escalate(security, error.reason if reason is None else reason)
            elif boundary is not None:
                self._kernel.report_boundary(boundary, error.reason if reason is None else reason)
        return self.escalation or Escalation(error.new_state, error.reason)

    @property
    def interruption(self) -> str:
        """`interrupted by SIGINT`, or empty."""
        return "" if self.signals.signum is None else f"interrupted by {signal_name(self.signals.signum)}"

    def _on_worse(self, *told: object) -> None:
        self._compare(next((text for text in reversed(told) if isinstance(text, str)), ""))

    def _compare(self, reason: str) -> None:
        if self._start is None:
            return  # what is worse already when the run starts is its start
        now = PostureReading.of(self._kernel)
        worse = now.worsened_since(self._start)
        if worse is not None:
            self._note(Escalation(worse, reason or now.failure or f"the posture went from {self.start} to {now}"))

    def _note(self, escalation: Escalation) -> None:
        with self._lock:
            if self.escalation is None:
                self.escalation = escalation
        self.cancellation.request(str(self.escalation), immediate=True)

    def _watch(self, ear: socket.socket, polls: bool) -> None:
        sent_again: list[int] = []
        with ear:
            ear.settimeout(_POLL_SECONDS if polls else None)
            while True:
                try:
                    numbers = ear.recv(64)
                except TimeoutError:
                    self.look()
                    continue
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
