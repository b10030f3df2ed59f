"""RunWatch: what stops a run from outside is noticed, by a call or by asking."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError
from hearth.execution import _bounded
from hearth.execution._watch import RunWatch
from hearth.kernel import HearthKernel
from hearth.security import BoundaryState, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Iterator


class ForeignKernel:
    """Somebody else's kernel: two questions, nothing more."""

    def __init__(self, security: str = "OPERATIONAL", boundary: str = "NOMINAL") -> None:
        self.security = security
        self.boundary = boundary

    def get_security_state(self) -> str:
        return self.security

    def get_boundary_state(self) -> str:
        return self.boundary


class StuckKernel(ForeignKernel):
    """One that does not answer any more, or ends the thread that asks, as soon as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble = ""
        self.let_go = threading.Event()

    def get_security_state(self) -> str:
        if self.trouble == "hangs":
            self.let_go.wait(60)
        elif self.trouble == "exits":
            raise SystemExit(3)
        return super().get_security_state()


@pytest.fixture
def stuck() -> Iterator[StuckKernel]:
    kernel = StuckKernel()
    yield kernel
    kernel.let_go.set()


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


@pytest.mark.parametrize("trouble,said", [("hangs", "NoAnswerError"), ("exits", "KernelEndedError")])
def test_a_kernel_that_does_not_answer_is_an_escalation(
    stuck: StuckKernel, trouble: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bounded, "_READ_SECONDS", 0.5)
    with RunWatch(stuck) as watch:
        watch.start_thread(polls=True)
        stuck.trouble = trouble
        assert watch.cancellation.wait(10)
        assert watch.cancellation.immediate
        assert watch.escalation is not None
        assert watch.escalation.new_state == "UNKNOWN"
        assert said in watch.escalation.reason
        assert watch.look() is watch.escalation, "and between steps nobody waits for the kernel"


def test_whatever_ends_the_watching_is_an_escalation(monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWatch(ForeignKernel()) as watch:

        def look() -> None:
            raise SystemExit

        monkeypatch.setattr(watch, "look", look)
        watch.start_thread(polls=True)
        assert watch.cancellation.wait(10)
        assert watch.cancellation.immediate
        assert "SystemExit" in watch.cancellation.reason


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_signals_are_taken_while_a_kernel_hangs(stuck: StuckKernel) -> None:
    with RunWatch(stuck) as watch:
        watch.start_thread(polls=True)
        stuck.trouble = "hangs"
        time.sleep(0.2)  # by now it is asked, and has three seconds to answer
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.cancellation.wait(10)
        assert watch.interruption == "interrupted by SIGTERM"
        assert watch.cancellation.reason == "interrupted by SIGTERM", "the signal did not wait for the kernel"
        stuck.let_go.set()


def test_a_kernel_that_calls_while_it_holds_its_lock_is_asked_in_its_own_thread() -> None:
    class Locking(ForeignKernel):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.RLock()
            self.callbacks: list[Any] = []

        def subscribe(self, callback: Any) -> Any:
            self.callbacks.append(callback)
            return self.callbacks.clear

        def get_security_state(self) -> str:
            with self.lock:
                return self.security

        def lock_down(self) -> None:
            with self.lock:
                self.security = "LOCKDOWN"
                for callback in self.callbacks:
                    callback("stop everything")

    kernel = Locking()
    with RunWatch(kernel) as watch:
        kernel.lock_down()
        assert watch.escalation is not None
        assert watch.escalation.new_state is SecurityState.LOCKDOWN


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
