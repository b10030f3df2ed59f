"""Anything becomes plain JSON, and nothing raises; the handoff's tests have the table of types."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import decimal
import types
from typing import TYPE_CHECKING, Any

import pytest

from hearth.record import Secret, canonical_bytes, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable


class Everything:
    """An object that is broken in whatever way it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        message = f"no {name}"
        raise RuntimeError(message)

    def __repr__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


class BrokenType(type):
    def __getattribute__(cls, name: str) -> Any:
        message = f"no {name}"
        raise RuntimeError(message)


class OfBrokenType(metaclass=BrokenType):
    pass


class BrokenMapping(collections.abc.Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __iter__(self) -> Any:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


class SelfExporting:
    def to_dict(self) -> Any:
        return self


class EverNew:
    def to_dict(self) -> Any:
        return {"next": EverNew()}


@dataclasses.dataclass
class Missing:
    name: str = dataclasses.field(init=False)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


class BadText(str):
    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        message = "no bytes"
        raise RuntimeError(message)

    def __str__(self) -> str:
        return "something else"


VALUES: dict[str, Callable[[], Any]] = {
    "broken": Everything,
    "instance of a broken type": lambda: object.__new__(OfBrokenType),
    "broken type": lambda: OfBrokenType,
    "broken mapping": BrokenMapping,
    "exports itself": SelfExporting,
    "exports ever new ones": EverNew,
    "missing field": Missing,
    "unhashable": Unhashable,
    "generator": lambda: (number for number in range(3)),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "odd keys": lambda: {1: object(), None: {2: {3: b"x"}}},
    "broken within": lambda: [Everything(), {"a": Everything()}],
    "strided view": lambda: memoryview(b"abc")[::2],
    "huge": lambda: 10**20_000,
    "huge and negative": lambda: -(10**20_000),
    "surrogate": lambda: "\udc80",
    "surrogates": lambda: {"\ud800": "\ud800"},
    "bad text": lambda: BadText("abc"),
    "bad text in a dict": lambda: {BadText("abc"): BadText("abc")},
    "UserDict": lambda: collections.UserDict(a=1),
    "deque": lambda: collections.deque([1, 2]),
    "ChainMap": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "keys": {"a": 1}.keys,
    "set in a set": lambda: {frozenset((1, "a", None))},
    "function": lambda: lambda: None,
    "ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
}


@pytest.mark.parametrize("name", VALUES)
def test_nothing_raises_and_everything_is_canonical(name: str) -> None:
    value = VALUES[name]()
    plain = to_plain(value)
    assert canonical_bytes(plain)
    assert canonical_bytes(to_plain({"value": [value]}))


def test_a_broken_object_still_says_what_it_was() -> None:
    assert to_plain(Everything())["$type"].endswith("Everything")
    assert to_plain(Missing())["$type"].endswith("Missing")


def test_a_mapping_is_recorded_as_one() -> None:
    assert to_plain(collections.OrderedDict(b=1)) == {"b": 1}
    assert to_plain(collections.ChainMap({"a": 1}, {"b": 2})) == {"a": 1, "b": 2}
    assert to_plain(types.MappingProxyType({"a": 1})) == {"a": 1}


def test_text_subclasses_are_recorded_by_their_characters() -> None:
    """Not by a `__str__` that says something else."""
    assert to_plain(BadText("abc")) == "abc"


def test_lone_surrogates_are_kept_readable() -> None:
    assert to_plain("a\ud800b") == {"$type": "str", "$text": "a\\ud800b"}
    plain = to_plain({"\ud800": 1})
    assert plain["$type"] == "dict"
    assert plain["$items"][0][1] == 1


def test_sets_are_in_a_settled_order() -> None:
    assert to_plain({"b", "a", 3, 1}) == to_plain({1, 3, "a", "b"})
    assert to_plain({"b", "a"}) == ["a", "b"]


def test_a_secret_leaves_no_trace() -> None:
    plain = to_plain({"a": Secret("hunter2hunter2"), "b": {Secret("hunter2hunter2"): 1}})
    assert "hunter2" not in canonical_bytes(plain).decode()


def test_a_mapping_that_changes_while_it_is_read_does_not_raise() -> None:
    class Growing(dict[str, int]):
        def items(self) -> Any:
            for key in list(self):
                self[key + "x"] = 1
                yield key, self[key]

    assert canonical_bytes(to_plain(Growing(a=1)))


def test_a_subclass_of_a_number_counts_by_its_value() -> None:
    class Metres(float):
        pass

    assert to_plain(Metres(1.5)) == 1.5
    assert type(to_plain(Metres(1.5))) is float
    assert to_plain(decimal.Decimal("1.0")) == {"$type": "decimal.Decimal", "$text": "1.0"}
