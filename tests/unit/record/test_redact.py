"""Commitments, known secrets, disclosures; and that nothing of a secret is left anywhere."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
import re
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from hearth.errors import RecordError
from hearth.record import Disclosure, Redactor, Secret, canonical_bytes, commitment

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
COMMITMENT = re.compile(r"\[redacted:([A-Za-z0-9_-]{43})\]")
SECRET = "hunter2-hunter2"


def redacted(details: Any, redactor: Redactor | None = None) -> Any:
    return (redactor or Redactor()).details(details)[0]


# --- commitments ------------------------------------------------------------------------------------------------------


def test_a_commitment_is_the_specified_hash() -> None:
    """SHA-256(JCS([salt, pointer, value])), base64url without padding (design, section 5)."""
    values: tuple[Any, ...] = ("x", {"b": [1, None], "a": 2.5}, 17, "")
    for value in values:
        digest = hashlib.sha256(rfc8785.dumps(["c2FsdA", "/details/password", value])).digest()
        expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert commitment("c2FsdA", "/details/password", value) == expected


def test_a_value_under_a_telling_key_becomes_a_commitment() -> None:
    plain = redacted({"user": "ann", "password": SECRET, "nested": [{"apiKey": SECRET}]})
    assert plain["user"] == "ann"
    assert list(plain["password"]) == ["$sha256"]
    assert DIGEST.fullmatch(plain["password"]["$sha256"])
    assert list(plain["nested"][0]["apiKey"]) == ["$sha256"]


def test_commitments_to_the_same_value_differ() -> None:
    """An unsalted hash of a short value could be guessed."""
    plain = redacted({"password": "1234", "list": [{"password": "1234"}] * 10, "text": "PIN=1234 PIN=1234"})
    digests = [plain["password"]["$sha256"], *(item["password"]["$sha256"] for item in plain["list"])]
    digests += COMMITMENT.findall(plain["text"])
    assert len(digests) == 13
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("value", ["", "x", 0, 17, 1.5, [], ["a"], {}, {"a": {"b": SECRET}}, ("x",), b"raw", object()])
def test_whatever_stands_under_a_telling_key_is_hidden_whole(value: Any) -> None:
    plain = redacted({"credentials": value})
    assert list(plain["credentials"]) == ["$sha256"]


@pytest.mark.parametrize("value", [None, True, False])
def test_null_and_booleans_under_a_telling_key_stay(value: Any) -> None:
    assert redacted({"password": value, "a": [{"token": value}]}) == {"password": value, "a": [{"token": value}]}


def test_keys_that_are_no_texts_tell_too() -> None:
    plain = redacted({1: "a", "password": SECRET, b"token": SECRET})
    assert SECRET not in json.dumps(plain)
    assert plain["$items"][0] == [1, "a"]


def test_a_secret_within_a_key_is_taken_out() -> None:
    plain = redacted({f"password={SECRET}": 1, f"TOKEN={SECRET} run": {f"--password {SECRET}": 2}})
    assert SECRET not in json.dumps(plain)
    assert len(plain) == 2


def test_a_secret_within_bytes_and_reprs_is_taken_out() -> None:
    class Connection:
        def __repr__(self) -> str:
            return f"<Connection password='{SECRET}'>"

    class Long:
        def __repr__(self) -> str:
            return "x" * 990 + f" password={SECRET}{SECRET}"

    plain = redacted(
        {
            "a": f"PASSWORD={SECRET}".encode(),
            "b": Connection(),
            "c": ValueError(f"postgresql://a:{SECRET}@db"),
            "d": Long(),
            "e": pathlib.PurePosixPath(f"/x/token={SECRET}"),
            "f": [f"password={SECRET}\ud800"],
        }
    )
    assert "hunter2" not in json.dumps(plain)


def test_a_commitment_within_a_text_covers_that_part_alone() -> None:
    text = redacted({"command": f"run --password {SECRET} --verbose"})["command"]
    assert re.fullmatch(r"run --password \[redacted:[\w-]{43}\] --verbose", text)


# --- argument lists and headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["deploy", "--password", SECRET, "--verbose"],
        ["deploy", f"--password={SECRET}", "--verbose"],
        ["deploy", "--api-key", SECRET],
        ["deploy", "--client-secret", SECRET],
        ["deploy", "--token", "$ecret-" + SECRET],
        ["java", "-password", SECRET],
        ["curl", "-H", f"Authorization: Bearer {SECRET}", "http://h/"],
        ["curl", "-H", f"X-Api-Key: {SECRET}"],
        ["curl", "-u", f"admin:{SECRET}"],
        ["curl", "--user", f"admin:{SECRET}"],
        ["mysql", "-u", "root", f"-p{SECRET}"],
        ["sshpass", "-p", SECRET, "ssh", "host"],
        ["env", f"TOKEN={SECRET}", "cmd"],
        ["psql", f"postgresql://app:{SECRET}@db/x"],
        ("deploy", "--password", SECRET),
    ],
    ids=lambda argv: " ".join(argv[:2]),
)
def test_a_secret_in_an_argument_list_is_taken_out(argv: Any) -> None:
    plain = redacted({"argv": argv})
    assert SECRET not in json.dumps(plain)
    assert plain["argv"][0] == argv[0]
    assert len(plain["argv"]) == len(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["ls", "--color", "auto"],
        ["deploy", "--password", "--verbose"],
        ["deploy", "--max-tokens", "100"],
        ["deploy", "--password", "$PASSWORD"],
        ["cp", "-p", "a", "b"],
        ["cp", "-u", "a", "b"],
        ["git", "log", "--author", "ann"],
    ],
    ids=" ".join,
)
def test_a_harmless_argument_list_stays(argv: list[str]) -> None:
    assert redacted({"argv": argv}) == {"argv": argv}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}", "Accept": "*/*"},
        {"x-api-key": SECRET, "Accept": "*/*"},
        [("Authorization", f"Basic {SECRET}"), ("Accept", "*/*")],
        [["X-Api-Key", SECRET], ["Accept", "*/*"]],
        [["Cookie", f"session={SECRET}"], ["Accept", "*/*"]],
        f"Authorization: Bearer {SECRET}\r\nAccept: */*\r\n",
    ],
    ids=repr,
)
def test_a_secret_in_headers_is_taken_out(headers: Any) -> None:
    plain = redacted({"headers": headers})
    assert SECRET not in json.dumps(plain)
    assert "*/*" in json.dumps(plain)


# --- Secret and known values ------------------------------------------------------------------------------------------


def test_a_secret_object_becomes_a_commitment_wherever_it_stands() -> None:
    plain = redacted({"a": Secret(SECRET), "b": [Secret(SECRET)], "c": {"password": Secret(SECRET)}})
    assert "hunter2" not in json.dumps(plain)
    assert list(plain["a"]) == list(plain["b"][0]) == list(plain["c"]["password"]) == ["$sha256"]


@pytest.mark.parametrize(
    "details",
    [
        {"password": Secret(SECRET), "command": f"login {SECRET}"},
        {"command": f"login {SECRET}", "password": Secret(SECRET)},
        {"command": f"login {SECRET}", "x": [{"y": Secret(SECRET)}]},
        {"command": f"login {SECRET}", "password": [Secret(SECRET)]},
        {"command": f"login {SECRET}", "credentials": {"deep": [Secret(SECRET)]}},
        {f"key {SECRET}": 1, "x": Secret(SECRET)},
        {"raw": SECRET.encode(), "x": Secret(SECRET)},
        [f"login {SECRET}", Secret(SECRET)],
    ],
    ids=repr,
)
def test_its_text_elsewhere_is_taken_out_too_also_before_it(details: Any) -> None:
    redactor = Redactor()
    assert "hunter2" not in json.dumps(redacted(details, redactor))
    assert "hunter2" not in redactor.text(f"later: {SECRET}")


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "spaces in it",
        'quo"ted',
        "back\\slash",
        "new\nline and more",
        "pässwörd",
        "\U0001f511 key",
        "tab\there",
        "it's",
        "abcd",
        "  padded secret  ",
        "a=b&c=d",
        "\u2028line",
        "</script>",
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "before{}after",
        "{} {}",
        "json",
        "json ascii",
        "json in json",
        "bytes",
    ],
)
def test_a_known_secret_is_found_anywhere(secret: str, shape: str) -> None:
    redactor = Redactor()
    redactor.add_secret(secret)
    ways: dict[str, Callable[[], Any]] = {
        "json": lambda: json.dumps({"x": secret}, ensure_ascii=False),
        "json ascii": lambda: json.dumps({"x": secret}),
        "json in json": lambda: json.dumps({"y": json.dumps({"x": secret}, ensure_ascii=False)}, ensure_ascii=False),
        "bytes": secret.encode,
    }
    made = ways.get(shape, lambda: shape.format(secret, secret))()
    plain = redacted({"a": made, "b": [made], "c": {"d": (made,)}}, redactor)
    encoded = canonical_bytes(plain).decode()
    forms = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret.encode())[2:-1],
    }
    for form in forms:
        assert form not in json.loads(encoded)["a"] if isinstance(plain["a"], str) else form not in str(plain["a"])
    if isinstance(made, str):
        assert all(form not in redactor.text(made) for form in forms)


def test_lines_of_a_known_secret_count_by_themselves() -> None:
    redactor = Redactor()
    redactor.add_secret("first line of it\nsecond line of it\nab\n")
    assert "second line" not in redactor.text("> second line of it")
    assert redactor.text("ab") == "ab", "too short to be searched for"


def test_very_short_values_are_not_searched_for() -> None:
    redactor = Redactor()
    redactor.add_secret("abc")
    redactor.add_secret("")
    assert redactor.text("abcdef") == "abcdef"


def test_a_secret_that_contains_another_is_taken_out_whole() -> None:
    redactor = Redactor()
    for secret in ("middle", "the middle part", "part two"):
        redactor.add_secret(secret)
    text = redactor.text("x the middle part two y")
    assert COMMITMENT.sub("#", text) == "x # y"


def test_a_redactor_does_not_show_what_it_knows() -> None:
    redactor = Redactor()
    redactor.add_secret(SECRET)
    assert "hunter2" not in repr(redactor)
    assert "hunter2" not in str(redactor)


# --- disclosures ------------------------------------------------------------------------------------------------------


def test_only_disclosable_values_are_kept() -> None:
    redactor = Redactor(disclosable=["card", "password"])
    plain, kept = redactor.details({"card": "4111", "password": {"a": [1]}, "token": "t", "x": Secret("ssss")})
    assert [(item.pointer, item.value) for item in kept] == [
        ("/details/card", "4111"),
        ("/details/password", {"a": [1]}),
    ]
    assert all(item.opens() for item in kept)
    assert plain["card"] == {"$sha256": kept[0].digest}
    assert list(plain["x"]) == ["$sha256"]


def test_a_disclosable_secret_object_is_kept() -> None:
    plain, kept = Redactor().details({"a": [Secret(SECRET, disclosable=True)], "b": Secret("other-other")})
    assert [(item.pointer, item.value) for item in kept] == [("/details/a/0", SECRET)]
    assert plain["a"][0] == {"$sha256": kept[0].digest}


def test_a_commitment_opens_with_its_salt_at_its_place_only() -> None:
    _, (kept,) = Redactor(disclosable=["card"]).details({"x": {"card": "4111"}})
    assert kept.pointer == "/details/x/card"
    assert commitment(kept.salt, kept.pointer, kept.value) == kept.digest
    assert len(base64.urlsafe_b64decode(kept.salt + "==")) == 16
    for change in ({"value": "4112"}, {"salt": "AAAA"}, {"pointer": "/details/card"}, {"value": 4111}, {"digest": "x"}):
        assert not dataclasses.replace(kept, **change).opens()


def test_pointers_are_rfc_6901() -> None:
    _, kept = Redactor(disclosable=["card"]).details({"a/b": {"m~n": [0, {"card": "x"}]}, "$t": {"card": "y"}})
    assert [item.pointer for item in kept] == ["/details/a~1b/m~0n/1/card", "/details/$$t/card"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"sequence": 1, "pointer": "/a", "salt": "s", "value": 1},
        {"sequence": 1, "pointer": "/a", "salt": "s", "value": 1, "digest": "d", "extra": 1},
        {"sequence": True, "pointer": "/a", "salt": "s", "value": 1, "digest": "d"},
        {"sequence": "1", "pointer": "/a", "salt": "s", "value": 1, "digest": "d"},
        {"sequence": 1, "pointer": None, "salt": "s", "value": 1, "digest": "d"},
        {"sequence": 1, "pointer": "/a", "salt": 1, "value": 1, "digest": "d"},
        {"sequence": 1, "pointer": "/a", "salt": "s", "value": 1, "digest": b"d"},
    ],
)
def test_a_malformed_disclosure_is_refused(document: Any) -> None:
    with pytest.raises(RecordError, match="disclosure"):
        Disclosure.from_dict(document)


def test_a_disclosure_and_its_json_form() -> None:
    _, (kept,) = Redactor(disclosable=["card"]).details({"card": {"a": [1, None]}})
    assert Disclosure.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
