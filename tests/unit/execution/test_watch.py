"""RunWatch: what stops a run from outside is noticed, by a call or by asking."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from hearth.errors import ArtemisEscalationError
from hearth.execution._watch import RunWatch
from hearth.kernel import HearthKernel
from hearth.security import BoundaryState, Posture, SecurityState


class ForeignKernel:
    """Somebody else's kernel: two questions, nothing more."""

    def __init__(self, security: str = "OPERATIONAL", boundary: str = "NOMINAL") -> None:
        self.security = security
        self.boundary = boundary

    def get_security_state(self) -> str:
        return self.security

    def get_boundary_state(self) -> str:
        return self.boundary


def watch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hearth-watch"]


def test_a_kernel_that_calls_cancels_at_once_in_the_calling_thread() -> None:
    kernel = HearthKernel()
    with RunWatch(kernel) as watch:
        killed: list[bool] = []
        watch.cancellation.on_request(lambda: killed.append(watch.cancellation.immediate))
        kernel.escalate("LOCKDOWN", "stop everything")
        assert killed == [True]
        assert watch.escalation is not None
        assert watch.escalation.new_state is SecurityState.LOCKDOWN
        assert watch.escalation.reason == "stop everything"
        assert "LOCKDOWN: stop everything" in watch.cancellation.reason
    assert not kernel._keeper._subscribers, "the run's end ends the subscription"


def test_the_first_escalation_counts_and_one_before_the_start_does_not() -> None:
    kernel = HearthKernel()
    kernel.escalate("DEGRADED", "before")
    with RunWatch(kernel) as watch:
        assert watch.look() is None
        kernel.report_boundary("ELEVATED", "first")
        kernel.escalate("LOCKDOWN", "second")
        escalation = watch.look()
        assert escalation is not None
        assert (escalation.new_state, escalation.reason) == (BoundaryState.ELEVATED, "first")


def test_a_foreign_kernel_is_asked() -> None:
    kernel = ForeignKernel()
    with RunWatch(kernel) as watch:
        assert watch.look() is None
        kernel.security = "COMPROMISED"
        escalation = watch.look()
        assert escalation is not None
        assert escalation.new_state is SecurityState.COMPROMISED
        assert escalation.reason == "the posture went from OPERATIONAL/NOMINAL to COMPROMISED/NOMINAL"
        kernel.security = "OPERATIONAL"
        assert watch.look() is escalation, "an escalation stands for the rest of the run"


def test_a_foreign_kernel_that_dies_is_an_escalation() -> None:
    kernel = ForeignKernel()
    with RunWatch(kernel) as watch:
        del kernel.security
        escalation = watch.look()
        assert escalation is not None
        assert escalation.new_state == "UNKNOWN"
        assert "could not be read: AttributeError" in escalation.reason


def test_the_thread_asks_a_foreign_kernel_while_a_task_runs() -> None:
    kernel = ForeignKernel()
    with RunWatch(kernel) as watch:
        watch.start_thread(polls=True)
        kernel.boundary = "LOCKDOWN"
        assert watch.cancellation.wait(5)
        assert watch.cancellation.immediate
        assert len(watch_threads()) == 1
    assert watch_threads() == []


def test_no_thread_where_nothing_needs_one() -> None:
    alive: list[int] = []

    def run() -> None:  # not the main thread: no signals to take
        with RunWatch(HearthKernel()) as watch:
            watch.start_thread(polls=True)
            alive.append(len(watch_threads()))
        with RunWatch(None) as watch:
            watch.start_thread(polls=True)
            alive.append(len(watch_threads()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert alive == [0, 0]


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_the_first_signal_asks_the_second_one_kills() -> None:
    with RunWatch(HearthKernel()) as watch:
        watch.start_thread(polls=True)
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.cancellation.wait(5)
        assert not watch.cancellation.immediate
        assert watch.interruption == "interrupted by SIGTERM"
        immediate = threading.Event()

        def note() -> None:
            if watch.cancellation.immediate:
                immediate.set()

        watch.cancellation.on_request(note)
        os.kill(os.getpid(), signal.SIGINT)
        assert immediate.wait(5)
        assert watch.interruption == "interrupted by SIGTERM", "the first signal is the one to name"


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_signal_that_another_thread_took_gets_the_main_thread_out_of_its_call() -> None:
    """The handler would wait for the end of the call; and the help to interrupt it is no second signal."""
    with RunWatch(None) as watch:
        watch.start_thread(polls=False)

        def take() -> None:
            time.sleep(0.1)  # until the main thread is in its call
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        thread = threading.Thread(target=take)
        began = time.monotonic()
        watch.signals.raising = True
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal comes while the main thread sleeps
            thread.start()
            time.sleep(5)
        watch.signals.raising = False
        thread.join()
        assert time.monotonic() - began < 4
        assert watch.cancellation.wait(5)
    assert not watch.cancellation.immediate
    assert watch.interruption == "interrupted by SIGTERM"


@pytest.mark.parametrize(
    "state,posture",
    [
        (SecurityState.COMPROMISED, Posture(SecurityState.COMPROMISED)),
        ("compromised", Posture(SecurityState.COMPROMISED)),
        (BoundaryState.COMPROMISED, Posture(boundary=BoundaryState.COMPROMISED)),
        ("ELEVATED", Posture(boundary=BoundaryState.ELEVATED)),
        ("SIDEWAYS", Posture()),
    ],
)
def test_a_step_s_word_for_an_escalation_reaches_the_kernel(state: object, posture: Posture) -> None:
    kernel = HearthKernel()
    with RunWatch(kernel) as watch:
        escalation = watch.report(ArtemisEscalationError(state, "the step saw it"))
        assert (escalation.new_state, escalation.reason) == (state, "the step saw it")
    assert kernel.posture == posture


def test_a_foreign_kernel_s_own_methods_are_left_alone() -> None:
    kernel: Any = SimpleNamespace(
        get_security_state=lambda: "OPERATIONAL",
        get_boundary_state=lambda: "NOMINAL",
        escalate=lambda *_: pytest.fail("what this means nobody knows"),
        subscribe=lambda: None,
    )
    with RunWatch(kernel) as watch:
        watch.report(ArtemisEscalationError("LOCKDOWN", "x"))
        assert watch.look() is not None
