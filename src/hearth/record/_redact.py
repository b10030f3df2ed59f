"""Taking secrets out before anything is hashed, and leaving salted commitments in their place.

A commitment is `base64url(SHA-256(JCS([salt, pointer, value])))` with a fresh 128-bit salt; `pointer` (RFC 6901) is the
place within the entry. Salt and value are thrown away, unless the plan marks the key as disclosable: then they are
kept beside the record as a `Disclosure`, outside every hash, and can be erased without breaking any of them.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hearth.errors import RecordError
from hearth.record._about import is_about
from hearth.record._canonical import canonical_bytes
from hearth.record._patterns import find_secrets, secret_arguments
from hearth.record._plain import convert, printable
from hearth.record._rewritings import as_bytes, rewritings
from hearth.record._secret import Secret
from hearth.record._suspicion import suspicious
from hearth.record._telling import is_telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Disclosure", "Redactor", "commitment"]

_SHORTEST_KNOWN = 4
_SHORTEST_LINE = 8


def commitment(salt: str, pointer: str, value: Any) -> str:  # noqa: ANN401 - a JSON tree
    """Return the base64url digest (no padding) that stands in a record for `value`."""
    digest = hashlib.sha256(canonical_bytes([salt, pointer, value])).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """A redacted value kept beside the record: which entry and place, salt and value, and the commitment they open."""

    sequence: int
    pointer: str
    salt: str
    value: Any
    digest: str

    def opens(self) -> bool:
        """Whether salt and value really give the digest."""
        return commitment(self.salt, self.pointer, self.value) == self.digest

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "sequence": self.sequence,
            "pointer": self.pointer,
            "salt": self.salt,
            "value": self.value,
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Disclosure:
        """Read the JSON form; RecordError when it is malformed."""
        kinds = {"sequence": int, "pointer": str, "salt": str, "value": object, "digest": str}
        if (
            not isinstance(document, dict)
            or set(document) != set(kinds)
            or isinstance(document["sequence"], bool)
            or not all(isinstance(document[key], kind) for key, kind in kinds.items())
        ):
            message = "a disclosure needs exactly sequence (int), pointer, salt, digest (strings) and value"
            raise RecordError(message)
        return cls(**document)


class Redactor:
    """Finds secrets by key name, by shape, by `Secret`, and by value once known. Safe to share between threads.

    `disclosable` names keys whose values are kept beside the record; such keys count as telling. `needles` are the byte
    strings by which known values are searched for; empty while none is known.
    """

    def __init__(self, *, disclosable: Iterable[str] = ()) -> None:
        self._disclosable = frozenset(disclosable)
        self._known: tuple[str, ...] = ()
        # One list for good: the recorder's encoders look at it with every event, without a call.
        self.needles: list[bytes] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Redactor(known secrets: {len(self._known)})"

    def add_secret(self, value: str) -> None:
        """Make a value known: from now on it is taken out wherever it appears, also JSON-escaped.

        Values shorter than four characters are not searched for in texts (they would take out half of them).
        Of a value of several lines each line of eight or more characters counts by itself too.
        """
        lines = (line.strip() for line in value.splitlines())
        pieces = {value, value.strip(), *(line for line in lines if len(line) >= _SHORTEST_LINE)}
        forms = {form for piece in pieces if len(piece) >= _SHORTEST_KNOWN for form in rewritings(piece)}
        with self._lock:
            if forms.issubset(self._known):
                return
            # Longest first, so that a secret that contains another is taken out whole.
            self._known = tuple(sorted(forms.union(self._known), key=len, reverse=True))
            self.needles[:] = {needle for piece in self._known for needle in as_bytes(piece)}

    @property
    def known(self) -> tuple[str, ...]:
        """The secrets that are known by value, in every form in which they are searched for."""
        return self._known

    @property
    def disclosable(self) -> frozenset[str]:
        """The names of keys whose values are kept beside the record."""
        return self._disclosable

    def telling(self, key: str) -> bool:
        """Whether the value under this key is a secret."""
        return is_telling(key) or key in self._disclosable

    def make_known(self, *values: object) -> None:
        """Make the value of each `Secret` among these known."""
        for value in values:
            if issubclass(type(value), Secret):  # by type: an object may raise when it is asked for its class
                self.add_secret(cast("Secret", value).reveal())

    def suspicious(self, raw: bytes) -> bool:
        """Whether these bytes (UTF-8 text or compact JSON) may hold a secret; False is certain, True is not."""
        return any(needle in raw for needle in list(self.needles)) or suspicious(raw)

    def text(self, text: str, pointer: str = "") -> str:
        """Return the text with `[redacted:<digest>]` in place of each secret."""
        # In a text of its own a quoted key may stand before a colon, which in encoded JSON is no sign of anything.
        if not self.suspicious(text.encode("utf-8", "surrogatepass")) and '":' not in text:
            return text
        return self._without_secrets(text, pointer)

    def hide(self, secret: Secret, pointer: str) -> str:
        """Make a Secret's value known and return what stands in its place in a text."""
        self.add_secret(secret.reveal())
        return _redacted(pointer, secret.reveal())

    def details(self, value: Any, pointer: str = "/details") -> tuple[Any, list[Disclosure]]:  # noqa: ANN401
        """Return anything as plain JSON without secrets, and what is to be kept beside (sequence -1)."""
        while True:
            known = self._known
            walk = _Walk(self)
            plain = convert({} if value is None else value, pointer, walk)
            if self._known is known:
                return plain, walk.kept
            # A Secret in there made its value known: it may also stand in what was converted before it.

    def _without_secrets(self, text: str, pointer: str) -> str:
        spans = find_secrets(text)
        for known in self._known:
            start = text.find(known)
            while start >= 0:
                spans.append((start, start + len(known)))
                start = text.find(known, start + 1)
        if not spans:
            return text
        parts = []
        position = 0
        for start, end in _joined(spans):
            parts += [text[position:start], _redacted(pointer, text[start:end])]
            position = end
        parts.append(text[position:])
        return "".join(parts)


