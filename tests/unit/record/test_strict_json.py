"""Reading JSON as a verifier must."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hearth.errors import RecordError
from hearth.record import strict_loads


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a": 1, "b": {"c": 1, "c": 2}}',
        '[{"x":1},{"y":1,"y":1}]',
        '{"a":1,"\\u0061":2}',
        '{"\\u00e9":1,"é":2}',
        '{"":1,"":2}',
        '{\n  "a": 1,\n  "a": 2\n}',
        '{"a":null,"b":1,"a":null}',
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="twice"):
        strict_loads(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', '{"a": nan}', "1e400", "[-1e999]"])
def test_numbers_that_json_lacks_are_refused(text: str) -> None:
    with pytest.raises(RecordError):
        strict_loads(text)


@pytest.mark.parametrize(
    "text",
    ['"\\ud800"', '"\\udc00"', '{"\\ud800":1}', '"\\udc00\\ud800"', '"a\\ud83d"', '{"a": ["\\uDFFF"]}', '"\ud800"'],
)
def test_lone_surrogates_are_refused(text: str) -> None:
    with pytest.raises(RecordError):
        strict_loads(text)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert strict_loads('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "data",
    [
        "",
        " ",
        "{",
        '{"a":1',
        "[1,]",
        '{"a":1,}',
        "{'a':1}",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "tru",
        "1 2",
        "{} {}",
        '"\x00"',
        '"a\nb"',
        '"\\x41"',
        "// comment\n1",
        b"\xff\xfe",
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b'"\xc0\x80"',
        '{"a":1}\x00',
        "[" * 100_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_anything_that_is_not_json_is_refused(data: str | bytes) -> None:
    with pytest.raises(RecordError):
        strict_loads(data)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53 - 1,
        1.5,
        1e-7,
        "",
        "é\u2028\x85\U0001f600",
        [],
        {},
        [[], {}, [None]],
        {"a": {"b": [1, 2.5, "c"]}, "": 0, "é": False},
    ],
    ids=repr,
)
def test_what_was_written_is_read_back(value: Any) -> None:
    for text in (
        json.dumps(value),
        json.dumps(value, indent=2),
        json.dumps(value, indent=4, ensure_ascii=False),
        json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        json.dumps(value) + "\n",
        "\n \t" + json.dumps(value) + "\r\n",
    ):
        for data in (text, text.encode()):
            got = strict_loads(data)
            assert got == value
            assert type(got) is type(value)


def test_large_integers_stay_integers() -> None:
    """A reader that makes them floats would verify something else than was written."""
    assert strict_loads("18446744073709551617") == 2**64 + 1
    assert strict_loads('{"a":9007199254740993}') == {"a": 2**53 + 1}


def test_one_and_one_point_zero_are_told_apart() -> None:
    one, point = strict_loads("[1, 1.0]")
    assert (type(one), type(point)) == (int, float)
