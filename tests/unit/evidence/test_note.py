"""Signed notes and checkpoints, with the example that the specification's reference library publishes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import EvidenceError, SigningError
from hearth.evidence import Checkpoint, Note, NoteKey
from hearth.signing import PublicKey, SigningKey

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
OWN = SigningKey.generate()
ROOT = bytes(range(32))


def test_the_published_note() -> None:
    key = NoteKey.parse(KEY)
    note = Note.parse(NOTE)
    assert note.verified_by([key]) == (key,)
    assert str(key) == KEY
    assert note.to_bytes() == NOTE
    with pytest.raises(EvidenceError, match=r"PeterNeumann .* does not verify"):
        Note.parse(NOTE.replace(b"answer", b"Answer")).verified_by([key])
    assert note.verified_by([NoteKey("PeterNeumann", OWN.public)]) == ()


def test_the_example_of_the_specification() -> None:
    """C2SP signed-note, "Note": its key is not published there, so only its form is looked at."""
    data = (
        "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
        "— quasimodo.example/salvatore "
        "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    ).encode()
    note = Note.parse(data)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")  # the last empty line parts it
    (signature,) = note.signatures
    assert (signature.name, signature.key_id.hex()) == ("quasimodo.example/salvatore", "367ba04b")
    assert note.to_bytes() == data
    assert note.verified_by([NoteKey("quasimodo.example/salvatore", OWN.public)]) == ()


ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group (RFC 8032, section 5.1)
LOW_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)


def test_a_signature_has_one_form() -> None:
    """S + L is as good in the group, and refused (RFC 8032, section 5.1.7)."""
    note = Note("text\n").signed("a.example", OWN)
    key = NoteKey("a.example", OWN.public)
    (signature,) = note.signatures
    data = signature.value
    assert len(data) == 64
    larger = (int.from_bytes(data[32:], "little") + ORDER).to_bytes(32, "little")
    line = base64.b64encode(key.key_id + data[:32] + larger).decode()
    with pytest.raises(EvidenceError, match="does not verify"):
        Note.parse(f"text\n\n— a.example {line}\n".encode()).verified_by([key])


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_key_of_low_order_is_none(point: str, sign: int) -> None:
    """S = 0 and R = the point verify for any text: whoever has no key signs, and who has it can deny that."""
    raw = bytearray.fromhex(point)
    raw[-1] |= sign
    with pytest.raises(SigningError, match="low order"):
        PublicKey(bytes(raw))


def test_a_note_of_several_signatures() -> None:
    other = SigningKey.generate()
    note = Note("text\n").signed("a.example", OWN).signed("b.example/log", other)
    known = (NoteKey("b.example/log", other.public), NoteKey("a.example", OWN.public))
    read = Note.parse(note.to_bytes())
    assert read == note
    assert read.verified_by(known) == (known[1], known[0])
    assert read.verified_by(known[:1]) == known[:1]
    assert Note(note.text, note.signatures * 2).verified_by(known) == (known[1], known[0]), "each counts once"
    forged = Note(note.text, (*note.signatures[:1], type(note.signatures[1])(*_forged(note))))
    with pytest.raises(EvidenceError, match="does not verify"):
        forged.verified_by(known)
    assert forged.verified_by(known[1:]) == known[1:], "whose key nobody knows is passed over"


def _forged(note: Note) -> tuple[str, bytes, bytes]:
    last = note.signatures[1]
    return last.name, last.key_id, bytes(64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        NOTE[:-1],
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace(b"then", b"\tthen"),
        NOTE.replace(b"then", b"\xff"),
        NOTE.replace(b"PeterNeumann", b"Peter Neumann"),
        NOTE.replace(b"PeterNeumann", b"Peter+Neumann"),
        NOTE.replace(b"PeterNeumann", "Peter\u2003Neumann".encode()),
        NOTE.replace(b"JnAM=", b"JnA"),
        NOTE.replace(b"JnAM=", b"JnAN="),
        NOTE.replace(b"JnAM=\n", b"JnAM=\n\n"),
        NOTE + b"more\n",
        "text\n\n— a AAAA\n".encode(),
        b"text\n\n" + "— a AAAAAAAA\n".encode() * 101,
        b"x" * 1_000_001,
    ],
)
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        Note.parse(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_an_error(data: bytes) -> None:
    for whole in (data, NOTE[:60] + data + NOTE[60:], NOTE + data):
        try:
            note = Note.parse(whole)
        except EvidenceError:
            continue
        assert note.to_bytes() == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+c74f20a3",
        KEY.replace("c74f20a3", "c74f20a4"),
        KEY.replace("PeterNeumann", "Peter"),
        KEY[:-4],
        KEY.replace("PeterNeumann", "Peter Neumann"),
        "name+00000000+AQ==",
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(EvidenceError):
        NoteKey.parse(text)


@pytest.mark.parametrize("text", ["no end", "a\tb\n", ""])
def test_what_cannot_be_signed(text: str) -> None:
    with pytest.raises(EvidenceError):
        Note(text).signed("name", OWN)


def test_a_checkpoint() -> None:
    text = f"example.com/log\n7\n{base64.b64encode(ROOT).decode()}\n"
    found = Checkpoint.parse(text)
    assert (found.origin, found.size, found.root, found.extensions) == ("example.com/log", 7, ROOT, ())
    assert found.text() == text
    more = Checkpoint.parse(f"{text}one\ntwo\n")
    assert (more.extensions, more.text()) == (("one", "two"), f"{text}one\ntwo\n")


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("origin", "7"),
        ("", "7", "ROOT"),
        ("origin", "07", "ROOT"),
        ("origin", "+7", "ROOT"),
        ("origin", "\u0667", "ROOT"),
        ("origin", "-1", "ROOT"),
        ("origin", "99999999999999999999", "ROOT"),
        ("origin", "7", "ROOT="),
        ("origin", "7", "AAAA"),
        ("origin", "7", "ROOT", ""),
        ("origin", "0", "ROOT"),
    ],
)
def test_what_is_no_checkpoint(lines: tuple[str, ...]) -> None:
    root = base64.b64encode(ROOT).decode()
    with pytest.raises(EvidenceError):
        Checkpoint.parse("".join(f"{line.replace('ROOT', root)}\n" for line in lines))
