"""Results of all shapes are read, and in doubt a step has failed."""

from __future__ import annotations

import asyncio
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from hearth.execution import StepOutcome, TaskEffect, TaskResult
from hearth.execution._results import read_outcome
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("result", [None, SimpleNamespace(), {}, True, 0, "done", object()])
def test_what_says_nothing_of_a_failure_is_success(result: object) -> None:
    assert read_outcome(result) == StepOutcome()


def test_a_task_s_result_is_read_whole() -> None:
    effect = TaskEffect("NETWORK", "GET /", reversible=False, details={"status": 200})
    outcome = read_outcome(TaskResult(failed=True, error="no", details={"a": 1}, side_effects=(effect,)))
    assert (outcome.failed, outcome.error, outcome.details) == (True, "no", {"a": 1})
    (read,) = outcome.side_effects
    assert (read.category, read.description, read.reversible, read.details) == (
        SideEffectCategory.NETWORK, "GET /", False, {"status": 200},
    )  # fmt: skip


def test_attributes_and_keys_are_read_alike() -> None:
    values = {"failed": 1, "error": ValueError("bad"), "details": [1], "side_effects": [{"category": "OTHER"}]}
    for result in (values, SimpleNamespace(**values)):
        outcome = read_outcome(result)
        assert (outcome.failed, outcome.error, outcome.details) == (True, "bad", {"details": [1]})
        assert len(outcome.side_effects) == 1


@pytest.mark.parametrize(
    "given,category",
    [
        ("FILE_SYSTEM", SideEffectCategory.FILE_SYSTEM),
        ("network", SideEffectCategory.NETWORK),
        (SideEffectCategory.DATA_MUTATION, SideEffectCategory.DATA_MUTATION),
        ("OTHER", SideEffectCategory.OTHER),
    ],
)
def test_a_known_category_is_taken_by_its_name(given: object, category: SideEffectCategory) -> None:
    (effect,) = read_outcome({"side_effects": [{"category": given, "description": "d"}]}).side_effects
    assert effect.category is category
    assert effect.details == {}


@pytest.mark.parametrize("given", ["TELEPATHY", 7, None])
def test_an_unknown_category_is_kept_beside_other(given: object) -> None:
    (effect,) = read_outcome(
        {"side_effects": [{"category": given, "description": "d", "details": {"a": 1}}]}
    ).side_effects
    assert effect.category is SideEffectCategory.OTHER
    assert effect.details == {"a": 1, "given_category": given}


def test_an_effect_of_no_known_shape_is_kept_whole() -> None:
    thing = object()
    (first, second) = read_outcome({"side_effects": [thing, "wrote a file"]}).side_effects
    assert first.category is SideEffectCategory.OTHER
    assert first.details == {"given_effect": thing}
    assert second.details == {"given_effect": "wrote a file"}


def test_false_is_a_failure() -> None:
    assert read_outcome(False) == StepOutcome.failure("the step returned False")


def test_a_coroutine_that_nobody_awaits_is_a_failure_and_no_warning() -> None:
    async def step() -> None:
        await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = read_outcome(step())
    assert outcome.failed
    assert "awaitable" in outcome.error


class Grudging:
    side_effects = (SimpleNamespace(category="SYSTEM", description="did it"),)
    details = {"a": 1}  # noqa: RUF012 - as a caller's class may have it

    @property
    def failed(self) -> bool:
        raise RuntimeError("ask later")


def test_a_result_that_raises_is_a_failure_and_keeps_what_could_be_read() -> None:
    outcome = read_outcome(Grudging())
    assert outcome.failed
    assert outcome.error == "the step's result cannot be read: RuntimeError: ask later"
    assert outcome.details == {"a": 1}
    assert [effect.description for effect in outcome.side_effects] == ["did it"]


def test_effects_that_end_in_an_exception_are_a_failure() -> None:
    def effects() -> Iterator[dict[str, str]]:
        yield {"category": "SYSTEM", "description": "first"}
        raise OSError("the list is torn")

    outcome = read_outcome(SimpleNamespace(side_effects=effects()))
    assert outcome.failed
    assert "the list is torn" in outcome.error


def test_no_value_is_ever_lost_to_a_missing_attribute() -> None:
    outcome = read_outcome(SimpleNamespace(failed=True, error=None))
    assert (outcome.failed, outcome.error) == (True, "")
