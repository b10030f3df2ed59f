"""No evidence, no action: when the recorder cannot write, the step does not start and the run stops.

Each fault comes in its two kinds: the failing call did nothing, or it did its work and failed all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import RecorderError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.recorder import Journal, read_journal
from tests.unit.execution.executor_support import MemorySink, Note, make_plan, notes

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.record import ExecutionRecord


def run(folder: Path, sink: Any, *, steps: int = 3) -> tuple[list[ExecutionRecord], RecorderError | None]:
    """Run a plan of notes on `sink`; return what was kept, and the recorder's error."""
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="a fault")
    task = Note()
    plan = make_plan(folder, [{"text": str(number)} for number in range(steps)], task=task)
    kept: list[ExecutionRecord] = []
    executor = ApprovalExecutor(kernel, tasks={"note": task}, journal=lambda _: sink, keep=kept.append)
    try:
        executor.execute(plan)
    except RecorderError as error:
        return kept, error
    return kept, None


def test_each_step_s_intent_is_durable_before_its_action(tmp_path: Path) -> None:
    sink = MemorySink()
    seen: list[list[str]] = []

    def look(_: object) -> None:
        durable = b"".join(sink.accepted[: sink.synced])
        seen.append([str(number) for number in range(3) if b'"step_index":%d' % number in durable])

    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="x")
    task = Note(hooks={"look": look})
    plan = make_plan(tmp_path, [{"call": "look"}] * 3, task=task)
    ApprovalExecutor(kernel, tasks={"note": task}, journal=lambda _: sink).execute(plan)
    assert seen == [["0"], ["0", "1"], ["0", "1", "2"]]


def total_calls(folder: Path) -> tuple[int, int]:
    sink = MemorySink()
    kept, error = run(folder, sink)
    assert error is None
    assert len(kept) == 1
    return sink.calls.count("append"), sink.calls.count("sync")


@pytest.mark.parametrize("written", [False, True], ids=["did nothing", "did it all the same"])
def test_wherever_an_append_fails_nothing_acts_any_more(tmp_path: Path, written: bool) -> None:
    (tmp_path / "whole").mkdir()
    appends, _ = total_calls(tmp_path / "whole")
    assert appends == 11  # started, three times (start, effect, end), sealed
    for number in range(1, appends + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        sink = MemorySink(("append", number), written=written)
        kept, error = run(folder, sink)
        # The first entry starts the execution; then come three a step, of which the first precedes the action.
        starts_recorded = len([call for call in range(2, number) if (call - 2) % 3 == 0])
        assert notes(folder) == [str(step) for step in range(min(starts_recorded, 3))], f"append {number}"
        assert error is not None
        assert getattr(error, "execution_record", None) is None
        assert kept == [], "a record with an unknown end is not kept as if it were whole"
        after_failure = sink.calls[sink.calls.index("append") :].count("append")
        assert after_failure == number, "nothing is recorded after the failure"
        assert sink.closed


def test_wherever_a_sync_fails_the_step_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    _, syncs = total_calls(tmp_path / "whole")
    assert syncs >= 4  # three starts and the seal; what is synced after the seal adds nothing
    for number in range(1, 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        sink = MemorySink(("sync", number))
        kept, error = run(folder, sink)
        assert error is not None
        assert kept == []
        # Each step's start is synced once, before its action; the last sync is the seal's.
        assert notes(folder) == [str(step) for step in range(number - 1)], f"sync {number}"


def test_a_sink_that_dies_after_the_seal_was_durable_takes_nothing_away(tmp_path: Path) -> None:
    kept, error = run(tmp_path, MemorySink(("sync", 5)))
    assert error is None
    assert kept[0].verify()
    assert kept[0].status == "completed"


def test_a_recorder_that_fails_in_dry_run_stops_the_run_too(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{}, {}], task=task)
    sink = MemorySink(("append", 4))
    with pytest.raises(RecorderError):
        ApprovalExecutor(HearthKernel(), tasks={"note": task}, journal=lambda _: sink).execute(plan)


def test_a_file_that_may_not_grow_stops_the_run_before_the_next_action(tmp_path: Path) -> None:
    """From the middle of a step on the system refuses every byte more, as it does on a full disk."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "run.journal"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))

    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="x")
    task = Note(hooks={"fill": fill})
    plan = make_plan(tmp_path, [{"text": "one"}, {"text": "two", "call": "fill"}, {"text": "three"}], task=task)
    try:
        with pytest.raises(RecorderError, match="File too large"):
            ApprovalExecutor(kernel, tasks={"note": task}, journal=lambda _: Journal.create(path)).execute(plan)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert notes(tmp_path) == ["one", "two"]
    kinds = [(str(entry.event_type), entry.step_index) for entry in read_journal(path).entries]
    assert ("step_started", 1) in kinds
    assert ("step_started", 2) not in kinds
