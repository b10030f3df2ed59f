"""Deep-frozen copies; the handoff's tests try every mutating method."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from hearth.record import FrozenDict, FrozenList, canonical_bytes, freeze, thaw

if TYPE_CHECKING:
    from collections.abc import Callable


def test_freezing_copies_at_every_depth() -> None:
    tree: dict[str, Any] = {"a": [1, {"b": [2]}], "c": (3, [4])}
    frozen = freeze(tree)
    tree["a"][1]["b"].append(9)
    tree["c"][1].append(9)
    assert frozen == {"a": [1, {"b": [2]}], "c": [3, [4]]}
    assert type(frozen) is FrozenDict
    assert type(frozen["a"]) is type(frozen["c"]) is FrozenList
    assert type(frozen["a"][1]) is FrozenDict
    assert type(frozen["a"][1]["b"]) is FrozenList


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a"])
def test_simple_values_stay_as_they_are(value: Any) -> None:
    assert freeze(value) is value


def test_thawing_gives_a_deep_copy_to_be_changed() -> None:
    frozen = freeze({"a": [1, {"b": []}]})
    plain = thaw(frozen)
    assert type(plain) is dict
    assert type(plain["a"]) is list
    assert type(plain["a"][1]) is dict
    plain["a"][1]["b"].append(1)
    plain["new"] = 1
    assert frozen == {"a": [1, {"b": []}]}


def test_the_message_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="thaw"):
        freeze({})["a"] = 1
    with pytest.raises(TypeError, match="FrozenList"):
        freeze([]).append(1)


def test_building_one_again_in_place_changes_nothing() -> None:
    frozen = freeze({"a": [1]})
    acts: tuple[Callable[[], object], ...] = (lambda: frozen.__init__({"a": 2}), lambda: frozen["a"].__init__([2, 3]))
    for act in acts:
        with pytest.raises(TypeError):
            act()
    assert frozen == {"a": [1]}


@pytest.mark.parametrize("name", ["x", "_built", "__class__", "append"])
def test_no_attribute_is_set_or_deleted(name: str) -> None:
    for frozen in (freeze({"a": [1]}), freeze([1])):
        with pytest.raises(TypeError, match="thaw"):
            setattr(frozen, name, 1)
        with pytest.raises(TypeError, match="thaw"):
            delattr(frozen, name)
        with pytest.raises(TypeError):  # still built, so not built again
            frozen.__init__([])
    assert freeze({"a": [1]}) == {"a": [1]}


def test_copies_and_pickles_are_equal_and_frozen() -> None:
    frozen = freeze({"a": [1, {"b": 2}]})
    for twin in (copy.copy(frozen), copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):  # noqa: S301 - its own
        assert twin == frozen
        with pytest.raises(TypeError):
            twin["a"].append(1)


def test_it_reads_like_any_dict_and_list() -> None:
    frozen = freeze({"a": [1, 2, 3]})
    assert (frozen["a"][0], frozen["a"][1:], frozen.get("x", 7), list(frozen), "a" in frozen) == (
        1,
        [2, 3],
        7,
        ["a"],
        True,
    )
    assert frozen | {"b": 1} == {"a": [1, 2, 3], "b": 1}
    assert frozen["a"] + [4] == [1, 2, 3, 4]
    assert json.dumps(frozen) == '{"a": [1, 2, 3]}'
    assert canonical_bytes(frozen) == b'{"a":[1,2,3]}'
    assert isinstance(frozen, dict)
    assert isinstance(frozen["a"], list)
