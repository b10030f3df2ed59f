"""Timestamps of checkpoints, by a real authority (OpenSSL's) on loopback, verified offline and by OpenSSL itself."""

from __future__ import annotations

import builtins
import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import (
    Checkpoint,
    Note,
    leaf_hash,
    request_timestamp,
    stamped_bytes,
    timestamp_name,
    verify_timestamp,
)
from hearth.signing import SigningKey
from tests.unit.evidence.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, WITNESS = SigningKey.generate(), SigningKey.generate()
ORIGIN = "example.org/ledger"


def note_of(size: int = 2, origin: str = ORIGIN) -> Note:
    """A log's signed checkpoint."""
    return Note(Checkpoint(origin, size, leaf_hash(b"a root")).text()).signed(origin, KEY)


NOTE = note_of()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """The authority that is trusted."""
    with Authority.make(tmp_path_factory.mktemp("authority") / "one") as made:
        yield made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Another authority, of the same name."""
    with Authority.make(tmp_path_factory.mktemp("stranger") / "two") as made:
        yield made


@pytest.fixture(autouse=True)
def as_usual(authority: Authority) -> None:
    authority.body, authority.status = None, 200


@pytest.fixture(scope="module")
def answer(authority: Authority) -> bytes:
    """A timestamp of the checkpoint."""
    return request_timestamp(NOTE, authority.url, roots=authority.root)


def test_a_checkpoint_is_stamped_and_verified_offline(authority: Authority, answer: bytes) -> None:
    told = verify_timestamp(answer, NOTE, roots=authority.root)
    assert timedelta() <= datetime.now(UTC) - told.time < timedelta(minutes=10)
    assert told.authority == "CN=a test's authority"
    assert str(told).endswith("Z by CN=a test's authority")
    assert timestamp_name(NOTE) == "checkpoint.2.tsr"


def test_openssl_verifies_it_too(authority: Authority, answer: bytes) -> None:
    assert authority.verifies(stamped_bytes(NOTE), answer)
    assert not authority.verifies(NOTE.text.encode(), answer)


def test_witnesses_may_come_and_go(authority: Authority, answer: bytes) -> None:
    cosigned = NOTE.cosigned("witness.example", WITNESS, 1_700_000_000)
    assert stamped_bytes(cosigned) == stamped_bytes(NOTE) == NOTE.to_bytes()
    assert verify_timestamp(answer, cosigned, roots=authority.root)


def test_a_note_without_its_logs_signature_is_not_stamped(authority: Authority) -> None:
    before = len(authority.asked)
    for note in (replace(NOTE, signatures=()), Note(NOTE.text).cosigned("witness.example", WITNESS, 7)):
        with pytest.raises(EvidenceError, match="no signature of its log"):
            request_timestamp(note, authority.url, roots=authority.root)
    assert len(authority.asked) == before


def test_it_holds_for_this_checkpoint_alone(authority: Authority, answer: bytes) -> None:
    for other in (note_of(3), note_of(2, "example.org/other"), Note(NOTE.text).signed(ORIGIN, WITNESS)):
        with pytest.raises(EvidenceError, match="Mismatch between messages"):
            verify_timestamp(answer, other, roots=authority.root)


def test_it_holds_by_a_trusted_authority_alone(authority: Authority, stranger: Authority, answer: bytes) -> None:
    with pytest.raises(EvidenceError, match="does not hold"):
        verify_timestamp(answer, NOTE, roots=stranger.root)
    assert verify_timestamp(answer, NOTE, roots=stranger.root + authority.root + authority.root)
    forged = stranger.answer(stranger.query(stamped_bytes(NOTE), "-cert"))
    assert stranger.verifies(stamped_bytes(NOTE), forged)
    with pytest.raises(EvidenceError, match="does not hold"):
        verify_timestamp(forged, NOTE, roots=authority.root)


def test_a_certificate_for_something_else_stamps_nothing(authority: Authority) -> None:
    """OpenSSL itself does not stamp with it, so the extension is what a forger would have to get past."""
    with pytest.raises(AssertionError):
        authority.answer(authority.query(stamped_bytes(NOTE), "-cert"), signer="other")


def test_a_token_without_certificates_needs_the_authoritys_own(authority: Authority) -> None:
    bare = authority.answer(authority.query(stamped_bytes(NOTE)))
    with pytest.raises(EvidenceError, match="does not hold"):
        verify_timestamp(bare, NOTE, roots=authority.root)
    leaf = (authority.folder / "leaf.pem").read_bytes()
    assert verify_timestamp(bare, NOTE, roots=authority.root, signer=leaf).authority == "CN=a test's authority"


def test_an_answer_to_another_question_is_refused(authority: Authority, answer: bytes) -> None:
    """Replayed: it is of the same bytes, but not of this request."""
    authority.body = answer
    with pytest.raises(EvidenceError, match="Nonce mismatch"):
        request_timestamp(NOTE, authority.url, roots=authority.root)


def test_a_refusal_is_told(authority: Authority) -> None:
    refusal = authority.answer(authority.query(b"x", "-sha384"))
    authority.body = refusal
    with pytest.raises(EvidenceError, match="did not stamp: rejection"):
        request_timestamp(NOTE, authority.url, roots=authority.root)


@pytest.mark.parametrize(
    "body, status, why",
    [
        (b"", 200, "no answer of an authority"),
        (b"<html>", 200, "no answer of an authority"),
        (b"x" * 200_000, 200, "more than"),
        (b"", 404, "status 404"),
        (b"", 302, "status 302"),
    ],
)
def test_what_is_no_timestamp(authority: Authority, body: bytes, status: int, why: str) -> None:
    authority.body, authority.status = body, status
    with pytest.raises(EvidenceError, match=why):
        request_timestamp(NOTE, authority.url, roots=authority.root)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "nonsense", "http://[", "ftp://127.0.0.1/"])
def test_an_authority_that_is_not_there(authority: Authority, url: str) -> None:
    with pytest.raises(EvidenceError, match="cannot be asked"):
        request_timestamp(NOTE, url, roots=authority.root)


def test_an_authority_that_is_too_slow(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: bytes) -> bytes:
        time.sleep(1)
        return b""

    monkeypatch.setattr(authority, "answer", slow)
    with pytest.raises(EvidenceError, match=r"cannot be asked|did not answer"):
        request_timestamp(NOTE, authority.url, roots=authority.root, deadline=0.2)


def test_certificates_that_are_none(answer: bytes) -> None:
    for roots in (b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        with pytest.raises(EvidenceError, match="cannot be read as PEM"):
            verify_timestamp(answer, NOTE, roots=roots)


def test_no_changed_byte_gives_another_time(authority: Authority, answer: bytes) -> None:
    """Some bytes are not signed (lengths that may be written in more ways); what is verified says the same."""
    good = verify_timestamp(answer, NOTE, roots=authority.root)
    chance = random.Random(7)  # noqa: S311 - the same mutations each time
    refused = 0
    for _ in range(300):
        mutated = bytearray(answer)
        mutated[chance.randrange(len(answer))] ^= 1 << chance.randrange(8)
        try:
            told = verify_timestamp(bytes(mutated), NOTE, roots=authority.root)
        except EvidenceError:
            refused += 1
        else:
            assert told.time == good.time
    assert refused > 250


def test_without_the_package_it_says_what_to_install(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "rfc3161_client":
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(EvidenceError, match=r"hearth-recorder\[timestamps\]"):
        verify_timestamp(answer, NOTE, roots=b"")
