"""LateSignals in this very process: what a signal does before and after a run is over."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from hearth.cli._late_signals import ENDING, LateSignals
from hearth.execution._listener import SafeListener

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")


def send(number: int) -> None:
    """Send this process a signal, and let its handler run."""
    os.kill(os.getpid(), number)
    for _ in range(3):
        time.sleep(0)


def handlers() -> list[Any]:
    """Return the handlers of the signals in question."""
    return [signal.getsignal(number) for number in ENDING]


class Shown:
    """A listener with one method besides the end."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def step_started(self, step: object) -> None:
        self.heard.append(f"started {step}")

    def run_finished(self, record: object) -> None:
        self.heard.append("finished")


def test_before_the_run_is_over_ctrl_c_is_what_it_was() -> None:
    before = handlers()
    with pytest.raises(KeyboardInterrupt), LateSignals(keeps=True) as late:
        send(signal.SIGINT)
    assert not late.over
    assert handlers() == before


def test_a_handler_of_the_callers_is_called_until_then() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with LateSignals(keeps=False) as late:
            send(signal.SIGTERM)
            late.told_by(None).run_finished(None)  # type: ignore[arg-type]
            send(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_when_it_is_over_the_first_signal_of_a_kind_does_nothing() -> None:
    before = handlers()
    with LateSignals(keeps=False) as late:
        late.over = True
        for number in ENDING:
            send(number)
            assert signal.getsignal(number) is signal.SIG_DFL  # the second one ends the process
    assert handlers() == before


def test_the_handlers_stay_for_a_process_that_only_has_to_end() -> None:
    before = handlers()
    try:
        with LateSignals(keeps=True):
            inside = handlers()
        assert handlers() == inside != before
        send(signal.SIGINT)
    finally:
        for number, handler in zip(ENDING, before, strict=True):
            signal.signal(number, handler)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with LateSignals(keeps=False):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_calls_are_passed_on_and_what_a_listener_lacks_is_lacking() -> None:
    shown = Shown()
    with LateSignals(keeps=False) as late:
        listener = SafeListener(late.told_by(shown))  # type: ignore[arg-type]
        listener.tell("run_started", None, "one")
        listener.tell("step_started", 0)
        assert not late.over
        listener.tell("run_finished", None)
        assert late.over
    assert shown.heard == ["started 0", "finished"]
