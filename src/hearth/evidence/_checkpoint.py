"""Checkpoints: what a log is at one size, as the text of a signed note (C2SP tlog-checkpoint, v1)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Self

from hearth.errors import EvidenceError
from hearth.evidence._merkle import EMPTY_ROOT, HASH_SIZE

__all__ = ["Checkpoint"]

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LEAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name (its origin), how many entries it has, the root of their tree; `extensions` are lines of others."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.origin or "\n" in self.origin or self.size < 0 or len(self.root) != HASH_SIZE:
            raise EvidenceError(f"{self.origin[:80]!r}, {self.size} and {len(self.root)} bytes are no checkpoint")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise EvidenceError("the checkpoint of an empty log has another root than that of no entries")
        if any(not line or "\n" in line for line in self.extensions):
            raise EvidenceError("an extension of a checkpoint is one line, and not empty")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checkpoint's text; EvidenceError for anything else."""
        lines = text.split("\n")
        if len(lines) <= _LEAST_LINES or lines[-1]:
            raise EvidenceError("a checkpoint has three lines or more: its origin, its size, its root")
        origin, size, root, *extensions = lines[:-1]
        if not _SIZE.fullmatch(size):
            raise EvidenceError(f"the size of a checkpoint is {size[:40]!r}, and no decimal number")
        try:
            decoded = base64.b64decode(root, validate=True)
        except (binascii.Error, ValueError):
            raise EvidenceError(f"the root of a checkpoint is {root[:60]!r}, and not base64") from None
        if base64.b64encode(decoded).decode() != root:
            raise EvidenceError("the root of a checkpoint is not written as base64 is")
        return cls(origin, int(size), decoded, tuple(extensions))

    def text(self) -> str:
        """Return the text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)
