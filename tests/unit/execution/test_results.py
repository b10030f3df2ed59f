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

    outcome = read_outcome(SimpleNamespace(side_effects=effects(), details={"a": 1}))
    assert outcome.failed
    assert outcome.error == "the step's result cannot be read: side_effects ended after 1: OSError: the list is torn"
    assert [effect.description for effect in outcome.side_effects] == ["first"]
    assert outcome.details == {"a": 1}
    assert "side_effects ended after 1" in outcome.unseen


class Evasive:
    description = "something"

    @property
    def category(self) -> str:
        raise RuntimeError("not now")


def test_one_effect_that_cannot_be_read_takes_no_other_with_it() -> None:
    given = [{"category": "NETWORK", "description": "one"}, Evasive(), {"category": "NETWORK", "description": "three"}]
    outcome = read_outcome(SimpleNamespace(side_effects=given, details={"a": 1}))
    assert [effect.description for effect in outcome.side_effects] == ["one", "three"]
    assert outcome.failed
    assert outcome.error == "the step's result cannot be read: side_effects[1]: RuntimeError: not now"
    assert outcome.details == {"a": 1}
    assert "side_effects[1]" in outcome.unseen
    both = read_outcome(SimpleNamespace(side_effects=given, failed=True, error="row 17"))
    assert both.error.startswith("row 17; the step's result cannot be read: side_effects[1]")


def test_effects_that_are_no_list_are_a_failure_that_says_so() -> None:
    outcome = read_outcome(SimpleNamespace(side_effects=5, details={"a": 1}))
    assert outcome.failed
    assert outcome.error.startswith("the step's result cannot be read: side_effects: TypeError")
    assert outcome.details == {"a": 1}


@pytest.mark.parametrize("given", ["wrote a file", {"category": "OTHER", "description": "wrote a file"}])
def test_one_effect_outside_of_a_list_is_one_effect(given: object) -> None:
    assert len(read_outcome(SimpleNamespace(side_effects=given)).side_effects) == 1


@pytest.mark.parametrize("given", [None, (), [], "", 0, False])
def test_no_effects_are_none(given: object) -> None:
    assert read_outcome(SimpleNamespace(side_effects=given)) == StepOutcome()


@pytest.mark.parametrize("given", ["no", "false", 1, object(), None, False])
def test_only_true_is_reversible(given: object) -> None:
    effects = [{"category": "OTHER", "description": "d", "reversible": given} for given in (given, True)]
    assert [effect.reversible for effect in read_outcome({"side_effects": effects}).side_effects] == [False, True]


def test_no_value_is_ever_lost_to_a_missing_attribute() -> None:
    outcome = read_outcome(SimpleNamespace(failed=True, error=None))
    assert (outcome.failed, outcome.error) == (True, "")
