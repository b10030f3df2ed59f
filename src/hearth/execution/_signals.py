"""Ctrl-C and friends while a run is under way."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import socket
    from types import FrameType, TracebackType

__all__ = ["SignalGuard", "signal_name"]

# A closed terminal (SIGHUP, Windows' Ctrl-Break) would otherwise end HEARTH but not the step's process group.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_PAUSE_SECONDS = 0.5
_MOMENT_SECONDS = 0.02
_RECENT_SECONDS = 0.2


class SignalGuard:
    """Takes the signals that end a process, in a `with`, and gives the handlers back afterwards.

    `signum` is the first one that came. Only the main thread can take signals: in another one the guard does nothing.
    A signal that is ignored (`nohup`, a background job) stays ignored. While `raising` is set, a signal raises
    KeyboardInterrupt as well, to get out of code that cannot be cancelled: not more often than every half second,
    so that two signals at once do not strike the code that handles the first.
    """

    def __init__(self) -> None:
        self.raising = False
        self.signum: int | None = None
        self._raised_at = self._handled_at = float("-inf")
        self._previous: dict[int, Any] = {}
        self._ear: socket.socket | None = None
        self._ear_wakes = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                # None: a handler that Python did not install, and so could not put back.
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    try:
                        self._previous[number] = signal.signal(number, self._handle)
                    except ValueError:  # the main thread of a subinterpreter takes no signals
                        break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tell(None)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    @property
    def active(self) -> bool:
        """Whether any signal is taken."""
        return bool(self._previous)

    def takes(self, number: int) -> bool:
        """Whether this signal is taken."""
        return number in self._previous

    def tell(self, ear: socket.socket | None) -> None:
        """Have the number of each signal written to `ear`, a non-blocking socket, as one byte; None ends it.

        It is written as soon as the signal arrives, also while the main thread is stuck in a system call: another
        thread may have taken the signal, as happens to a process that was stopped.
        """
        if self._ear_wakes:
            signal.set_wakeup_fd(-1)
        self._ear, self._ear_wakes = None, False
        if ear is None or not self.active:
            return
        before = signal.set_wakeup_fd(ear.fileno(), warn_on_full_buffer=False)
        if before == -1:
            self._ear_wakes = True
        else:  # an event loop listens there already; our handler writes itself
            signal.set_wakeup_fd(before)
        self._ear = ear

    def wake_main_thread(self, number: int) -> bool:
        """Get the main thread out of a system call, if the signal left it there; return whether it was sent again.

        For another thread, after it heard the signal. Any thread may take a signal that was sent to the process; then
        the handler waits until the main thread comes back by itself. Sent to the main thread, it interrupts the call.
        """
        time.sleep(_MOMENT_SECONDS)
        if time.monotonic() - self._handled_at < _RECENT_SECONDS or not hasattr(signal, "pthread_kill"):
            return False
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        return True

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._handled_at = time.monotonic()
        if self.signum is None:
            self.signum = signum
        if self._ear is not None and not self._ear_wakes:
            with suppress(OSError):  # full of signals already, or closed: nobody needs this one
                self._ear.send(bytes((signum,)))
        if self.raising and time.monotonic() - self._raised_at > _PAUSE_SECONDS:
            self._raised_at = time.monotonic()
            raise KeyboardInterrupt


def signal_name(signum: int) -> str:
    """Return `SIGINT` for 2, and so on."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
