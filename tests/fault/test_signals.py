"""A signal may come at any place: a handler that records, seals, syncs, reads, closes or raises breaks no chain."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import hearth.recorder._journal as module
from hearth.errors import RecorderError
from hearth.record import Progress
from hearth.recorder import ExecutionObserver, Journal
from hearth.recorder._clock import make_time_text
from tests.fault import _signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal that nothing else uses")

SECOND = 10**9


def struck(*arguments: str) -> None:
    run = subprocess.run(
        [sys.executable, _signals.__file__, *arguments], capture_output=True, text=True, check=False, timeout=280
    )
    assert run.returncode == 0, run.stdout + run.stderr
    *broken, count = run.stdout.splitlines()
    assert broken == []
    assert int(count.split()[0]) > 5, "it struck at all"


@pytest.mark.parametrize(
    "sink, action",
    [("memory", "complete"), ("journal", "interrupt"), ("journal", "mark_incomplete"), ("foreign", "interrupt")],
)
def test_a_signal_at_every_place(sink: str, action: str) -> None:
    struck("every", sink, action)


@pytest.mark.soak
@pytest.mark.parametrize("sink", ["memory", "journal", "foreign"])
@pytest.mark.parametrize("action", sorted(_signals.ACTIONS))
def test_every_action_at_every_place(sink: str, action: str) -> None:
    struck("every", sink, action)


def test_a_signal_in_the_handler_of_another_one() -> None:
    struck("random", "3", "5")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_many_signals_in_handlers(seed: int) -> None:
    struck("random", "60", str(seed))


# --- single cases -----------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal that is closed at exit."""
    return Journal.create(tmp_path / "run.journal")


def profile_once(place: Callable[[Any, str, Any], bool], act: Callable[[], object]) -> None:
    """Do `act` where the profiler first sees `place`, as a signal handler would."""

    def see(frame: Any, event: str, argument: Any) -> None:
        if place(frame, event, argument):
            sys.setprofile(None)
            act()

    sys.setprofile(see)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_handler_that_swallows_its_own_interrupt_does_not_let_the_start_return_early(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the commit over, and did not finish it: the start has to."""
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    journal.sync()
    time.sleep(0.05)  # the thread is at rest
    calls = 0
    real = journal._look_for_file

    def look() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            with pytest.raises(KeyboardInterrupt):  # the handler, which swallows it
                journal.sync()
        elif calls == 2:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(journal, "_look_for_file", look)
    observer.record_step_started(0, "the step")
    assert b"the step" in journal.path.read_bytes()
    assert calls == 3
    journal.close()


def test_an_interrupt_behind_the_lock_leaves_it_free(journal: Journal) -> None:
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    journal.sync()
    time.sleep(0.05)  # the thread is at rest
    profile_once(
        lambda frame, event, what: (
            event == "c_return" and what.__name__ == "acquire" and "_journal" in str(frame.f_code)
        ),
        interrupt,
    )
    with pytest.raises(KeyboardInterrupt):
        observer.record_step_started(0, "a")
    sys.setprofile(None)
    assert not journal._io._is_owned()  # type: ignore[attr-defined]
    journal.close()


def test_a_mark_after_one_that_did_not_become_durable_raises_too(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    journal.sync()

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_fdatasync", fail)
    for _ in range(3):
        with pytest.raises(RecorderError, match="Input/output error"):
            observer.mark_failed("x")
    journal.close()


def test_a_mark_after_a_durable_one_is_a_warning_also_when_the_journal_is_closed(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    observer.mark_completed()
    journal.close()
    observer.mark_failed("late")
    assert "sealed already" in caplog.text


def test_a_close_that_was_interrupted_loses_nothing_and_can_be_done_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(_: int) -> None:
        if threading.current_thread() is threading.main_thread():  # where signals are handled
            raise KeyboardInterrupt

    observer = ExecutionObserver("run-1", "plan", journal=journal)
    journal.sync()
    time.sleep(0.05)  # the thread is at rest
    with monkeypatch.context() as patch:
        patch.setattr(module, "_fdatasync", broken_off)
        observer._append('"x":1,', 0, '"quiet"', quiet=True)
        with pytest.raises(KeyboardInterrupt):
            journal.close()
    journal.close()
    assert b"quiet" in journal.path.read_bytes()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError, RecorderError])
def test_what_a_handler_raises_in_a_commit_does_not_kill_the_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    journal.sync()
    time.sleep(0.05)  # the thread is at rest
    with monkeypatch.context() as patch:

        def handle(_: int) -> None:
            if threading.current_thread() is threading.main_thread():
                raise raised("from a handler")

        patch.setattr(module, "_fdatasync", handle)
        with pytest.raises(raised, match="from a handler"):
            observer.record_step_started(0, "a")
    observer.record_step_started(1, "b")
    journal.close()


def test_a_time_that_was_broken_off_does_not_stay() -> None:
    moments = [1_790_000_000 * SECOND]
    now = make_time_text(lambda: moments[-1])
    before = now()
    moments.append(moments[-1] + 3600 * SECOND)
    profile_once(lambda _, event, what: event == "c_return" and what.__name__ == "gmtime", interrupt)
    with pytest.raises(KeyboardInterrupt):
        now()
    sys.setprofile(None)
    moments.append(moments[-1] + 5_000_000)
    assert now() == make_time_text(lambda: moments[-1])()
    assert now()[:13] != before[:13]


def test_a_time_asked_for_within_another_one_is_right_for_both() -> None:
    moments = iter([10 * SECOND, 20 * SECOND, 30 * SECOND + 5_000_000])
    inner: list[str] = []

    def clock() -> int:
        moment = next(moments)
        if moment == 20 * SECOND:
            inner.append(now())
        return moment

    now = make_time_text(clock)
    now()
    assert now() == "1970-01-01T00:00:20.000000Z"
    assert inner == ["1970-01-01T00:00:30.005000Z"]


def test_the_appender_moves_the_progress_as_progress_does() -> None:
    """It does so itself, without a call; the two must not drift apart."""
    scripts = ["s0 s0 c0 f0 c0", "c5 s1 s1 s1 c1 c1", "s2 c2 c2 s2 f2", "f9", "s0 c0 s1 c1 s1 c1 s2 c2"]
    for script in scripts:
        plan = type("Plan", (), {"steps": tuple(type("Step", (), {"index": index})() for index in (0, 1, 1, 2))})()
        observer = ExecutionObserver("run", "plan", plan=plan)
        model = Progress((0, 1, 1, 2))
        for act in script.split():
            index = int(act[1:])
            if act[0] == "s":
                observer.record_step_started(index, "x")
                model.started(index)
            elif act[0] == "c":
                observer.record_step_completed(index, "x")
                model.ended(index, ok=True)
            else:
                observer.record_step_failed(index, "x", "y")
                model.ended(index, ok=False)
            mine = observer._progress
            assert (mine.wanted, mine.failed, mine.any, {*mine.open}) == (
                model.wanted, model.failed, model.any, {*model.open},
            )  # fmt: skip
            assert {index: depth(start) for index, start in mine.open.items()} == {
                index: depth(start) for index, start in model.open.items()
            }


def depth(start: Any) -> int:
    return 0 if start is None else 1 + depth(start[2])
