"""Anything becomes plain JSON, and nothing raises; the handoff's tests have the table of types."""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import dataclasses
import datetime as dt
import decimal
import types
from typing import TYPE_CHECKING, Any

import pytest

from hearth.record import Redactor, Secret, canonical_bytes, text_of, to_plain
from hearth.recorder import ExecutionObserver

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


# --- evidence is not lost ---------------------------------------------------------------------------------------------


class Headers(collections.abc.Mapping[str, str]):
    """As some HTTP libraries have them: `items()` gives a name as often as it came."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def __getitem__(self, key: str) -> str:
        return next(value for name, value in self.pairs if name == key)

    def __iter__(self) -> Any:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(dict(self.pairs))

    def items(self) -> Any:
        return list(self.pairs)


class Alike(str):
    """Texts of the same characters that a dict keeps apart."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_name_that_comes_twice_keeps_both_values() -> None:
    headers = Headers(("X-A", "1"), ("X-A", "2"))
    assert to_plain(headers) == {"$type": "dict", "$items": [["X-A", "1"], ["X-A", "2"]]}
    assert to_plain({"deep": [headers]})["deep"][0]["$items"][1] == ["X-A", "2"]
    assert to_plain(Headers(("X-A", "1"), ("X-B", "2"))) == {"X-A": "1", "X-B": "2"}
    assert to_plain({Alike("a"): 1, Alike("a"): 2}) == {"$type": "dict", "$items": [["a", 1], ["a", 2]]}


def test_a_secret_that_comes_twice_is_taken_out_twice() -> None:
    plain, _ = Redactor().details(Headers(("Cookie", "hunter2-a"), ("Cookie", "hunter2-b")))
    assert [set(value) for _, value in plain["$items"]] == [{"$sha256"}, {"$sha256"}]
    assert "hunter2" not in str(plain)


class NoRepr:
    def __repr__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


def test_one_item_of_a_set_that_cannot_be_read_is_lost_alone() -> None:
    plain = to_plain({1, 2, NoRepr()})
    assert [item for item in plain if not isinstance(item, dict)] == [1, 2]
    (lost,) = (item for item in plain if isinstance(item, dict))
    assert lost["$type"].endswith("NoRepr")
    assert lost["$text"] == "could not be read: RuntimeError"


@dataclasses.dataclass
class NeedsArguments:
    name: str = "n"
    password: str = "hunter2"

    def to_dict(self, view: str) -> Any:
        return {view: self.name}


class NeedsArgumentsToo:
    def to_dict(self, view: str) -> Any:
        raise NotImplementedError(view)

    def __repr__(self) -> str:
        return "<rows: 7, password=hunter2>"


def test_where_to_dict_cannot_be_called_the_fields_or_the_repr_are_recorded() -> None:
    plain, _ = Redactor().details({"a": NeedsArguments(), "b": NeedsArgumentsToo()})
    assert plain["a"]["name"] == "n"
    assert plain["b"]["$text"].startswith("<rows: 7, password=[redacted:")
    assert "hunter2" not in str(plain)


def raising(error: BaseException) -> dict[str, Any]:
    """One object for each place where foreign code is called, which raises the error there."""

    def fail(*_: Any) -> Any:
        raise error

    bodies: dict[str, dict[str, Any]] = {
        "repr": {"__repr__": fail},
        "str": {"__str__": fail, "__repr__": fail},
        "to_dict": {"to_dict": fail},
        "attribute": {"__getattribute__": fail},
        "class": {"__class__": property(fail)},
    }
    made = {name: type("Foreign", (), body)() for name, body in bodies.items()}
    made["items"] = type("Foreign", (Headers,), {"items": fail})()
    made["list"] = type("Foreign", (list,), {"__iter__": fail})()
    made["set in order"] = {1, made["repr"]}
    made["isoformat"] = type("Foreign", (dt.date,), {"isoformat": fail})(2025, 9, 1)
    made["int"] = type("Foreign", (int,), {"__int__": fail})(1)
    return made


PLACES = tuple(raising(ValueError()))


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_whatever_foreign_code_raises_the_recorder_does_not(place: str, error: BaseException) -> None:
    observer = ExecutionObserver("run-1", "plan")
    value = raising(error)[place]
    observer.record_step_completed(0, "a", {"before": 1, "value": value})
    observer.record_side_effect("OTHER", "x", details={"deep": [value]})
    _, ended, _ = observer.get_execution_record("LIVE").entries
    assert ended.details["before"] == 1
    assert "Foreign" in str(ended.details["value"]) or place in {"int", "set in order"}
    assert text_of(value)


@pytest.mark.parametrize("place", PLACES)
def test_an_interrupt_is_the_operators_and_goes_on(place: str) -> None:
    value = raising(KeyboardInterrupt())[place]
    if place != "int":
        with pytest.raises(KeyboardInterrupt):
            to_plain([value])
    if place == "str":
        with pytest.raises(KeyboardInterrupt):
            text_of(value)
