"""Before every step Stage 4 asks whether the recorder can go on, and whether there is room for it."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import RecorderError, RecorderUnfitError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.record import ExecutionStatus, SealCause
from hearth.recorder import Journal
from hearth.security import Policy
from tests.unit.execution.executor_support import MemorySink, Note, make_plan, notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK = "hearth.execution._health._look_at"
PLENTY = 1 << 40


def run(folder: Path, hook: Callable[[], object], *, policy: Policy | None = None, sink: Any = None) -> Any:
    """Run three notes; `hook` is called by the first one."""
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="a full disk")
    task = Note(hooks={"call": lambda _: hook()})
    plan = make_plan(folder, [{"text": "one", "call": "call"}, {"text": "two"}, {"text": "three"}], task=task)
    (folder / "journals").mkdir()
    executor = ApprovalExecutor(
        kernel,
        tasks={"note": task},
        journal=lambda _: sink or Journal.create(folder / "journals/run"),
        policy=policy,
    )
    return executor.execute(plan, execution_id="run-1")


def refused(folder: Path, hook: Callable[[], object]) -> RecorderUnfitError:
    with pytest.raises(RecorderUnfitError) as caught:
        run(folder, hook, policy=Policy(free_space=64 << 20, source="the policy"))
    return caught.value


def test_too_little_room_seals_the_run_before_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOK, lambda _: (PLENTY, False))
    error = refused(tmp_path, lambda: monkeypatch.setattr(LOOK, lambda _: ((64 << 20) - 1, False)))
    assert notes(tmp_path) == ["one"]
    record = error.execution_record
    assert record is not None
    assert record.verify()
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECORDER_FAILURE)
    assert record.completion_reason == str(error)
    for word in (
        "step 1 (note 1) was not begun",
        str(tmp_path / "journals"),
        "64.0 MB are free",
        "needs 64 MB",
        "make room, or lower `journal: free_space_mb:` in the policy",
    ):
        assert word in str(error)


def test_exactly_enough_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOK, lambda _: (16 << 20, False))
    assert run(tmp_path, lambda: None).steps_completed == 3


def test_before_the_first_step_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOK, lambda _: (0, False))
    error = refused(tmp_path, lambda: None)
    assert notes(tmp_path) == []
    assert error.execution_record is not None
    assert error.execution_record.step_events == ()


def test_a_volume_that_cannot_be_asked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> tuple[int, bool]:
        raise OSError(errno.EIO, "Input/output error")

    error = refused(tmp_path, lambda: monkeypatch.setattr(LOOK, fail))
    assert notes(tmp_path) == ["one"]
    assert "cannot be told: Input/output error" in str(error)
    assert error.execution_record is not None


def test_a_volume_that_became_read_only_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(tmp_path, lambda: monkeypatch.setattr(LOOK, lambda _: (PLENTY, True)))
    assert notes(tmp_path) == ["one"]
    assert "read-only" in str(error)


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="the platform has no statvfs")
@pytest.mark.parametrize("flags", [0, getattr(os, "ST_RDONLY", 1)])
def test_what_the_system_says_of_the_volume_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int) -> None:
    """What only the administrator may still write (bfree) is no room for the journal."""
    asked: list[Path] = []

    def volume(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(f_bavail=(16 << 20) // 4096, f_bfree=0, f_frsize=4096, f_bsize=1, f_flag=flags)

    monkeypatch.setattr("hearth.execution._health.os.statvfs", volume)
    if flags:
        with pytest.raises(RecorderUnfitError, match="read-only"):
            run(tmp_path, lambda: None)
    else:
        assert run(tmp_path, lambda: None).steps_completed == 3
        assert asked == [tmp_path / "journals"] * 3


def test_a_platform_without_statvfs_is_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("hearth.execution._health.os.statvfs", raising=False)
    rooms = iter((PLENTY, PLENTY, 0))
    monkeypatch.setattr("hearth.execution._health.shutil.disk_usage", lambda _: SimpleNamespace(free=next(rooms)))
    with pytest.raises(RecorderUnfitError, match="needs"):
        run(tmp_path, lambda: None)
    assert notes(tmp_path) == ["one", "two"]


def test_a_sink_is_asked_before_each_step_and_its_word_ends_the_run(tmp_path: Path) -> None:
    class Sick(MemorySink):
        checks = 0

        def check(self) -> None:
            self.checks += 1
            if self.checks > 1:
                raise RecorderError("the tape is torn")

    sink = Sick()
    with pytest.raises(RecorderError, match="the tape is torn") as caught:
        run(tmp_path, lambda: None, sink=sink)
    assert not isinstance(caught.value, RecorderUnfitError)
    assert notes(tmp_path) == ["one"]
    assert sink.closed
    assert not any(b"execution_sealed" in line for line in sink.accepted), "nothing is sealed on a dead recorder"


def test_a_journal_that_lost_its_name_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match=r"journals/run: the journal could not be written \(the file is gone"):
        run(tmp_path, (tmp_path / "journals/run").unlink)
    assert notes(tmp_path) == ["one"]


def test_without_a_journal_there_is_nothing_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOOK, lambda _: (0, True))
    task = Note()
    plan = make_plan(tmp_path, [{}], task=task)
    assert ApprovalExecutor(HearthKernel(), tasks={"note": task}).execute(plan).steps_completed == 1


def test_a_seal_that_cannot_be_written_is_a_recorder_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk may be noticed first by its free space; then not even the seal fits."""

    def full() -> None:
        monkeypatch.setattr(LOOK, lambda _: (0, False))
        monkeypatch.setattr("hearth.recorder._journal._fdatasync", no_space)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RecorderError, match="No space left") as caught:
        run(tmp_path, full)
    assert not isinstance(caught.value, RecorderUnfitError)
    assert notes(tmp_path) == ["one"]
