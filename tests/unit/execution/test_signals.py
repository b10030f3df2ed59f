"""SignalGuard: real signals to this very process."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from hearth.execution._signals import SignalGuard, signal_name

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")

TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()


def send(number: int) -> None:
    """Send this process a signal, and let its handler run."""
    os.kill(os.getpid(), number)
    for _ in range(3):
        time.sleep(0)


def test_the_first_signal_counts_and_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in TAKEN]
    with SignalGuard() as guard:
        assert guard.active
        assert guard.signum is None
        for number in TAKEN:
            assert guard.takes(number)
            send(number)
        assert not guard.takes(signal.SIGCHLD)
    assert guard.signum == signal.SIGINT
    assert [signal.getsignal(number) for number in TAKEN] == before
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_handlers_are_given_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), SignalGuard():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalGuard() as guard:
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert guard.signum is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_guards_may_be_nested() -> None:
    with SignalGuard() as outer:
        with SignalGuard() as inner:
            send(signal.SIGTERM)
        assert (inner.signum, outer.signum) == (signal.SIGTERM, None)
        send(signal.SIGHUP)
        assert outer.signum == signal.SIGHUP


def test_another_thread_takes_no_signals() -> None:
    guards: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with SignalGuard() as guard:
            guards.append(guard.active)
            guards.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert guards == [False, True]


def test_while_raising_a_signal_gets_out_of_the_code_that_runs() -> None:
    with SignalGuard() as guard:
        send(signal.SIGINT)  # nothing happens: not raising
        guard.raising = True
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        # A second one at once must not strike the code that handles the first.
        send(signal.SIGTERM)
        guard.raising = False


def test_code_that_swallows_the_interrupt_is_interrupted_again_later() -> None:
    with SignalGuard() as guard:
        guard.raising = True
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        guard._raised_at -= 1  # a second later
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_an_ear_hears_each_signal_until_it_is_taken_away() -> None:
    mouth, ear = socket.socketpair()
    mouth.setblocking(False)
    ear.setblocking(False)
    with mouth, ear, SignalGuard() as guard:
        guard.tell(mouth)
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert ear.recv(64) == bytes((signal.SIGTERM, signal.SIGINT))
        guard.tell(None)
        send(signal.SIGTERM)
        with pytest.raises(BlockingIOError):
            ear.recv(64)
    assert signal.set_wakeup_fd(-1) == -1


def test_the_ear_of_an_event_loop_is_left_alone() -> None:
    """In the main thread of asyncio, the loop has the one place for a wake-up; it must still hear."""
    pairs = [socket.socketpair() for _ in range(2)]
    for end in (end for pair in pairs for end in pair):
        end.setblocking(False)
    (loop_mouth, loop_ear), (mouth, ear) = pairs
    signal.set_wakeup_fd(loop_mouth.fileno())
    try:
        with SignalGuard() as guard:
            guard.tell(mouth)
            send(signal.SIGTERM)
            assert ear.recv(64) == loop_ear.recv(64) == bytes((signal.SIGTERM,))
    finally:
        assert signal.set_wakeup_fd(-1) == loop_mouth.fileno()
        for end in (end for pair in pairs for end in pair):
            end.close()


def test_names() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert signal_name(999) == "signal 999"
