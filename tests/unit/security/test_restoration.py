"""Restoration: only an operator's signature over just this change counts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hearth.errors import GateRefusedError, SigningError
from hearth.record import canonical_bytes
from hearth.security import RESTORATION_TYPE, KeptPosture, Posture, Restoration, SecurityState, TrustedKey
from hearth.signing import Envelope, SigningKey

KEY = SigningKey.generate()
OPERATORS = {"ann": TrustedKey("ann", str(KEY.public), ("operator",))}
STATEMENT = Restoration(
    ledger_id="l",
    from_version=3,
    to=Posture(SecurityState.DEGRADED),
    who="ann",
    why="a drill",
    created=datetime(2025, 9, 1, tzinfo=UTC),
)
CHANGE: dict[str, Any] = {"ledger_id": "l", "version": 3, "to": STATEMENT.to, "who": "ann", "why": "a drill"}


def test_what_was_signed_comes_back_and_is_for_this_change() -> None:
    statement = Restoration.verified(STATEMENT.sign(KEY), OPERATORS)
    assert statement == STATEMENT
    statement.check(**CHANGE)


@pytest.mark.parametrize(
    "other, why",
    [
        ({"ledger_id": "m"}, "signed for the ledger l"),
        ({"version": 4}, "the posture has changed since this was signed"),
        ({"to": Posture()}, "another one than the one asked for"),
        ({"who": "bob"}, "another one"),
        ({"why": "no drill"}, "another one"),
    ],
)
def test_another_change_is_refused(other: dict[str, Any], why: str) -> None:
    with pytest.raises(GateRefusedError, match=why):
        STATEMENT.check(**{**CHANGE, **other})


def test_a_kept_posture_is_held_to_what_was_signed() -> None:
    kept = KeptPosture(STATEMENT.to, 4, "ann", "a drill", envelope=STATEMENT.sign(KEY))
    assert Restoration.of(kept, ledger_id="l", operators=OPERATORS) == STATEMENT
    with pytest.raises(SigningError, match="is not signed"):
        Restoration.of(replace(kept, envelope=None), ledger_id="l", operators=OPERATORS)
    with pytest.raises(SigningError, match="not signed by a key"):
        Restoration.of(kept, ledger_id="l", operators={})
    for other in ({"version": 5}, {"posture": Posture()}, {"who": "bob"}, {"why": "no drill"}):
        with pytest.raises(GateRefusedError):
            Restoration.of(replace(kept, **other), ledger_id="l", operators=OPERATORS)
    with pytest.raises(GateRefusedError):
        Restoration.of(kept, ledger_id="m", operators=OPERATORS)


def test_another_key_or_name_is_refused() -> None:
    with pytest.raises(SigningError, match="not signed by a key that the policy trusts"):
        Restoration.verified(STATEMENT.sign(SigningKey.generate()), OPERATORS)
    with pytest.raises(SigningError, match="the restoration by bob"):
        Restoration.verified(replace(STATEMENT, who="bob").sign(KEY), OPERATORS)
    with pytest.raises(SigningError):
        Restoration.verified(STATEMENT.sign(KEY), {})


@pytest.mark.parametrize(
    "change",
    [{"security": "SUNNY"}, {"from_version": "3"}, {"from_version": True}, {"who": 7}, {"created": "now"}, {"more": 1}],
    ids=str,
)
def test_a_statement_that_is_none_is_refused(change: dict[str, Any]) -> None:
    document = {**json.loads(Envelope.parse(STATEMENT.sign(KEY)).payload), **change}
    envelope = Envelope.sign(canonical_bytes(document), RESTORATION_TYPE, KEY).to_json()
    with pytest.raises(SigningError):
        Restoration.verified(envelope, OPERATORS)


def test_another_payload_type_is_refused() -> None:
    payload = Envelope.parse(STATEMENT.sign(KEY)).payload
    with pytest.raises(SigningError, match="the envelope holds 'text/plain'"):
        Restoration.verified(Envelope.sign(payload, "text/plain", KEY).to_json(), OPERATORS)
    with pytest.raises(SigningError):
        Restoration.verified(b"{}", OPERATORS)
