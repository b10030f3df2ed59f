"""RFC 8785: constants published in it, and its author's files where they lie beside the repository."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from hearth.errors import RecordError
from hearth.record import canonical_bytes, strict_loads

# Not part of the repository; a clone alone has the constants below.
FILES = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "jcs"
NAMES = sorted(path.name for path in (FILES / "input").glob("*.json"))

# RFC 8785, appendix B: IEEE 754 doubles and how they are written.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


def double(bits: str) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return number


@pytest.mark.parametrize("bits, text", NUMBERS)
def test_the_numbers_of_appendix_b(bits: str, text: str) -> None:
    assert canonical_bytes(double(bits)) == text.encode()
    assert canonical_bytes([double(bits)]) == f"[{text}]".encode()


def test_the_sample_of_section_3_2_2() -> None:
    document = json.loads(
        r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]}"""
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_bytes(document) == expected.encode()


def test_the_sorting_sample_of_section_3_2_3() -> None:
    """Keys in UTF-16 order: the emoji (a surrogate pair) stands before U+FB33."""
    document = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    values = list(json.loads(canonical_bytes(document)).values())
    assert values == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_what_appendix_b_calls_an_error(bits: str) -> None:
    with pytest.raises(RecordError):
        canonical_bytes(double(bits))


@pytest.mark.skipif(not NAMES, reason="the published files are not beside this clone; the constants above are tested")
@pytest.mark.parametrize("name", NAMES)
def test_the_published_files(name: str) -> None:
    expected = (FILES / "output" / name).read_bytes().rstrip(b"\n")
    for read in (json.loads, strict_loads):
        assert canonical_bytes(read((FILES / "input" / name).read_text("utf-8"))) == expected
    assert canonical_bytes(strict_loads(expected)) == expected, "canonical once is canonical for ever"
