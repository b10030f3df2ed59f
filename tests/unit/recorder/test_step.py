"""A step as a `with` block: whichever way it is left, its end is recorded, and the exception goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ExecutionSealedError, RecorderError
from hearth.record import ExecutionStatus, SideEffectCategory
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def observer() -> ExecutionObserver:
    """An observer in memory."""
    return ExecutionObserver("run", "plan")


def story(observer: ExecutionObserver) -> list[tuple[str, str | None]]:
    """(event, message) of what was recorded between the marks."""
    record = observer.get_execution_record("LIVE")
    return [(entry.event_type.value, entry.error_message) for entry in record.entries[1:]]


def test_a_step_that_ends_well_is_completed(observer: ExecutionObserver) -> None:
    with observer.step(3, "Import", {"source": "a.csv"}) as step:
        assert (step.index, step.name) == (3, "Import")
        step.effect(SideEffectCategory.FILE_SYSTEM, "a file", reversible=True, details={"path": "x"})
        step.details["rows"] = 5
    record = observer.get_execution_record("LIVE")
    started, completed = record.step_events
    (effect,) = record.side_effects_report.side_effects_observed
    assert (started.step_index, started.step_name, started.details) == (3, "Import", {"source": "a.csv"})
    assert (completed.event_type.value, completed.details, completed.step_index) == ("step_completed", {"rows": 5}, 3)
    assert completed.elapsed_us is not None
    assert (effect.step_index, effect.step_name, effect.reversible, effect.details) == (
        3,
        "Import",
        True,
        {"path": "x"},
    )


class NoText(Exception):  # noqa: N818 - a fault, not an error of ours
    def __str__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


@pytest.mark.parametrize(
    "error, message",
    [
        (ValueError("row 17"), "ValueError: row 17"),
        (ValueError(), "ValueError"),
        (KeyError("name"), "KeyError: 'name'"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (RuntimeError("password=hunter2-hunter2"), None),
        (NoText(), None),
    ],
    ids=repr,
)
def test_a_step_that_raises_is_failed_and_the_exception_goes_on(
    observer: ExecutionObserver, error: BaseException, message: str | None
) -> None:
    with pytest.raises(type(error)) as raised, observer.step(0, "a") as step:  # noqa: PT012 - what a step does
        step.details["seen"] = 1
        raise error
    assert raised.value is error
    (_, _), (event, recorded) = story(observer)
    assert event == "step_failed"
    assert recorded is not None
    assert recorded == message if message else recorded.startswith(type(error).__name__)
    assert "hunter2" not in recorded
    assert observer.get_execution_record("LIVE").step_events[-1].details == {"seen": 1}


def test_steps_may_nest(observer: ExecutionObserver) -> None:
    with observer.step(0, "outer"), observer.step(0, "inner"):
        pass
    names = [event.step_name for event in observer.get_execution_record("LIVE").step_events]
    assert names == ["outer", "inner", "inner", "outer"]
    observer.mark_completed()
    assert observer.status is ExecutionStatus.COMPLETED


def test_an_escalation_within_a_step_leaves_its_exception_alone(observer: ExecutionObserver) -> None:
    with pytest.raises(ValueError, match="stopped"), observer.step(0, "a"):  # noqa: PT012 - what a step does
        observer.mark_incomplete_security_escalation("COMPROMISED")
        message = "stopped"
        raise ValueError(message)
    assert [event for event, _ in story(observer)] == ["step_started", "execution_sealed"]


def test_a_step_that_goes_on_after_the_seal_is_told_so(observer: ExecutionObserver) -> None:
    with pytest.raises(ExecutionSealedError), observer.step(0, "a"):
        observer.mark_completed()
    with pytest.raises(ExecutionSealedError), observer.step(0, "a") as step:
        step.effect("OTHER", "too late")


def test_a_step_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "a.journal")
    observer = ExecutionObserver("run", "plan", journal=journal)
    journal.close()
    ran = False
    with pytest.raises(RecorderError), observer.step(0, "a"):
        ran = True
    assert not ran


def test_in_async_code_the_loop_goes_on_while_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        asked.set()
        assert go.wait(10)

    monkeypatch.setattr("hearth.recorder._journal._fdatasync", sync)

    async def main() -> list[str]:
        order: list[str] = []
        with Journal.create(tmp_path / "a.journal") as journal:
            observer = ExecutionObserver("run", "plan", journal=journal)

            async def step() -> None:
                async with observer.step(0, "a") as entered:
                    order.append("acted")
                    entered.effect("OTHER", "x")

            task = asyncio.create_task(step())
            while not asked.is_set():  # noqa: ASYNC110 - it is set by another thread
                await asyncio.sleep(0.001)
            order.append("the loop goes on")
            go.set()
            await task
            observer.mark_completed()
            assert observer.get_execution_record("LIVE").verify()
        return order

    assert asyncio.run(main()) == ["the loop goes on", "acted"]


def test_an_async_step_that_is_cancelled_is_failed() -> None:
    async def main() -> Any:
        observer = ExecutionObserver("run", "plan")
        entered = asyncio.Event()

        async def step() -> None:
            async with observer.step(0, "a"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(step())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return story(observer)

    assert asyncio.run(main()) == [("step_started", None), ("step_failed", "CancelledError")]


def test_a_step_is_entered_once_and_has_its_effects_while_it_is_under_way(
    observer: ExecutionObserver,
) -> None:
    step = observer.step(0, "a")
    with pytest.raises(RuntimeError, match="not under way"):
        step.effect("OTHER", "too early")
    with step:
        step.effect("OTHER", "in time")
    with pytest.raises(RuntimeError, match="not under way"):
        step.effect("OTHER", "too late")
    with pytest.raises(RuntimeError, match="begun already"), step:
        pass
    assert [event for event, _ in story(observer)] == ["step_started", "side_effect", "step_completed"]
