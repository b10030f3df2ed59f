"""What is said of a log's keys: that a new one signs from a size on, or that one counts no more from a size on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from hearth.errors import EvidenceError
from hearth.evidence._note import ED25519, NoteKey

__all__ = ["KeyStatement"]

_FIRST_LINE = "hearth.log-key/1"
_SIZE = re.compile(r"size (0|[1-9][0-9]{0,18})", re.ASCII)
_LINES = 5  # four, and what comes after the last one's end


@dataclass(frozen=True, slots=True)
class KeyStatement:
    """The text of a signed note: `hearth.log-key/1`, the origin, `size N`, and `key VKEY` or `revoked VKEY`.

    No checkpoint can be read out of it, nor it out of a checkpoint: the third line is no base64.
    """

    origin: str
    size: int
    key: NoteKey
    revokes: bool = False

    def __post_init__(self) -> None:
        if self.key.name != self.origin or self.key.algorithm != ED25519:
            raise EvidenceError(f"{self.key} is no key of the log {self.origin}")
        if not _SIZE.fullmatch(f"size {self.size}"):
            raise EvidenceError(f"{self.size} is no size of a log")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a statement's text; EvidenceError for anything else."""
        lines = text.split("\n")
        if len(lines) != _LINES or lines[0] != _FIRST_LINE or lines[-1]:
            raise EvidenceError(f"it is no statement of a log's key: four lines, of which the first is {_FIRST_LINE}")
        size = _SIZE.fullmatch(lines[2])
        word, _, key = lines[3].partition(" ")
        if size is None or word not in ("key", "revoked"):
            raise EvidenceError("it does not say from which size on (size N), and of which key (key or revoked VKEY)")
        statement = cls(lines[1], int(size[1]), NoteKey.parse(key), word == "revoked")
        if statement.text() != text:
            raise EvidenceError("it is not written as a statement of a log's key is")
        return statement

    def text(self) -> str:
        """Return the text that is signed."""
        word = "revoked" if self.revokes else "key"
        return f"{_FIRST_LINE}\n{self.origin}\nsize {self.size}\n{word} {self.key}\n"
