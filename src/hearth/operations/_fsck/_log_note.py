"""Signed notes as a checker reads them: a log's checkpoint, and the history of the keys that sign it."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LogKey", "LogState", "SignedNote", "key_terms", "require_signed"]

_ED25519 = b"\x01"
_NOTE = re.compile(r"((?:[^\n]+\n)+)\n((?:— [^ \n]+ [A-Za-z0-9+/=]+\n)+)")
_HISTORY = "hearth.log-keys/1\n{}\n"
_STATEMENT = re.compile(r"hearth\.log-key/1\n([^\n]+)\nsize ([0-9]{1,19})\n(key|revoked) ([^\n]+)\n")
_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")


class SignedNote:
    """A note's text and its signatures; ValueError for bytes that are none."""

    def __init__(self, data: bytes) -> None:
        found = _NOTE.fullmatch(data.decode("utf-8"))
        if found is None:
            raise ValueError("it is no signed note")
        self.data = data
        self.text = found[1]
        lines = [line.split(" ")[1:] for line in found[2].splitlines()]
        self.signatures = [(name, b64decode(signature, validate=True)) for name, signature in lines]

    def signed_by(self, key: LogKey) -> bool:
        """Whether the key signed it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        for name, signature in self.signatures:
            if name == key.name and signature[:4] == key.key_id:
                try:
                    Ed25519PublicKey.from_public_bytes(key.raw).verify(signature[4:], self.text.encode())
                except (InvalidSignature, ValueError):
                    continue
                return True
        return False


@dataclass(frozen=True, slots=True)
class LogState:
    """How many entries a log has, and their root."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def of(cls, note: SignedNote) -> LogState:
        """Read a checkpoint; ValueError where the note is none."""
        found = _CHECKPOINT.fullmatch(note.text)
        if found is None:
            raise ValueError("it is no checkpoint")
        return cls(found[1], int(found[2]), b64decode(found[3], validate=True))


@dataclass(slots=True)
class LogKey:
    """A key of a log, and the sizes that it signs: from `start`, and before `end` and `revoked`."""

    text: str
    start: int = 0
    end: int | None = None
    revoked: int | None = None
    name: str = field(init=False)
    key_id: bytes = field(init=False)
    raw: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.name, told, encoded = self.text.split("+", 2)
        data = b64decode(encoded, validate=True)
        self.key_id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        self.raw = data[1:]
        if data[:1] != _ED25519 or len(self.raw) != 32 or self.key_id.hex() != told:  # noqa: PLR2004 - of Ed25519
            raise ValueError(f"{self.text[:100]!r} is no key of a log")

    def holds(self, size: int) -> bool:
        """Whether checkpoints of this size are its to sign."""
        return self.start <= size and all(one is None or size < one for one in (self.end, self.revoked))


def key_terms(origin: str, keys: Sequence[str], history: bytes | None) -> tuple[list[LogKey], list[str]]:
    """Return the keys with their sizes, and the SHA-256 of each statement of the history.

    ValueError where the history does not bring just these keys, or a statement is not signed as it has to be.
    """
    terms, digests = [LogKey(keys[0])], []
    for part in [] if history is None else _notes(history, _HISTORY.format(keys[0])):
        note = SignedNote(part)
        digests.append(hashlib.sha256(part).hexdigest())
        found = _STATEMENT.fullmatch(note.text)
        if found is None or found[1] != origin:
            raise ValueError("a statement of the history of its keys is none, or of another log")
        size = int(found[2])
        if found[3] == "key":
            new = LogKey(found[4], start=size)
            if size <= terms[-1].start or not (note.signed_by(terms[-1]) and note.signed_by(new)):
                raise ValueError(f"the key {new.text} is not signed by the one before and by itself")
            terms[-1].end = size
            terms.append(new)
        else:
            place = next((number for number, one in enumerate(terms) if one.text == found[4]), None)
            if place is None or not any(note.signed_by(one) for one in terms[place:]):
                raise ValueError(f"that the key {found[4]} is revoked is not signed by it or by a later one")
            terms[place].revoked = size
    if [one.text for one in terms] != list(keys):
        raise ValueError("the history of its keys tells of other keys than the settings")
    return terms, digests


def require_signed(note: SignedNote, state: LogState, terms: Sequence[LogKey]) -> None:
    """Raise ValueError unless a key whose size this is signed the checkpoint."""
    if state.origin != terms[0].name:
        raise ValueError(f"it is of the log {state.origin}, and the settings are of {terms[0].name}")
    signers = [one for one in terms if note.signed_by(one)]
    if not signers:
        raise ValueError("it is not signed by a key of the log")
    if not any(one.holds(state.size) for one in signers):
        raise ValueError(f"it is signed by a key that does not sign for {state.size} entries")


def _notes(history: bytes, head: str) -> list[bytes]:
    text = history.decode("utf-8")
    if not text.startswith(head):
        raise ValueError("the history of its keys does not begin with its first key")
    found, place = [], len(head)
    while place < len(text):
        match = _NOTE.match(text, place + 1)
        if text[place] != "\n" or match is None:
            raise ValueError("the history of its keys is malformed")
        found.append(match[0].encode())
        place = match.end()
    return found
