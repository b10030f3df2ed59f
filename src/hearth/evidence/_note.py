"""Signed notes: a text and signatures under it, each by a name and a key (C2SP signed-note, v1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceError, SigningError
from hearth.signing import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.signing import SigningKey

__all__ = ["COSIGNATURE", "ED25519", "Note", "NoteKey", "NoteSignature"]

ED25519 = 0x01
COSIGNATURE = 0x04  # Ed25519 with the time of signing before it (C2SP tlog-cosignature, v1)
_LARGEST = 1_000_000  # bytes of a note
_MOST_SIGNATURES = 100
_ID = 4
_TIME = 8
_LATEST = (1 << 63) - 1
_LINE = re.compile(r"— (?P<name>[^ +\n]+) (?P<value>[A-Za-z0-9+/]+={0,2})\n")
_NAME = re.compile(r"[^\s+]+")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature line: the name and the four bytes that hint at the key, and what the key's algorithm makes of it."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Return the line, with its end."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A key that verifies notes, with its name. As text: NAME+HEX+BASE64, of the key id and of algorithm and key.

    The algorithm is ED25519, or COSIGNATURE for a witness that says when it saw a checkpoint.
    """

    name: str
    public: PublicKey
    algorithm: int = ED25519

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise EvidenceError(f"{self.name!r} is no name of a key: it has a space or a plus, or is empty")
        if self.algorithm not in (ED25519, COSIGNATURE):
            raise EvidenceError(f"the key of {self.name} is of the kind {self.algorithm}, which is not known here")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form ("vkey"); EvidenceError for anything else, and where the key id is not that of the key."""
        name, _, rest = text.strip().partition("+")
        number, _, coded = rest.partition("+")
        wrong = f"{text[:100]!r} is no verifier key (NAME+ID+KEY, as `hearth log status` prints it)"
        try:
            blob = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise EvidenceError(wrong) from None
        if len(blob) < 2:  # noqa: PLR2004 - the algorithm, and some of a key
            raise EvidenceError(wrong)
        try:
            key = cls(name, PublicKey(blob[1:]), blob[0])
        except SigningError as error:
            raise EvidenceError(f"{wrong}: {error}") from None
        if key.key_id.hex() != number:
            raise EvidenceError(f"{wrong}: the key id {number[:16]!r} is not that of the key, {key.key_id.hex()}")
        return key

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ 0A ‖ algorithm ‖ public key), the first four bytes."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public.raw
        return hashlib.sha256(named).digest()[:_ID]

    def verify(self, text: str, value: bytes) -> bool:
        """Tell whether this key made a signature's value under a text."""
        if self.algorithm == ED25519:
            return self.public.verify(value, text.encode())
        if len(value) <= _TIME or signed_at(value) > _LATEST:
            return False
        return self.public.verify(value[_TIME:], _cosigned(text, signed_at(value)))

    def __str__(self) -> str:
        coded = base64.b64encode(bytes([self.algorithm]) + self.public.raw).decode()
        return f"{self.name}+{self.key_id.hex()}+{coded}"


@dataclass(frozen=True, slots=True)
class Note:
    """A text (its last line ends, too), and signatures under it. Nothing in it may be believed before `verified_by`."""

    text: str
    signatures: tuple[NoteSignature, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a note; EvidenceError where it is malformed."""
        if len(data) > _LARGEST:
            raise EvidenceError(f"a signed note of {len(data)} bytes is refused; the most is {_LARGEST}")
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise EvidenceError(f"a signed note is UTF-8: {error}") from None
        if any(character < " " and character != "\n" for character in whole):
            raise EvidenceError("a signed note has no control characters but the ends of its lines")
        text, gap, under = whole.rpartition("\n\n")
        if not gap or not under:
            raise EvidenceError("a signed note is a text, an empty line and signatures; here is no signature")
        lines = [_LINE.fullmatch(line) for line in under.splitlines(keepends=True)]
        if len(lines) > _MOST_SIGNATURES:
            raise EvidenceError(f"a signed note with more than {_MOST_SIGNATURES} signatures is refused")
        return cls(f"{text}\n", tuple(map(_signature, lines)))

    def to_bytes(self) -> bytes:
        """Return the note as it is stored and sent."""
        return f"{self.text}\n{''.join(one.line() for one in self.signatures)}".encode()

    def signed(self, name: str, key: SigningKey) -> Self:
        """Return the note with a signature more, by an Ed25519 key; EvidenceError for a text that cannot be signed."""
        if not self.text.endswith("\n") or any(one < " " and one != "\n" for one in self.text):
            raise EvidenceError("what is signed as a note ends its last line, and has no control characters")
        signature = NoteSignature(name, NoteKey(name, key.public).key_id, key.sign(self.text.encode()))
        return replace(self, signatures=(*self.signatures, signature))

    def cosigned(self, name: str, key: SigningKey, time: int) -> Self:
        """Return the note with a cosignature more, of a witness that saw it at a time, seconds since 1970."""
        if not 0 <= time <= _LATEST:
            raise EvidenceError(f"{time} is no time of a cosignature")
        value = time.to_bytes(_TIME, "big") + key.sign(_cosigned(self.text, time))
        signature = NoteSignature(name, NoteKey(name, key.public, COSIGNATURE).key_id, value)
        return replace(self, signatures=(*self.signatures, signature))

    def verified_by(self, keys: Iterable[NoteKey]) -> tuple[NoteKey, ...]:
        """Return which of these keys signed the text, in the note's order; none where none did.

        EvidenceError where a signature that says to be of one of them does not verify: such a note is refused as a
        whole. Signatures of others are passed over.
        """
        known = {(key.name, key.key_id): key for key in keys}
        found: dict[tuple[str, bytes], NoteKey] = {}
        for one in self.signatures:
            place = (one.name, one.key_id)
            key = known.get(place)
            if key is None or place in found:
                continue
            if not key.verify(self.text, one.value):
                raise EvidenceError(f"the signature of {one.name} ({one.key_id.hex()}) under the note does not verify")
            found[place] = key
        return tuple(found.values())

    def cosigned_at(self, key: NoteKey) -> int | None:
        """Return when a witness says that it saw the text, seconds since 1970; None where it did not cosign it."""
        for one in self.signatures:
            if (one.name, one.key_id) == (key.name, key.key_id) and key.verify(self.text, one.value):
                return signed_at(one.value) if key.algorithm == COSIGNATURE else None
        return None


def signed_at(value: bytes) -> int:
    """Return the time in a cosignature's value, seconds since 1970."""
    return int.from_bytes(value[:_TIME], "big")


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _signature(line: re.Match[str] | None) -> NoteSignature:
    if line is None:
        raise EvidenceError("a line under the note is no signature (— NAME BASE64)")
    try:
        blob = base64.b64decode(line["value"], validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceError(f"the signature of {line['name']} under the note is not base64") from None
    if len(blob) <= _ID or base64.b64encode(blob).decode() != line["value"]:
        raise EvidenceError(f"the signature of {line['name']} under the note is cut, or not written as base64 is")
    if not _NAME.fullmatch(line["name"]):
        raise EvidenceError("a name under the note has a space in it")
    return NoteSignature(line["name"], blob[:_ID], blob[_ID:])
