"""DSSE: what is signed is the payload with its type, and nothing but a well-formed envelope is read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hearth.errors import SigningError
from hearth.signing import Envelope, Signature, SigningKey, pae

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
TYPE = "application/vnd.test+json"


def test_the_specifications_own_encoding() -> None:
    """From the protocol's text: type `http://example.com/HelloWorld`, body `hello world`."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_round_trip() -> None:
    envelope = Envelope.sign(b'{"a":1}', TYPE, KEY)
    again = Envelope.parse(envelope.to_json())
    assert again == envelope
    assert again.verified_by({"ann": KEY.public, "bob": OTHER.public}) == ("ann",)


def test_the_type_the_payload_and_the_key_all_count() -> None:
    envelope = Envelope.sign(b"payload", TYPE, KEY)
    keys = {"ann": KEY.public}
    assert not Envelope(b"payloaD", TYPE, envelope.signatures).verified_by(keys)
    assert not Envelope(b"payload", TYPE + "x", envelope.signatures).verified_by(keys)
    assert not envelope.verified_by({"bob": OTHER.public})
    assert not envelope.verified_by({})


def test_the_key_id_is_a_hint_and_no_proof() -> None:
    (signature,) = Envelope.sign(b"payload", TYPE, KEY).signatures
    keys = {"ann": KEY.public, "bob": OTHER.public}
    named_otherwise = Envelope(b"payload", TYPE, (Signature("another tool's name for it", signature.value),))
    assert named_otherwise.verified_by(keys) == ("ann",)
    misleading = Envelope(b"payload", TYPE, (Signature(OTHER.public.key_id, signature.value),))
    assert misleading.verified_by(keys) == ()


def test_a_key_that_signs_twice_is_one_key() -> None:
    one = Envelope.sign(b"payload", TYPE, KEY).signatures
    two = Envelope.sign(b"payload", TYPE, OTHER).signatures
    envelope = Envelope(b"payload", TYPE, one + one + two)
    assert envelope.verified_by({"ann": KEY.public, "bob": OTHER.public}) == ("ann", "bob")


@pytest.mark.parametrize("member", ["payload", "sig"])
def test_one_payload_and_one_signature_have_one_writing(member: str) -> None:
    """Bits behind the end of base64 decode to the same bytes: a reader who passes over them passes over a change."""
    document = json.loads(Envelope.sign(b"a", TYPE, KEY).to_json())
    holder = document if member == "payload" else document["signatures"][0]
    text = holder[member]
    assert text.endswith("==")
    holder[member] = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(holder[member]) == base64.b64decode(text)
    with pytest.raises(SigningError, match="stray bits"):
        Envelope.parse(json.dumps(document).encode())


def test_more_than_the_caller_reads_is_refused() -> None:
    data = Envelope.sign(b"payload", TYPE, KEY).to_json()
    assert Envelope.parse(data, largest=len(data))
    with pytest.raises(SigningError, match="refused"):
        Envelope.parse(data, largest=len(data) - 1)


def test_url_safe_base64_is_read_too() -> None:
    document = json.loads(Envelope.sign(b"\xfb\xff\xfe", TYPE, KEY).to_json())
    document["payload"] = base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode()
    assert Envelope.parse(json.dumps(document).encode()).payload == b"\xfb\xff\xfe"


GOOD: dict[str, Any] = json.loads(Envelope.sign(b"x", TYPE, KEY).to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"payload": 1},
        {"payload": "%"},
        {"payload": "e"},
        {"payloadType": ""},
        {"payloadType": None},
        {"signatures": []},
        {"signatures": {}},
        {"signatures": [{}]},
        {"signatures": [{"sig": 1}]},
        {"signatures": [{"sig": "eA==", "keyid": 1}]},
        {"signatures": [{"sig": "eA==", "more": 1}]},
        {"signatures": [GOOD["signatures"][0]] * 65},
        {"more": 1},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SigningError):
        Envelope.parse(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b'{"payload":"","payload":""}', b"[" * 100_000, b"x" * (5 << 20)]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SigningError):
        Envelope.parse(data)
