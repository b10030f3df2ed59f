"""Where a witness is asked, and the key that its cosignatures are held against."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from hearth.errors import EvidenceError
from hearth.evidence._note import COSIGNATURE, NoteKey

__all__ = ["WitnessAddress"]


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness as a log's operator knows it: `url` is what stands before /add-checkpoint (its submission prefix)."""

    url: str
    key: NoteKey

    def __post_init__(self) -> None:
        if self.key.algorithm != COSIGNATURE:
            raise EvidenceError(f"{self.key} is not the key of a witness; it prints its own when it starts")
        try:
            parts = urlsplit(self.url)
            whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            parts, whole = urlsplit(""), None
        if not whole or parts.query or parts.fragment or not self.url.isprintable() or " " in self.url:
            raise EvidenceError(f"{self.url[:200]!r} is no address of a witness (https://HOST/PREFIX)")

    @property
    def endpoint(self) -> str:
        """The address that checkpoints are sent to."""
        return f"{self.url.rstrip('/')}/add-checkpoint"

    def __str__(self) -> str:
        return f"{self.key.name} ({self.url})"
