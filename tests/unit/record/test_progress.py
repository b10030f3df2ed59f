"""The state machine behind COMPLETED and COMPLETED_PARTIAL: orders that give the one, orders that give the other."""

from __future__ import annotations

import itertools

import pytest

from hearth.record import ExecutionStatus, Progress


def run(script: str, steps: tuple[int, ...] | None = None) -> Progress:
    """`s0 c0 f1`: start, completion, failure of a step."""
    progress = Progress(steps)
    for act in script.split():
        index = int(act[1:])
        if act[0] == "s":
            progress.started(index)
        else:
            progress.ended(index, ok=act[0] == "c")
    return progress


@pytest.mark.parametrize(
    "script, steps",
    [
        ("", None),
        ("", ()),
        ("s0 c0", None),
        ("s0 c0", (0,)),
        ("s1 s0 c0 c1", (0, 1)),
        ("s0 s0 c0 c0", (0,)),
        ("s0 c0 s0 c0", (0, 0)),
        ("c0 c1", (0, 1)),
        ("s5 c5 s5 c5 s6 c6", (5, 6)),
        ("s0 c0 s9 c9", (0,)),
    ],
)
def test_completed(script: str, steps: tuple[int, ...] | None) -> None:
    assert run(script, steps).status_when_completed() is ExecutionStatus.COMPLETED


@pytest.mark.parametrize(
    "script, steps",
    [
        ("", (0,)),
        ("s0", None),
        ("s0", (0,)),
        ("s0 f0", None),
        ("f0", None),
        ("s0 f0 s0 c0", None),
        ("s0 s0 c0", None),
        ("s0 c0", (0, 1)),
        ("s0 c0", (0, 0)),
        ("s0 c0 c0", (0, 1)),
        ("s0 c0 s1", (0, 1)),
        ("s0 c0 s7 c7", (0, 1)),
        ("s0 c1", None),
    ],
)
def test_completed_partial(script: str, steps: tuple[int, ...] | None) -> None:
    assert run(script, steps).status_when_completed() is ExecutionStatus.COMPLETED_PARTIAL


def test_an_end_is_matched_to_the_latest_start_of_its_index() -> None:
    progress = Progress()
    progress.started(0, 10, "outer")
    progress.started(1, 15, "other")
    progress.started(0, 20, "inner")
    assert progress.ended(0, ok=True) == (20, "inner", (10, "outer", None))
    assert progress.ended(0, ok=False) == (10, "outer", None)
    assert progress.ended(0, ok=True) is None
    assert set(progress.open) == {1}
    assert progress.ended(1, ok=True) == (15, "other", None)


def test_whether_anything_was_recorded() -> None:
    assert not Progress().any
    for script in ("s0", "c0", "f0", "s0 c0"):
        assert run(script).any


def test_memory_grows_only_with_open_steps() -> None:
    progress = Progress()
    for index in range(10_000):
        progress.started(index)
        progress.ended(index, ok=True)
    assert progress.open == {}
    assert len(progress.wanted) == 0, "not kept where the plan's steps are unknown"


def test_every_order_of_two_whole_steps_is_completed() -> None:
    for order in itertools.permutations(["s0", "c0", "s1", "c1"]):
        starts_first = order.index("s0") < order.index("c0") and order.index("s1") < order.index("c1")
        status = run(" ".join(order), (0, 1)).status_when_completed()
        assert (status is ExecutionStatus.COMPLETED) == starts_first, order
