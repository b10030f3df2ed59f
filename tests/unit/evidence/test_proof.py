"""Proof files and cosignatures."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import EvidenceError
from hearth.evidence import COSIGNATURE, LogProof, Note, NoteKey, TransparencyLog
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "example.com/log"
LOG, FIRST, SECOND = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
KEY = NoteKey(ORIGIN, LOG.public)
WITNESSES = (NoteKey("one.example", FIRST.public, COSIGNATURE), NoteKey("two.example", SECOND.public, COSIGNATURE))


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> LogProof:
    folder: Path = tmp_path_factory.mktemp("log")
    log = TransparencyLog.create(folder / "log", folder / "signed.json", LOG, origin=ORIGIN)
    log.append(b"entry %d" % number for number in range(11))
    note = Note.parse(log.note()).cosigned("one.example", FIRST, 1_700_000_000)
    return LogProof(7, tuple(log.inclusion(7)), note)


def test_a_proof_stands_alone(proof: LogProof) -> None:
    data = proof.to_bytes()
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nindex 7\n")
    read = LogProof.parse(data)
    assert read == proof
    found = read.verify(b"entry 7", KEY, WITNESSES, quorum=1)
    assert (found.origin, found.size) == (ORIGIN, 11)
    with_extra = LogProof(proof.index, proof.hashes, proof.note, b"\0extra")
    assert LogProof.parse(with_extra.to_bytes()) == with_extra
    assert b"\nextra AGV4dHJh\nindex 7\n" in with_extra.to_bytes()


def test_what_it_does_not_show(proof: LogProof) -> None:
    with pytest.raises(EvidenceError, match="the proof leads elsewhere"):
        proof.verify(b"entry 8", KEY)
    with pytest.raises(EvidenceError, match="is not signed by the log"):
        proof.verify(b"entry 7", NoteKey(ORIGIN, FIRST.public))
    with pytest.raises(EvidenceError, match=r"of the log example\.com/log, and the key is of other"):
        proof.verify(b"entry 7", NoteKey("other", LOG.public))
    with pytest.raises(EvidenceError, match="has 1 cosignatures of known witnesses, not 2"):
        proof.verify(b"entry 7", KEY, WITNESSES, quorum=2)
    twice = LogProof(7, proof.hashes, proof.note.cosigned("three.example", FIRST, 5))
    both = (WITNESSES[0], NoteKey("three.example", FIRST.public, COSIGNATURE))
    with pytest.raises(EvidenceError, match="has 1 cosignatures"):
        twice.verify(b"entry 7", KEY, both, quorum=2)
    for index in (6, 8, 11):
        with pytest.raises(EvidenceError):
            LogProof(index, proof.hashes, proof.note).verify(b"entry 7", KEY)


def test_a_cosignature_says_when() -> None:
    note = Note(f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\n")
    cosigned = Note.parse(note.cosigned("one.example", FIRST, 1_679_315_147).to_bytes())
    assert cosigned.verified_by(WITNESSES) == WITNESSES[:1]
    assert cosigned.cosigned_at(WITNESSES[0]) == 1_679_315_147
    assert cosigned.cosigned_at(WITNESSES[1]) is None
    (signature,) = cosigned.signatures
    assert signature.value[:8] == (1_679_315_147).to_bytes(8, "big")
    message = b"cosignature/v1\ntime 1679315147\n" + note.text.encode()
    assert FIRST.public.verify(signature.value[8:], message)
    later = type(signature)(signature.name, signature.key_id, (1_679_315_148).to_bytes(8, "big") + signature.value[8:])
    with pytest.raises(EvidenceError, match="does not verify"):
        Note(note.text, (later,)).verified_by(WITNESSES)
    assert Note(note.text, (later,)).cosigned_at(WITNESSES[0]) is None
    assert NoteKey.parse(str(WITNESSES[0])) == WITNESSES[0]
    assert base64.b64decode(str(WITNESSES[0]).split("+", 2)[2])[0] == 4
    for time in (-1, 1 << 63):
        with pytest.raises(EvidenceError):
            note.cosigned("one.example", FIRST, time)


@pytest.mark.parametrize(
    "change",
    [
        (b"@v1", b"@v2"),
        (b"index 7", b"index 07"),
        (b"index 7", b"index -7"),
        (b"index 7", b"Index 7"),
        (b"index 7\n", b""),
        (b"index 7", b"extra \nextra \nindex 7"),
        (b"index 7", b"extra ====\nindex 7"),
        (b"\n\n", b"\n"),
        (b"index 7\n", b"index 7\nAAAA\n"),
        (
            b"index 7\n",
            b"index 7\n" + base64.b64encode(bytes(32)) + b"\n" * 1 + (base64.b64encode(bytes(32)) + b"\n") * 64,
        ),
    ],
)
def test_what_is_no_proof(proof: LogProof, change: tuple[bytes, bytes]) -> None:
    data = proof.to_bytes()
    assert change[0] in data
    with pytest.raises(EvidenceError):
        LogProof.parse(data.replace(*change, 1))


@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_no_changed_byte_goes_unseen(proof: LogProof, place: int, byte: int) -> None:
    data = bytearray(proof.to_bytes())
    place %= len(data)
    if data[place] == byte:
        return
    data[place] = byte
    try:
        read = LogProof.parse(bytes(data))
        read.verify(b"entry 7", KEY, WITNESSES, quorum=1)
    except EvidenceError:
        return
    raise AssertionError(f"byte {place} was changed to {byte}, and the proof verifies")
