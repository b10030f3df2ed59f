"""A known secret is found again however a program writes it."""

from __future__ import annotations

import html
import json
import shlex
import subprocess
from urllib.parse import quote, quote_plus, urlencode

import orjson
import pytest

from hearth.record import Redactor

VALUES = ["plain-Secret-4711", 'it\'s a "test" & <more>/\\ü+1', "sp ace/and+plus=%25", "näive'quoted'"]


def ways(value: str) -> dict[str, str]:
    shell = subprocess.run(
        ["sh", "-xc", 'true "$1"', "sh", value], capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    return {
        "itself": f"a {value} b",
        "json": json.dumps({"a": value}),
        "json with umlauts": json.dumps([value], ensure_ascii=False),
        "orjson": orjson.dumps({"b": value}).decode(),
        "twice json": json.dumps(json.dumps(value))
        if value.isascii() and '"' not in value and "\\" not in value
        else value,
        "repr": repr([value]),
        "ascii": ascii(value),
        "bytes": repr(value.encode()),
        "quote": f"https://host/{quote(value)}?x=1",
        "quote all": quote(value, safe=""),
        "form": urlencode({"q": value}),
        "lower": quote_plus(value).replace("%C3", "%c3").replace("%A4", "%a4").replace("%BC", "%bc"),
        "html": html.escape(value),
        "shlex": shlex.join(["echo", value]),
        "set -x": shell.stderr,
    }


@pytest.mark.parametrize("value", VALUES, ids=["plain", "marks", "form", "quotes"])
def test_it_is_taken_out_of_every_way_of_writing(value: str) -> None:
    redactor = Redactor()
    redactor.add_secret(value)
    for name, text in ways(value).items():
        if name == "lower" and any(c in quote_plus(value) for c in ("%2F", "%2B", "%3D", "%5C", "%3C", "%3E")):
            continue  # only partly lower-case here: no program writes that
        assert "[redacted:" in redactor.text(text), (name, text)
        assert redactor.suspicious(text.encode()), (name, text)


def test_bytes_that_are_not_utf_8_are_found_too() -> None:
    raw = b"lat-P\xe4ssw\xf6rd-1"
    value = raw.decode("utf-8", "surrogateescape")  # as os.environ gives it
    redactor = Redactor()
    redactor.add_secret(value)
    for text in (
        value,
        raw.decode("utf-8", "replace"),
        raw.decode("utf-8", "backslashreplace"),
        repr(raw),
        quote(raw, safe=""),
    ):
        assert "ssw" not in redactor.text(f"login {text} failed"), text
    assert redactor.suspicious(b"login " + raw + b" failed")


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    redactor = Redactor()
    redactor.add_secret("-----BEGIN X-----\nabcdefgh12345678\nshort\n-----END X-----")
    assert "abcdefgh12345678" not in redactor.text("key abcdefgh12345678 seen")
