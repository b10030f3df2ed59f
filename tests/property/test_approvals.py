"""Whatever stands in an envelope, a request or a decision: it is read, or refused with a SigningError."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearth.errors import HearthError, SigningError
from hearth.plan import ApprovalDecision, ApprovalRequest, Circumstances, grant
from hearth.security import ApprovalPolicy, LiveMode, Policy, Posture
from hearth.signing import Envelope, SigningKey
from tests.property._documents import changed, trees

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = SigningKey.generate()
REQUEST = ApprovalRequest(
    request_id="0" * 16,
    ledger_id="1" * 32,
    plan_id="tidy",
    plan_digest="2" * 64,
    preview_digest=None,
    mode=LiveMode.LIVE,
    hosts=("db1.example", "*"),
    not_before=NOW,
    expires=NOW + timedelta(hours=8),
    worst_posture=Posture(),
    reason="ticket 4711",
    created=NOW,
    requester="ann",
    plan_copy="3" * 64,
    emergency=False,
)
DECISION = ApprovalDecision.on(REQUEST, approver="ann", verdict="approve", reason="fine", now=NOW)
KINDS: dict[str, ApprovalRequest | ApprovalDecision] = {"request": REQUEST, "decision": DECISION}
JSON_PIECES = [
    "{", "}", "[", "]", ",", ":", '"payload"', '"payloadType"', '"signatures"', '"sig"', '"keyid"', '""', '"AAAA"',
    "null", "true", "1", "1e999", "-0", "NaN", "9" * 5000, '"\\ud800"', '"\\u0000"', " ", "\n", "\ufeff", "é", "\x00",
    '"', "\\",
]  # fmt: skip

kinds = st.sampled_from(sorted(KINDS))


def whole_or_refused(read: Callable[[], object]) -> object:
    """Return what was read, None where it was refused in words that can be printed."""
    try:
        return read()
    except SigningError as error:
        said = str(error)
    said.encode()
    assert said
    return None


def read_payload(kind: str, payload: bytes) -> ApprovalRequest | ApprovalDecision | None:
    model = KINDS[kind]
    envelope = Envelope.sign(payload, type(model).read(model.sign(KEY)).sign(KEY).payload_type, KEY)
    read = whole_or_refused(lambda: type(model).read(envelope))
    assert read is None or isinstance(read, ApprovalRequest | ApprovalDecision)
    return read


def encoded(document: object) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@given(st.binary(max_size=300))
def test_any_bytes_as_envelope_and_as_payload(data: bytes) -> None:
    whole_or_refused(lambda: Envelope.parse(data))
    for kind in KINDS:
        read_payload(kind, data)


@given(st.lists(st.sampled_from(JSON_PIECES), max_size=20).map("".join))
@example("[" * 5000)
@example('{"a":' * 5000)
def test_any_arrangement_of_the_pieces_of_json(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    whole_or_refused(lambda: Envelope.parse(data))
    for kind in KINDS:
        read_payload(kind, data)


@given(trees)
def test_any_json(tree: object) -> None:
    whole_or_refused(lambda: Envelope.parse(encoded(tree)))
    for kind in KINDS:
        read_payload(kind, encoded(tree))


@given(st.data(), kinds)
def test_a_valid_envelope_with_one_place_changed(data: st.DataObject, kind: str) -> None:
    model = KINDS[kind]
    document = changed(data, json.loads(model.sign(KEY).to_json()))
    envelope = whole_or_refused(lambda: Envelope.parse(encoded(document)))
    if isinstance(envelope, Envelope):
        whole_or_refused(lambda: type(model).read(envelope))
        assert envelope.verified_by({"ann": KEY.public}) in ((), ("ann",))


@given(st.data(), kinds)
def test_a_valid_payload_with_one_place_changed(data: st.DataObject, kind: str) -> None:
    document = changed(data, KINDS[kind].to_dict())
    read = read_payload(kind, encoded(document))
    if read is not None:  # what was read says just what stood there, and can be signed again
        assert type(read).read(read.sign(KEY)) == read


@given(st.data(), kinds, st.binary(min_size=1, max_size=3))
def test_a_valid_envelope_with_some_bytes_changed(data: st.DataObject, kind: str, foreign: bytes) -> None:
    model = KINDS[kind]
    raw = model.sign(KEY).to_json()
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, min(len(raw), begin + 8)))
    spoilt = raw[:begin] + foreign + raw[end:]
    envelope = whole_or_refused(lambda: Envelope.parse(spoilt))
    if isinstance(envelope, Envelope):
        read = whole_or_refused(lambda: type(model).read(envelope))
        if envelope.verified_by({"ann": KEY.public}):
            assert read == model, "what the signature covers is what was signed"


@given(st.data(), kinds)
def test_a_changed_request_is_not_what_was_approved(data: st.DataObject, kind: str) -> None:
    """Signed anew by a key that is trusted, so that only what it says can stand against it."""
    envelopes = {name: model.sign(KEY) for name, model in KINDS.items()}
    document = changed(data, KINDS[kind].to_dict())
    envelopes[kind] = Envelope.sign(encoded(document), envelopes[kind].payload_type, KEY)
    here = Circumstances(
        ledger_id=REQUEST.ledger_id,
        plan_digest=REQUEST.plan_digest,
        preview_digest=None,
        mode=LiveMode.LIVE,
        host="db1.example",
        posture=Posture(),
        now=NOW + timedelta(minutes=1),
    )
    try:
        held = grant(envelopes["request"], [envelopes["decision"]], policy=trusting(), circumstances=here)
    except HearthError:
        return
    assert held.request == REQUEST
    assert held.expires <= REQUEST.expires


def trusting() -> ApprovalPolicy:
    keys = {"ann": {"key": str(KEY.public), "roles": ["approver"]}}
    return Policy.from_mapping({"approvals": {"self_approval": True, "keys": keys}}, "here").approvals


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_valid_ones_are_valid(kind: str) -> None:
    model = KINDS[kind]
    envelope = Envelope.parse(model.sign(KEY).to_json())
    assert type(model).read(envelope) == model
    assert base64.b64decode(json.loads(envelope.to_json())["payload"]) == envelope.payload
