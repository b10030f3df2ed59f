"""The recorder's encoders, case by case; tests/property holds them against the exact ones on anything."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from hearth.record import Redactor, Secret, canonical_bytes, make_details_encoder, make_text_encoder


def encoded(details: Any) -> Any:
    text, _ = make_details_encoder(Redactor())(details)
    return json.loads(text)


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"b": 1, "a": "x", "c": None, "d": True},
        {"nested": {"b": [1, {"c": [2.5, "x"]}], "a": {}}, "list": []},
        {"é": "ü", "\ufb33": 1, "\U0001f600": 2},
        {"whole": 1.0, "small": 1e-6, "large": 1e15, "zero": -0.0, "half": 0.5},
        {"tuple": (1, (2,))},
        {"text": 'a\tb\nc\x00d\u2028"\\/'},
    ],
    ids=repr,
)
def test_the_bytes_are_canonical(details: Any) -> None:
    text, kept = make_details_encoder(Redactor())(details)
    assert text.encode() == canonical_bytes(json.loads(json.dumps(details)))
    assert not kept


@pytest.mark.parametrize("number", [2.0**53, 1e21, 1e300, -1e22, float("nan"), float("inf"), 2**53, -(2**53), 2**64])
@pytest.mark.parametrize(
    "wrap", [lambda value: {"a": value}, lambda value: {"a": [1, {"b": value}]}, lambda value: {"a": (value,)}]
)
def test_numbers_that_json_cannot_hold_are_explicit(number: float, wrap: Any) -> None:
    text = json.dumps(encoded(wrap(number)))
    assert '"$type": "float"' in text or '"$type": "int"' in text


@pytest.mark.parametrize(
    "details",
    [
        {"headers": [["X-Api-Key", "hunter2-hunter2"], ["Accept", "*/*"]]},
        {"headers": [("Authorization", "hunter2-hunter2")]},
        {"headers": (("Cookie", "hunter2-hunter2"),)},
        {"argv": ["deploy", "--password", "hunter2-hunter2"]},
        {"argv": ("curl", "-u", "ann:hunter2-hunter2")},
        {"argv": ["mysql", "-phunter2-hunter2"]},
        {"script": "deploy \\\n--password hunter2-hunter2"},
        {"script": "set -e\npwd=hunter2-hunter2"},
        {"script": "\tpass: x\n\tpin=hunter2-hunter2"},
        {"log": "\x1b[1mpassword\x1b[0m: x\r\npassword: hunter2-hunter2"},
        {"log": "(--token hunter2-hunter2)"},
        {"password": "hunter2-hunter2"},
        {"a": [{"b": {"password": "hunter2-hunter2"}}]},
        {"a": Secret("hunter2-hunter2")},
        {"a": "login hunter2-hunter2", "b": [Secret("hunter2-hunter2")]},
    ],
    ids=repr,
)
def test_a_secret_takes_the_slow_way(details: Any) -> None:
    assert "hunter2-hunter2" not in json.dumps(encoded(details))


def test_a_secret_made_known_later_is_found_by_an_encoder_made_before() -> None:
    redactor = Redactor()
    encode = make_details_encoder(redactor)
    say = make_text_encoder(redactor, "/step_name").encode
    assert "hunter2-hunter2" in encode({"a": "hunter2-hunter2"})[0] + say("hunter2-hunter2")
    redactor.add_secret("hunter2-hunter2")
    for _ in range(2):
        assert "hunter2-hunter2" not in encode({"a": "hunter2-hunter2"})[0]
        assert "hunter2-hunter2" not in encode({"a": [{"b": "x hunter2-hunter2 y"}]})[0]
        assert "hunter2-hunter2" not in say("hunter2-hunter2")


def test_what_is_disclosable_is_kept_and_points_to_its_place() -> None:
    encode = make_details_encoder(Redactor(disclosable=["card"]))
    text, kept = encode({"a": [{"card": "4111"}]})
    assert kept
    assert (kept[0].pointer, kept[0].value) == ("/details/a/0/card", "4111")
    assert kept[0].digest in text
    text, kept = encode([{"card": "4111"}])
    assert kept
    assert kept[0].pointer == "/details/value/0/card"
    assert kept[0].opens()


def test_many_different_keys_are_not_kept_for_ever() -> None:
    import tracemalloc

    encode = make_details_encoder(Redactor())
    say = make_text_encoder(Redactor(), "/step_name").encode
    grown = []
    tracemalloc.start()
    try:
        for number in range(15_000):
            encode({f"key {number}": number})
            say(f"step {number}")
            if number % 5_000 == 4_999:
                grown.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert grown[2] - grown[0] < 300_000, "ten thousand more of them would take some megabytes"


def test_details_that_another_thread_changes_meanwhile_never_raise() -> None:
    encode = make_details_encoder(Redactor())
    shared: dict[str, Any] = {"a": 1}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared[f"key {number % 50}"] = [number, {"x": number}]
            shared.pop(f"key {(number * 7) % 50}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(3_000):
            assert isinstance(json.loads(encode(shared)[0]), dict)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "null"),
        ("", '""'),
        ("a\nb\u2028é", '"a\\nb\u2028é"'),
        (17, '"17"'),
        (ValueError("x"), '"x"'),
        ("lone \ud800", '"lone \\\\ud800"'),
    ],
)
def test_a_text(value: Any, text: str) -> None:
    say = make_text_encoder(Redactor(), "/step_name").encode
    assert say(value) == say(value) == text


@pytest.mark.parametrize("word", ["max", "count", "usage", "rate", "limit", "input"])
@pytest.mark.parametrize("secret", ["token:hunter2abc", "pwd:hunter2", "cookie:abcdef", "db_token:hunter2abc"])
def test_a_counting_word_beside_a_telling_one_acquits_nobody(word: str, secret: str) -> None:
    redactor = Redactor()
    encoded, _ = make_details_encoder(redactor)({word: secret})
    assert secret.partition(":")[2] not in encoded
    for mark in "/,;| ":
        text = redactor.text(f"{word}{mark}{secret}")
        assert secret.partition(":")[2] not in text, text


def test_lists_that_hold_one_another_are_cut_not_followed() -> None:
    tree: list[object] = ["x"]
    for _ in range(9):
        tree = [tree] * 10
    encoded, _ = make_details_encoder(Redactor())({"tree": tree})
    assert "left out" in encoded


class Unhashable:
    """A key that lies about being hashable: it raises from the second time on."""

    def __init__(self) -> None:
        self.asked = 0

    def __hash__(self) -> int:
        self.asked += 1
        if self.asked > 1:
            raise ValueError("not again")
        return 1


def test_a_key_whose_hash_raises_is_recorded() -> None:
    encoded, _ = make_details_encoder(Redactor())({Unhashable(): 1})
    assert "Unhashable" in encoded


def test_a_known_secret_that_became_a_number_is_taken_out() -> None:
    redactor = Redactor()
    redactor.add_secret("48151623")
    encoded, _ = make_details_encoder(redactor)({"a": 48151623, "b": [481516230], "c": 10**20 * 48151623, "d": 7})
    assert "48151623" not in encoded
    assert '"d":7' in encoded


@pytest.mark.parametrize("naming", ["name", "key", "Name", "Key"])
def test_a_name_beside_a_value_tells_of_it(naming: str) -> None:
    details = {"env": [{naming: "DB_PASSWORD", "value": "hunter2x"}, {naming: "REGION", "value": "north"}]}
    encoded, _ = make_details_encoder(Redactor())(details)
    assert "hunter2x" not in encoded
    assert "north" in encoded
    assert "DB_PASSWORD" in encoded


def test_an_element_of_markup_tells_of_its_text() -> None:
    encoded, _ = make_details_encoder(Redactor())({"sent": "<user>ann</user><db:password x='1'>hunter2x</db:password>"})
    assert "hunter2x" not in encoded
    assert "ann" in encoded


class Odd(type):
    """A metaclass that lets nobody know where its classes come from."""

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("not told")


def test_a_class_that_raises_when_asked_for_its_module_is_recorded() -> None:
    odd = Odd("Hidden", (), {})
    encoded, _ = make_details_encoder(Redactor())({"x": odd()})
    assert "$type" in encoded


@pytest.mark.parametrize("before", ["é", "\x85", "日本語", "😀", "éé😀日"])
@pytest.mark.parametrize("text", ["password: hunter2x", "9 Set-Cookie:  Basic xMZR35D", "api_key: hunter2x"])
def test_a_colon_behind_letters_of_many_bytes_is_looked_at_too(before: str, text: str) -> None:
    encode = make_details_encoder(Redactor())
    secret = text.rpartition(" ")[2]
    for details in ({"a": f"{before} {text}"}, {"a": f"{before} {text}", "b": before}, {before: f"{before} {text}"}):
        encoded, _ = encode(details)
        assert secret not in encoded
