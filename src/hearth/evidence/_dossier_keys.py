"""Which keys are believed, from where; and the two ways in which a check of a dossier does not succeed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Self

from hearth.errors import EvidenceError
from hearth.evidence._note import NoteKey
from hearth.signing import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hearth.evidence._checkpoint import Checkpoint
    from hearth.evidence._proof import LogProof

__all__ = ["DossierKeys", "LogBelieved", "UncheckedError", "require", "unchecked"]

_SHOWN = 16


class UncheckedError(Exception):
    """A check that could not be made, and why."""


def unchecked(why: str) -> NoReturn:
    """Say that a check could not be made."""
    raise UncheckedError(why)


def require(truth: bool, why: str) -> None:
    """Raise EvidenceError with `why` unless it is true."""
    if not truth:
        raise EvidenceError(why)


@dataclass(frozen=True, slots=True)
class LogBelieved:
    """Whose log is believed, by what was given from elsewhere: its keys and witnesses, by which names they are known.

    `check` returns the checkpoint of a proof; EvidenceError where those keys do not bear it out.
    """

    check: Callable[[LogProof], Checkpoint]
    keys: tuple[NoteKey, ...]


@dataclass(slots=True)
class DossierKeys:
    """Keys that were given from elsewhere, by their text, and which of them have signed something.

    Those of `log` were given as well, but not each has to have signed.
    """

    given: dict[str, PublicKey] = field(default_factory=dict)
    log: LogBelieved | None = None
    used: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, texts: Iterable[str], log: LogBelieved | None = None) -> Self:
        """Read keys; EvidenceError and SigningError for what is none."""
        return cls({text: _parsed(text) for text in texts}, log)

    def knows(self, key: PublicKey) -> bool:
        """Whether a key was given."""
        known = (*self.given.values(), *(one.public for one in (() if self.log is None else self.log.keys)))
        return any(one.raw == key.raw for one in known)

    def said_of(self, key: PublicKey, name: str = "") -> str:
        """Say whose signature was found: of a trusted key, or of one that only stands in the file."""
        who = f"{name}, key id {key.key_id[:_SHOWN]}…" if name else f"the key id {key.key_id[:_SHOWN]}…"
        if self.knows(key):
            self.used.add(key.raw)
            return f"{who} (a key that was given)"
        return f"{who} (the key that is in the file)"

    def outcome(self, text: str) -> str:
        """Say that a given key signed something; EvidenceError where it did not."""
        key = self.given[text]
        require(key.raw in self.used, f"no signature here is by the key {text}")
        return f"the key {text} did"


def _parsed(text: str) -> PublicKey:
    if text.startswith("ed25519:"):
        return PublicKey.parse(text)
    if text.count("+") >= 2:  # noqa: PLR2004 - NAME+ID+KEY
        return NoteKey.parse(text).public
    raise EvidenceError(f"{text[:80]!r} is no key: ed25519:… (`hearth keygen`), or a verifier key NAME+ID+KEY")
