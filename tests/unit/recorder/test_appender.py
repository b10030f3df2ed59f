"""The growing end of the chain: its bytes are canonical, and it dies rather than go on in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import rfc8785

from hearth.errors import RecorderError
from hearth.record import GENESIS_HASH, hash_entry_bytes
from hearth.recorder import ExecutionObserver

if TYPE_CHECKING:
    from collections.abc import Callable


class Sink:
    """A sink that keeps the lines, and raises when told to."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.fault: BaseException | None = None
        self.before: Any = None

    def append(self, line: bytes) -> None:
        if self.before:
            self.before()
        if self.fault:
            raise self.fault
        self.kept.append(line)

    def sync(self) -> None:
        if self.fault:
            raise self.fault

    def close(self) -> None:
        """Nothing is open."""

    def lines(self) -> Any:
        return iter([line[:-1] for line in self.kept])


def test_every_kind_of_entry_is_written_in_canonical_form() -> None:
    sink = Sink()
    observer = ExecutionObserver('run "1" é\u2028', "plan", journal=sink, plan=type("Plan", (), {"steps": (1,)})())
    observer.record_step_started(-3, 'a"b\\\n', {"z": 1, "a": {"é": 1.0}})
    observer.record_side_effect("OTHER", "d\x7f", reversible=True, step_index=-3)
    observer.record_side_effect("OTHER", "", details={"k": [1e-6]})
    observer.record_step_completed(-3, "a")
    observer.record_step_failed(2**53 - 1, "", None)
    observer.mark_completed("done é")
    previous = GENESIS_HASH
    assert len(sink.kept) == 7
    for sequence, line in enumerate(sink.kept):
        stated, _, raw = line.partition(b" ")
        assert raw.endswith(b"}\n")
        entry = orjson.loads(raw)
        assert rfc8785.dumps(entry) == raw[:-1]
        assert hash_entry_bytes(raw[:-1]).encode() == stated
        assert (entry["sequence"], entry["previous_event_hash"]) == (sequence, previous)
        previous = stated.decode()
    assert observer.head_hash == previous


@pytest.mark.parametrize(
    "fault", [RecorderError("disk full"), OSError("gone"), MemoryError(), KeyboardInterrupt(), SystemExit()]
)
def test_after_an_unknown_outcome_nothing_is_recorded_any_more(fault: BaseException) -> None:
    sink = Sink()
    observer = ExecutionObserver("run", "plan", journal=sink)
    sink.fault = fault
    with pytest.raises(type(fault)):
        observer.record_side_effect("OTHER", "x")
    sink.fault = None
    kept = list(sink.kept)
    acts: tuple[Callable[[], object], ...] = (
        lambda: observer.record_step_started(0, "a"),
        lambda: observer.record_side_effect("OTHER", "x"),
        observer.mark_completed,
    )
    for act in acts:
        with pytest.raises(RecorderError):
            act()
    assert sink.kept == kept


def test_a_sync_that_fails_means_that_the_step_does_not_start() -> None:
    class NoSync(Sink):
        def sync(self) -> None:
            message = "the disk did not answer"
            raise RecorderError(message)

    observer = ExecutionObserver("run", "plan", journal=NoSync())
    acted = False
    with pytest.raises(RecorderError, match="did not answer"):  # noqa: PT012 - what stands behind the start counts
        observer.record_step_started(0, "a")
        acted = True
    assert not acted


def test_the_order_is_append_then_sync_then_act() -> None:
    order: list[str] = []

    class Told(Sink):
        def append(self, line: bytes) -> None:
            super().append(line)
            order.append("append " + orjson.loads(line[65:])["event_type"])

        def sync(self) -> None:
            order.append("sync")

    observer = ExecutionObserver("run", "plan", journal=Told())
    observer.record_step_started(0, "a")
    order.append("act")
    observer.record_side_effect("OTHER", "x", step_index=0)
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    assert order == [
        "append execution_started",
        "append step_started",
        "sync",
        "act",
        "append side_effect",
        "append step_completed",
        "append execution_sealed",
        "sync",
    ]


def test_recording_out_of_the_sink_itself_forks_nothing() -> None:
    """As a signal handler would, in the middle of an entry: whatever is in the sink is one chain."""
    sink = Sink()
    observer = ExecutionObserver("run", "plan", journal=sink)

    def again() -> None:
        sink.before = None
        observer.record_side_effect("OTHER", "from within")

    sink.before = again
    try:
        observer.record_side_effect("OTHER", "outer")
        observer.record_side_effect("OTHER", "after")
    except RecorderError:
        pass
    entries = [orjson.loads(line[65:]) for line in sink.kept]
    assert len({entry["sequence"] for entry in entries}) == len(entries), "no number was given twice"
