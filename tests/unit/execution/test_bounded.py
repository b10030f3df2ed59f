"""A kernel of somebody else's is asked with a deadline, and a run does not hang or go on unwatched because of it."""

from __future__ import annotations

import contextvars
import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError, GateRefusedError
from hearth.execution import ApprovalExecutor, _bounded
from hearth.execution._bounded import BoundedKernel, KernelEndedError, NoAnswerError, bounded
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan
from hearth.record import ExecutionStatus, SealCause, SecuritySnapshot
from hearth.security import LiveMode, LiveModeGate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHERE: contextvars.ContextVar[str] = contextvars.ContextVar("WHERE", default="nowhere")


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What a hanging kernel waits for."""
    monkeypatch.setattr(_bounded, "_READ_SECONDS", 0.5)
    event = threading.Event()
    yield event
    event.set()


class Kernel:
    """Hangs, or raises, once `trouble` says so."""

    live_mode = "LIVE"

    def __init__(self, let_go: threading.Event) -> None:
        self.trouble: BaseException | str = ""
        self.asked = 0
        self._let_go = let_go

    def get_security_state(self) -> str:
        self.asked += 1
        if isinstance(self.trouble, BaseException):
            raise self.trouble
        if self.trouble:
            self._let_go.wait(60)
        return "OPERATIONAL"

    def get_boundary_state(self) -> str:
        return "NOMINAL"


def test_hearths_own_kernel_is_asked_itself() -> None:
    kernel = HearthKernel()
    assert bounded(kernel) is kernel
    assert bounded(None) is None
    stand_in = bounded(SimpleNamespace())
    assert isinstance(stand_in, BoundedKernel)
    assert bounded(stand_in) is stand_in


def test_what_a_kernel_says_and_raises_is_passed_on(let_go: threading.Event) -> None:
    kernel = Kernel(let_go)
    asked = bounded(kernel)
    assert (asked.get_security_state(), asked.get_boundary_state()) == ("OPERATIONAL", "NOMINAL")
    assert LiveModeGate.of(asked).mode is LiveMode.LIVE
    kernel.trouble = ZeroDivisionError("x")
    with pytest.raises(ZeroDivisionError) as caught:
        asked.get_security_state()
    assert caught.value is kernel.trouble
    kernel.trouble = SystemExit(3)
    with pytest.raises(KernelEndedError, match="raised SystemExit when it was asked for its security state"):
        asked.get_security_state()


def test_what_a_kernel_does_not_have_it_does_not_get() -> None:
    asked = bounded(SimpleNamespace(get_boundary_state=None))
    snapshot = SecuritySnapshot.from_kernel(asked)
    assert snapshot.context == "the kernel has no security state; the kernel has no boundary state"
    assert LiveModeGate.of(asked).mode is LiveMode.DRY_RUN
    assert not hasattr(asked, "subscribe")


def test_it_finds_what_the_caller_has_set() -> None:
    WHERE.set("here")
    asked = bounded(SimpleNamespace(get_security_state=WHERE.get))
    assert asked.get_security_state() == "here"


def test_one_that_hangs_is_not_asked_again_before_it_answers(let_go: threading.Event) -> None:
    kernel = Kernel(let_go)
    asked = bounded(kernel)
    kernel.trouble = "hangs"
    with pytest.raises(NoAnswerError, match=r"did not say its security state within 0\.5 s"):
        asked.get_security_state()
    with pytest.raises(NoAnswerError, match="its boundary state is unknown"):
        asked.get_boundary_state()
    with pytest.raises(NoAnswerError, match="its live-mode gate is unknown"):
        LiveModeGate.of(asked)
    assert kernel.asked == 1
    kernel.trouble = ""
    let_go.set()
    vars(asked)["_silent"].join(20)
    assert asked.get_security_state() == "OPERATIONAL"


def sleepy(folder: Path) -> Any:
    steps = [{"name": "Sleep", "shell": "touch begun; sleep 300"}, {"name": "Never", "shell": "touch never"}]
    return parse_plan({"plan": "sleepy", "steps": steps}, folder=folder)


@pytest.mark.skipif(os.name != "posix", reason="commands need process groups")
@pytest.mark.parametrize(
    "trouble,said", [("hangs", "NoAnswerError"), (SystemExit(3), "KernelEndedError"), (KeyboardInterrupt(), "Ended")]
)
def test_a_run_whose_kernel_does_not_answer_any_more_is_stopped_and_sealed(
    tmp_path: Path, let_go: threading.Event, trouble: BaseException | str, said: str
) -> None:
    kernel = Kernel(let_go)

    class Listener:
        def step_started(self, step: Any) -> None:
            kernel.trouble = trouble

    executor = ApprovalExecutor(kernel, listener=Listener())  # type: ignore[arg-type]  # a part of one
    with pytest.raises(ArtemisEscalationError) as caught:
        executor.execute(sleepy(tmp_path), mode=LiveMode.LIVE)
    record = caught.value.execution_record
    assert record is not None
    assert record.verify()
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.ESCALATION)
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.security_state == "UNKNOWN"
    assert said in record.security_snapshot_post.context
    assert not (tmp_path / "never").exists()


def test_no_run_begins_with_a_kernel_that_does_not_answer(tmp_path: Path, let_go: threading.Event) -> None:
    kernel = Kernel(let_go)
    kernel.trouble = "hangs"
    with pytest.raises(GateRefusedError, match="its live-mode gate is unknown"):
        ApprovalExecutor(kernel).execute(sleepy(tmp_path))
    assert not (tmp_path / "begun").exists()
