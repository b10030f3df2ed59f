"""The keys of a log, one after the other: each signs for an interval of sizes, and the one before signs the next.

A key that was stolen long after its time, or an old one that still lies somewhere, signs nothing that a verifier with
the history believes: it looks at the size that a checkpoint states, and not at when it was signed.

States of a key: begins at a size → ends, at the size from which the next one signs → may be revoked from a size on, of
its interval. What is revoked signs nothing more, no statement either. A history only ever grows at its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from hearth.errors import EquivocationError, EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._key_statement import KeyStatement
from hearth.evidence._note import ED25519, Note, NoteKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.signing import SigningKey

__all__ = ["KeyHistory"]

_FIRST_LINE = "hearth.log-keys/1"
_NOTE = re.compile(r"\n((?:[^\n]+\n)+\n(?:— [^\n]+\n)+)")
_LARGEST = 1 << 20
_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Term:
    """A key's interval: from `start`, up to but not with `end`; of it, from `revoked` on, nothing counts."""

    key: NoteKey
    start: int
    end: int | None = None
    revoked: int | None = None
    replaced_by: Note | None = None

    def holds(self, size: int) -> bool:
        return self.start <= size and not any(one is not None and size >= one for one in (self.end, self.revoked))

    def why_not(self, size: int) -> str:
        named = f"the key {self.key.key_id.hex()}"
        if self.revoked is not None and size >= self.revoked:
            return f"{named} is revoked from size {self.revoked} on"
        if self.end is not None and size >= self.end:
            return f"{named} ended at size {self.end}: whatever it signs from there on was not signed by the log"
        return f"{named} begins at size {self.start}"


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """A log's first key, and the signed statements that came after it, in order.

    A verifier has the first key from elsewhere, or a later one (`trusted`): then nothing counts that was signed by a
    key before it, for only what that key signed, and what follows from it, can be believed.
    EvidenceError where a statement does not follow from those before it; EquivocationError, with both, where it denies
    one of them.
    """

    first: NoteKey
    statements: tuple[Note, ...] = ()
    trusted: NoteKey | None = None
    _terms: tuple[_Term, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.first.algorithm != ED25519:
            raise EvidenceError(f"{self.first} is the key of a witness, not of a log")
        if len(self.statements) > _MOST:
            raise EvidenceError(f"a history of more than {_MOST} statements is refused")
        terms: tuple[_Term, ...] = (_Term(self.first, 0),)
        for number, note in enumerate(self.statements, 1):
            try:
                terms = _continued(terms, note)
            except EvidenceError as error:
                error.args = (f"statement {number} of the key history: {error}",)
                raise
        object.__setattr__(self, "_terms", terms)
        if self.trusted is not None and self.trusted not in self.keys:
            raise EvidenceError(f"the key {self.trusted} is none of those in the history of the keys of this log")

    # --- what verifiers ask

    @property
    def current(self) -> NoteKey:
        """The key that came last; it signs now, where it is not revoked."""
        return self._terms[-1].key

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """All keys, in the order of their intervals."""
        return tuple(one.key for one in self._terms)

    def valid_at(self, size: int) -> tuple[NoteKey, ...]:
        """Return the key that signs checkpoints of a size; none where it is revoked."""
        return tuple(one.key for one in self._believed if one.holds(size))

    @property
    def _believed(self) -> tuple[_Term, ...]:
        """The intervals of the trusted key and of those after it."""
        start = 0 if self.trusted is None else self.keys.index(self.trusted)
        return self._terms[start:]

    def check(self, note: Note) -> Checkpoint:
        """Return the checkpoint in a note; EvidenceError unless the key of its size signed it."""
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != self.first.name:
            raise EvidenceError(
                f"the checkpoint is of the log {checkpoint.origin}, and the keys are of {self.first.name}"
            )
        verified = note.verified_by(self.keys)
        signed = [one for one in self._terms if one.key in verified]
        if any(one.holds(checkpoint.size) for one in signed if one in self._believed):
            return checkpoint
        what = f"the checkpoint of {checkpoint.origin} with {checkpoint.size} entries"
        if any(one.holds(checkpoint.size) for one in signed):
            raise EvidenceError(
                f"{what} is signed by a key from before the one that was given: for that, give the log's first key"
            )
        if signed:
            raise EvidenceError(f"{what} does not count: {'; '.join(one.why_not(checkpoint.size) for one in signed)}")
        strange = ", ".join(one.key_id.hex() for one in note.signatures if one.name == checkpoint.origin)
        raise EvidenceError(
            f"{what} is signed by {strange}, which was never a key of this log"
            if strange
            else f"{what} is not signed by any key of this log"
        )

    def require_continues(self, older: KeyHistory) -> None:
        """Raise unless this history begins with an older one; EquivocationError, with both, where they part."""
        if self.first != older.first:
            raise EvidenceError(f"the histories begin with different keys: {older.first} and {self.first}")
        for number, (before, now) in enumerate(zip(older.statements, self.statements, strict=False), 1):
            if before.text != now.text:
                raise EquivocationError(
                    f"statement {number} of the key history was another one before: two histories of the keys of "
                    f"{self.first.name} were signed. Keep both, they are the proof, and trust neither from there on",
                    (before.to_bytes(), now.to_bytes()),
                )
        if len(self.statements) < len(older.statements):
            raise EvidenceError(
                f"the key history has {len(self.statements)} statements, and had {len(older.statements)} before: it "
                "was set back; bring the newer one back"
            )

    # --- what the log's operator does

    def rotated(self, old: SigningKey, new: SigningKey, size: int) -> Self:
        """Return the history with a key more, which signs from `size` on; both keys sign the statement."""
        text = KeyStatement(self.first.name, size, NoteKey(self.first.name, new.public)).text()
        return self.extended(Note(text).signed(self.first.name, old).signed(self.first.name, new))

    def revoked(self, key: NoteKey, size: int, by: SigningKey) -> Self:
        """Return the history with a key revoked from `size` on, by a later key or by itself."""
        return self.extended(Note(KeyStatement(self.first.name, size, key, revokes=True).text()).signed(key.name, by))

    def extended(self, *statements: Note) -> Self:
        """Return the history with statements more, which have to follow from it."""
        return replace(self, statements=(*self.statements, *statements))

    # --- as a file

    def to_bytes(self) -> bytes:
        """Return the file: `hearth.log-keys/1`, the first key, and after an empty line each the statements' notes."""
        notes = b"".join(b"\n" + one.to_bytes() for one in self.statements)
        return f"{_FIRST_LINE}\n{self.first}\n".encode() + notes

    @classmethod
    def is_one(cls, data: bytes) -> bool:
        """Whether a file's content begins as a history does."""
        return data.startswith(f"{_FIRST_LINE}\n".encode())

    @classmethod
    def parse_with(cls, data: bytes, trusted: Sequence[NoteKey]) -> Self:
        """Read a file that has one of the keys that are trusted from elsewhere, the earliest; EvidenceError else."""
        told = data.split(b"\n", 2)[1:2]
        try:
            first = NoteKey.parse(told[0].decode()) if told else None
        except ValueError:
            first = None
        if first is None or not cls.is_one(data):
            raise EvidenceError(f"this is no key history: it does not begin with {_FIRST_LINE} and a key")
        history = cls.parse(data, first)
        known = [key for key in history.keys if key in trusted]
        if not known:
            raise EvidenceError(
                f"the history of the keys of {first.name} has none of the keys that were given: it is another log's, "
                "or was made up"
            )
        return replace(history, trusted=None if known[0] == first else known[0])

    @classmethod
    def parse(cls, data: bytes, first: NoteKey) -> Self:
        """Read a file. `first` is the key that is trusted from elsewhere: the file's own word for it is none."""
        if len(data) > _LARGEST:
            raise EvidenceError(f"a key history of {len(data)} bytes is refused; the most is {_LARGEST}")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise EvidenceError(f"a key history is UTF-8: {error}") from None
        head, told, rest = (*text.split("\n", 2), "", "", "")[:3]
        if head != _FIRST_LINE:
            raise EvidenceError(f"this is no key history: it does not begin with {_FIRST_LINE}")
        if told != str(first):
            raise EvidenceError(f"the key history begins with {told[:200]}, and the key that is trusted is {first}")
        notes = _NOTE.findall(rest)
        history = cls(first, tuple(Note.parse(one.encode()) for one in notes))
        if history.to_bytes() != data:
            raise EvidenceError("the key history has something between its statements, or is not written as one is")
        return history


def _continued(terms: tuple[_Term, ...], note: Note) -> tuple[_Term, ...]:
    """Return the terms after a statement; the rules stand in this file's docstring."""
    statement = KeyStatement.parse(note.text)
    if statement.origin != terms[0].key.name:
        raise EvidenceError(f"it is of the log {statement.origin}, not of {terms[0].key.name}")
    return _revoked(terms, note, statement) if statement.revokes else _rotated(terms, note, statement)


def _rotated(terms: tuple[_Term, ...], note: Note, statement: KeyStatement) -> tuple[_Term, ...]:
    new, last = statement.key, terms[-1]
    signed = note.verified_by([*(one.key for one in terms), new])
    _require_no_other_successor(terms, note, signed)
    if any(one.key.key_id == new.key_id or one.key.public == new.public for one in terms):
        raise EvidenceError(f"the key {new.key_id.hex()} was a key of this log before: a key has one interval")
    if new not in signed:
        raise EvidenceError(f"the new key {new.key_id.hex()} did not sign it, so nobody has shown to hold it")
    if last.key not in signed:
        raise EvidenceError(f"the key before, {last.key.key_id.hex()}, did not sign it")
    if last.revoked is not None:
        raise EvidenceError(f"the key {last.key.key_id.hex()} was revoked: it appoints no other")
    if statement.size == last.start and len(terms) > 1:
        raise _equivocation(last.key, terms[-2], note)
    if statement.size <= last.start:
        raise EvidenceError(
            f"it begins at size {statement.size}, and the key before, {last.key.key_id.hex()}, at {last.start}: a key "
            "signs for one size at least"
        )
    return (*terms[:-1], replace(last, end=statement.size, replaced_by=note), _Term(new, statement.size))


def _require_no_other_successor(terms: tuple[_Term, ...], note: Note, signed: Sequence[NoteKey]) -> None:
    """Raise where a key that has a successor signed another one: it equivocates, or somebody has stolen it."""
    if terms[-1].key in signed:
        return
    for one in terms:
        if one.key in signed and one.replaced_by is not None:
            raise _equivocation(one.key, one, note)


def _equivocation(signer: NoteKey, term: _Term, note: Note) -> EvidenceError:
    """Return the error for a statement that denies the one which brought the key after `term`."""
    new = KeyStatement.parse(note.text)
    if term.replaced_by is None:
        return EvidenceError(f"the key {signer.key_id.hex()} signed it, and may not")
    known = KeyStatement.parse(term.replaced_by.text)
    return EquivocationError(
        f"it says that the key {new.key.key_id.hex()} signs from size {new.size} on, and by the word of "
        f"{term.key.key_id.hex()} {known.key.key_id.hex()} signs from {known.size} on. The first stands; keep both "
        "statements, they are the proof, and find out who has the key "
        f"{signer.key_id.hex()}",
        (term.replaced_by.to_bytes(), note.to_bytes()),
    )


def _revoked(terms: tuple[_Term, ...], note: Note, statement: KeyStatement) -> tuple[_Term, ...]:
    key = statement.key
    number = next((number for number, one in enumerate(terms) if one.key == key), None)
    if number is None:
        raise EvidenceError(f"the key {key.key_id.hex()}, which it revokes, was never a key of this log")
    term = terms[number]
    signed = note.verified_by(one.key for one in terms)
    if not any(one.key in signed and one.revoked is None for one in terms[number:]):
        raise EvidenceError(
            f"it is signed neither by the key {key.key_id.hex()}, which it revokes, nor by a later one that is not "
            "revoked itself"
        )
    if term.revoked is not None and statement.size >= term.revoked:
        raise EvidenceError(f"the key {key.key_id.hex()} is revoked from size {term.revoked} on already")
    if statement.size < term.start or (term.end is not None and statement.size >= term.end):
        last = "" if term.end is None else f" to {term.end - 1}"
        raise EvidenceError(
            f"the key {key.key_id.hex()} signs for the sizes from {term.start}{last}: it cannot be revoked from "
            f"{statement.size} on"
        )
    return (*terms[:number], replace(term, revoked=statement.size), *terms[number + 1 :])
