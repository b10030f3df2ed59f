"""RFC 8785: where fast encoders differ, and what has no canonical form; its constants are in tests/vectors."""

from __future__ import annotations

import enum
import json
import math
import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785

from hearth.errors import RecordError
from hearth.record import FrozenDict, canonical_bytes, freeze
from hearth.record._canonical import common_float


@pytest.mark.parametrize("low", ["\ue000", "\uf8ff", "\ufffd", "\uffff"])
@pytest.mark.parametrize("high", ["\U00010000", "\U0001f600", "\U0010ffff"])
def test_keys_above_and_below_the_surrogates_are_in_utf_16_order(low: str, high: str) -> None:
    for document in ({low: 1, high: 2}, {high: 2, low: 1}, {f"a{low}": 1, f"a{high}": 2}):
        keys = list(json.loads(canonical_bytes(document)))
        assert keys == sorted(keys, key=lambda key: key.encode("utf-16-be"))
        assert canonical_bytes(document) == rfc8785.dumps(document)
    assert list(json.loads(canonical_bytes({"x": {low: 1, high: 2}}))["x"]) == [high, low]


BOUNDARIES = [
    0.0,
    1e-7,
    1e-6,
    9.999999e-6,
    1e-5,
    1.0,
    1e15,
    1e16,
    1e17,
    2.0**53,
    1e20,
    9.9e20,
    1e21,
    1e22,
    5e-324,
    1.5,
    123.456,
]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_floats_around_every_boundary(boundary: float) -> None:
    """Where orjson and msgspec differ from RFC 8785 (integral, 1e16–1e21, 1e-6–1e-5)."""
    near = [boundary]
    for towards in (0.0, math.inf):
        number = boundary
        for _ in range(50):
            number = math.nextafter(number, towards)
            near.append(number)
    for number in near + [-number for number in near]:
        expected = rfc8785.dumps({"a": number})
        assert canonical_bytes({"a": number}) == expected, number.hex()


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, 3e15, 1e16, 1.5e16, 9e20, 1e-6, 5e-6, 9.99e-6, math.inf, math.nan])
def test_what_orjson_writes_differently_is_not_common(number: float) -> None:
    assert not common_float(number)
    assert not common_float(-number)


@pytest.mark.parametrize("number", [0.5, 1.5, 1e-5, 1e-7, 123456789.125, 2.0**52 - 0.5])
def test_the_usual_float_is_common(number: float) -> None:
    """Or else every event would take the slow encoder."""
    assert common_float(number)
    assert common_float(-number)


@pytest.mark.parametrize("number", [2**53 - 1, -(2**53) + 1, 0, -1])
def test_integers_up_to_the_limit(number: int) -> None:
    assert canonical_bytes({"a": number}) == b'{"a":%d}' % number


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        2**64,
        "\ud800",
        "a\udfffb",
        b"bytes",
        {1, 2},
        object(),
        Colour.RED,
        uuid.UUID(int=0),
        datetime(2025, 1, 1, tzinfo=UTC),
        1j,
    ],
)
@pytest.mark.parametrize("place", ["alone", "value", "deep", "after a rare float", "beside a rare key"])
def test_what_has_no_canonical_form_is_refused(value: Any, place: str) -> None:
    tree = {
        "alone": value,
        "value": {"a": value},
        "deep": {"a": [1, {"b": [value]}]},
        "after a rare float": [1.0, value],
        "beside a rare key": {"\ufb33": value, "\U0001f600": 1},
    }[place]
    with pytest.raises(RecordError):
        canonical_bytes(tree)


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"a", ("a",), "\ud800"])
def test_keys_are_strings(key: Any) -> None:
    with pytest.raises(RecordError):
        canonical_bytes({key: 1})
    with pytest.raises(RecordError):
        canonical_bytes({"a": [{"b": 1, key: 1}]})


def test_nothing_is_lost_silently() -> None:
    """A tuple is a list to everyone; nothing else changes its kind without a word."""
    assert canonical_bytes((1, (2,))) == b"[1,[2]]"
    assert canonical_bytes(OrderedDict(b=1, a=2)) == b'{"a":2,"b":1}'
    assert canonical_bytes(freeze({"b": [1, {"c": 2}], "a": 1})) == b'{"a":1,"b":[1,{"c":2}]}'
    assert canonical_bytes(FrozenDict()) == b"{}"


def test_strings_are_escaped_as_section_3_2_2_2_says() -> None:
    text = "".join(map(chr, range(0x30))) + '"\\/\x7f\x80\u2028\u2029\ufeff\U0010ffff'
    expected = "".join(
        {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}.get(
            ord(character), f"\\u{ord(character):04x}" if ord(character) < 0x20 else character
        )
        for character in text
    )
    assert canonical_bytes(text) == f'"{expected}"'.encode()


def test_it_is_deterministic_whatever_the_order_of_insertion() -> None:
    one = {"b": {"y": 1, "x": [1, 2]}, "a": None, "é": True}
    two = {"é": True, "a": None, "b": {"x": [1, 2], "y": 1}}
    assert canonical_bytes(one) == canonical_bytes(two)


def test_depth_is_bounded_by_an_error_of_ours() -> None:
    tree: Any = 1
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(RecordError):
        canonical_bytes(tree)