class _Walk:
    """The policy of one conversion: redacts by a Redactor and collects what may be disclosed later."""

    __slots__ = ("_redactor", "kept")

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.kept: list[Disclosure] = []

    def telling(self, key: str) -> bool:
        return self._redactor.telling(key)

    def about(self, key: str, value: Any) -> bool:  # noqa: ANN401 - anything
        return key not in self._redactor.disclosable and is_about(key, value)

    def text(self, text: str, pointer: str) -> str:
        return self._redactor.text(text, pointer)

    def number(self, value: int, pointer: str) -> Any:  # noqa: ANN401 - a JSON tree
        known = self._redactor.known
        if known:
            text = str(value)
            if any(secret in text for secret in known):  # a PIN that somebody has made a number
                return self.commit(value, pointer, None)
        return value

    def arguments(self, texts: list[str]) -> set[int]:
        return secret_arguments(texts)

    def commit(self, value: Any, pointer: str, key: str | None) -> dict[str, Any]:  # noqa: ANN401
        keep = key is not None and key in self._redactor.disclosable
        if isinstance(value, Secret):
            keep = keep or value.disclosable
            value = self.reveal(value)
        salt = _salt()
        digest = commitment(salt, pointer, value)
        if keep:
            self.kept.append(Disclosure(sequence=-1, pointer=pointer, salt=salt, value=value, digest=digest))
        return {"$sha256": digest}

    def reveal(self, secret: Secret) -> str:
        value = secret.reveal()
        self._redactor.add_secret(value)
        return printable(value)


def _redacted(pointer: str, secret: str) -> str:
    return f"[redacted:{commitment(_salt(), pointer, printable(secret))}]"


def _salt() -> str:
    return urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
