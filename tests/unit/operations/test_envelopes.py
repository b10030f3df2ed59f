"""Signed exports: whose signature counts, and what else has to hold."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hearth.errors import EvidenceError, SigningError
from hearth.evidence import LedgerLog, LogPlace
from hearth.operations import (
    TrustedKeys,
    Verified,
    export_envelope,
    export_record,
    read_public_key,
    trusted_keys,
    verify_file,
)
from hearth.record import canonical_bytes
from hearth.recorder import ExecutionObserver, Journal
from hearth.signing import Envelope, PublicKey, SigningKey
from tests.unit.operations._steps import FAIL, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import Records, RunOutcome

KEY = SigningKey.generate()
TRUSTED = TrustedKeys({"ann": KEY.public})


@pytest.fixture
def envelope(run: Callable[..., RunOutcome], records: Records) -> bytes:
    """A signed export of a live run."""
    run(WRITE, execution_id="one")
    return export_envelope(records, records.find("one"), KEY)


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Verified]:
    """Verify bytes as a file."""

    def verified(data: bytes, trusted: TrustedKeys = TRUSTED, **more: Any) -> Verified:
        (tmp_path / "sent").write_bytes(data)
        return verify_file(tmp_path / "sent", trusted=lambda: trusted, **more)

    return verified


def test_a_signed_export_holds(envelope: bytes, check: Callable[..., Verified], records: Records) -> None:
    found = check(envelope)
    assert found.verdict
    assert (found.kind, found.execution_id, found.signed_by) == ("envelope", "one", ("ann",))
    assert found.execution_hash == records.ledger.get("one").get_execution_hash()
    assert found.to_dict()["signed_by"] == ["ann"]
    assert check(json.dumps(json.loads(envelope), indent=4).encode()).verdict  # told by its content
    assert "signed_by" not in check(export_record(records, records.find("one"))).to_dict()


def test_the_ledgers_log_is_named(envelope: bytes, records: Records, check: Callable[..., Verified]) -> None:
    assert json.loads(Envelope.parse(envelope).payload)["predicate"]["log"] is None
    log_key = SigningKey.generate()
    place = LogPlace.of(records.home)
    place.root.mkdir()
    log_key.save(place.key)
    LedgerLog.create(records.ledger, origin="example.org/ledger", key=log_key)
    again = export_envelope(records, records.find("one"), KEY)
    assert json.loads(Envelope.parse(again).payload)["predicate"]["log"] == {"origin": "example.org/ledger"}
    assert check(again).verdict


def test_a_key_that_nobody_trusts_verifies_nothing(envelope: bytes, check: Callable[..., Verified]) -> None:
    other = SigningKey.generate().public
    found = check(envelope, TrustedKeys({"bob": other}))
    assert (bool(found.verdict), found.signed_by) == (False, ())
    assert KEY.public.key_id[:12] in found.verdict.why
    assert f"bob (key {other.key_id[:12]}" in found.verdict.why
    found = check(envelope, TrustedKeys(why="no key was given"))
    assert not found.verdict
    assert "no key was given; give the signer's with --key" in found.verdict.why


def test_a_signature_that_does_not_hold_is_nobodys(envelope: bytes, check: Callable[..., Verified]) -> None:
    document = json.loads(envelope)
    signature = bytearray(base64.b64decode(document["signatures"][0]["sig"]))
    signature[5] ^= 1
    document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    found = check(canonical_bytes(document))
    assert not found.verdict
    assert "was changed after it was signed" in found.verdict.why


def test_another_record_under_the_same_signature(
    envelope: bytes, check: Callable[..., Verified], run: Callable[..., RunOutcome], records: Records
) -> None:
    run(WRITE, execution_id="two", name="another")
    other = json.loads(export_envelope(records, records.find("two"), SigningKey.generate()))
    document = {**json.loads(envelope), "payload": other["payload"]}
    found = check(canonical_bytes(document))
    assert found.execution_id == "two"
    assert not found.verdict


def test_one_trusted_signature_of_several_is_enough_and_the_others_are_named(
    envelope: bytes, check: Callable[..., Verified]
) -> None:
    parsed, other = Envelope.parse(envelope), SigningKey.generate()
    second = Envelope.sign(parsed.payload, parsed.payload_type, other)
    both = Envelope(parsed.payload, parsed.payload_type, (*second.signatures, *parsed.signatures)).to_json()
    found = check(both)
    assert found.verdict
    assert found.signed_by == ("ann",)
    assert found.verdict.notes == (
        f"a signature by key {other.public.key_id[:12]}… does not count: no key that is trusted here made it",
    )
    assert check(both, TrustedKeys({"ann": KEY.public, "bob": other.public})).signed_by == ("ann", "bob")


def test_every_byte_counts(envelope: bytes, check: Callable[..., Verified]) -> None:
    """Fifty seeded mutations: none gives another record that is verified; most are refused."""
    chance = random.Random(5)  # noqa: S311 - the same mutations each time
    before = check(envelope).to_dict()
    hint = envelope.index(b'"keyid":"'), envelope.index(b'"keyid":"') + len('"keyid":""') + 64
    for _ in range(50):
        place = chance.randrange(len(envelope) - 1)
        mutated = bytearray(envelope)
        mutated[place] ^= 1 << chance.randrange(7)
        found = check(bytes(mutated))
        if found.verdict:
            # What a key is called is a hint that nobody signs; nothing else may pass.
            assert hint[0] < place < hint[1], place
            assert found.to_dict()["execution_hash"] == before["execution_hash"]


def test_it_signs_nothing_that_does_not_hold(
    run: Callable[..., RunOutcome], home: LedgerHome, records: Records
) -> None:
    run(FAIL, execution_id="one")
    assert export_envelope(records, records.find("one"), KEY)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE executions SET status = 'completed' WHERE execution_id = 'one'")
    with pytest.raises(EvidenceError, match="does not hold, so it is not signed"):
        export_envelope(records, records.find("one"), KEY)


def test_it_signs_nothing_that_is_not_sealed(home: LedgerHome, records: Records) -> None:
    with Journal.create(home.journals / "open.journal") as journal:
        observer = ExecutionObserver("open", "p", journal=journal)
        observer.record_step_started(0, "first")
        with pytest.raises(EvidenceError, match="not sealed"):
            export_envelope(records, records.find("open"), KEY)


def test_a_detached_envelope_and_the_exported_file(
    run: Callable[..., RunOutcome], records: Records, check: Callable[..., Verified], tmp_path: Path
) -> None:
    run(WRITE, execution_id="one")
    found = records.find("one")
    envelope = export_envelope(records, found, KEY, detached=True)
    exported = tmp_path / "one.json"
    exported.write_bytes(export_record(records, found, indent=True))
    assert "detached" in check(envelope).verdict.why
    assert check(envelope, record=exported).verdict
    exported.write_bytes(export_record(records, found).replace(b'"Write"', b'"Wrote"'))
    assert not check(envelope, record=exported).verdict
    exported.write_bytes(b"[]")
    assert "holds no record" in check(envelope, record=exported).verdict.why


@pytest.mark.parametrize(
    "document",
    [
        {"payload": "", "payloadType": "x"},
        {"payload": "", "payloadType": "x", "signatures": []},
        {"payload": "!", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": ""}]},
        {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": ""}]},
        {"payload": "e30=", "payloadType": "application/vnd.hearth.approval.v1+json", "signatures": [{"sig": ""}]},
        {"payload": [], "payloadType": {}, "signatures": 7},
    ],
)
def test_what_only_looks_like_one(document: dict[str, Any], check: Callable[..., Verified]) -> None:
    found = check(canonical_bytes(document))
    assert (found.kind, bool(found.verdict), found.signed_by) == ("envelope", False, ())


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_given_or_the_policys(home: LedgerHome, key: Path, tmp_path: Path) -> None:
    ann = SigningKey.load(key).public
    assert trusted_keys(home=home.root).keys == {"ann": ann}
    mine = KEY.public
    assert trusted_keys([str(mine)], home.root).keys == {str(mine): mine}
    assert "no ledger here" in trusted_keys(home=tmp_path / "nowhere").why
    home.policy.write_text("approvals: {")
    assert trusted_keys(home=home.root).keys == {}
    assert "policy" in trusted_keys(home=home.root).why


def test_a_public_key_comes_as_text_or_in_a_file(tmp_path: Path) -> None:
    mine, path = KEY.public, tmp_path / "key"
    assert read_public_key(str(mine)) == mine
    path.write_text(f"{mine}\n")
    assert read_public_key(str(path)) == mine
    path.write_bytes(_pem(mine))
    assert read_public_key(str(path)) == mine


def _pem(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(key.raw)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_what_is_no_public_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KEY.save(path)
    with pytest.raises(SigningError, match="private key, which nobody needs"):
        read_public_key(str(path))
    other = generate_private_key(SECP256R1()).public_key()
    for data, why in (
        (b"", "no public key"),
        (b"\xff\xfe", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", "no public key in PEM"),
        (other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "another kind"),
    ):
        path.write_bytes(data)
        with pytest.raises(SigningError, match=why):
            read_public_key(str(path))
    for text, why in (
        ("ed25519:x", "public key"),
        (str(tmp_path / "none"), "nor a file"),
        (str(tmp_path), "nor a file"),
    ):
        with pytest.raises(SigningError, match=why):
            read_public_key(text)
