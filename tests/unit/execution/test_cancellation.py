from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from hearth.execution import Cancellation

if TYPE_CHECKING:
    from types import FrameType


def test_nothing_is_requested_at_first() -> None:
    cancellation = Cancellation()
    assert (cancellation.requested, cancellation.immediate, cancellation.reason) == (False, False, "")
    assert cancellation.wait(0) is False


def test_the_first_reason_stays() -> None:
    cancellation = Cancellation()
    cancellation.request("first")
    cancellation.request("second")
    assert (cancellation.requested, cancellation.immediate, cancellation.reason) == (True, False, "first")


def test_an_immediate_request_outranks_a_plain_one_and_nothing_outranks_it() -> None:
    cancellation = Cancellation()
    cancellation.request("Ctrl-C")
    cancellation.request("LOCKDOWN", immediate=True)
    cancellation.request("later")
    cancellation.request("later still", immediate=True)
    assert (cancellation.immediate, cancellation.reason) == (True, "LOCKDOWN")


def test_callbacks_hear_of_each_level_once() -> None:
    cancellation = Cancellation()
    heard: list[bool] = []
    cancellation.on_request(lambda: heard.append(cancellation.immediate))
    for immediate in (False, False, True, True, False):
        cancellation.request("x", immediate=immediate)
    assert heard == [False, True]


def test_a_late_callback_is_called_at_once_and_for_the_next_level() -> None:
    cancellation = Cancellation()
    cancellation.request("x")
    heard: list[bool] = []
    cancellation.on_request(lambda: heard.append(cancellation.immediate))
    assert heard == [False]
    cancellation.request("y", immediate=True)
    assert heard == [False, True]


def test_a_removed_callback_is_not_called() -> None:
    cancellation = Cancellation()
    heard: list[int] = []
    with cancellation.on_request(lambda: heard.append(1)):
        pass
    handle = cancellation.on_request(lambda: heard.append(2))
    handle.remove()
    handle.remove()
    cancellation.request("x")
    assert heard == []


def test_one_failing_callback_does_not_keep_the_others_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    cancellation = Cancellation()
    heard: list[int] = []
    cancellation.on_request(lambda: heard.append(1 // 0))
    cancellation.on_request(lambda: heard.append(2))
    cancellation.request("x")
    assert heard == [2]
    assert "a callback of a cancellation failed" in caplog.text


def test_a_request_wakes_a_waiting_thread() -> None:
    cancellation = Cancellation()
    waiting = threading.Event()
    seen: list[bool] = []

    def wait() -> None:
        waiting.set()
        seen.append(cancellation.wait(10))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    cancellation.request("x")
    thread.join(10)
    assert seen == [True]


def test_no_callback_is_missed_while_threads_register_and_request() -> None:
    for _ in range(50):
        cancellation = Cancellation()
        heard: list[int] = []
        start = threading.Barrier(5)

        def register(number: int, cancellation: Cancellation = cancellation, start: threading.Barrier = start) -> None:
            start.wait()
            cancellation.on_request(lambda: heard.append(number))  # noqa: B023 - joined within the same turn

        threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        start.wait()
        cancellation.request("x")
        for thread in threads:
            thread.join()
        assert sorted(heard) == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_a_signal_handler_may_request_while_its_thread_registers() -> None:
    cancellation = Cancellation()

    def handler(_number: int, _frame: FrameType | None) -> None:
        cancellation.request("signal", immediate=True)

    before = signal.signal(signal.SIGALRM, handler)
    heard: list[int] = []
    registered = 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while not cancellation.requested or registered < 10:
            cancellation.on_request(partial(heard.append, registered))
            registered += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert cancellation.reason == "signal"
    assert sorted(heard) == list(range(registered))
