"""Proofs that stand alone: an entry's place in a log, and the signed checkpoint that has it (C2SP tlog-proof, v1)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._merkle import HASH_SIZE, leaf_hash, verify_inclusion
from hearth.evidence._note import Note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.evidence._note import NoteKey

__all__ = ["PROOF_BEGINS", "LogProof"]

_FIRST = "c2sp.org/tlog-proof@v1"
PROOF_BEGINS = f"{_FIRST}\n".encode()
"""What a proof begins with."""
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_LARGEST = 1 << 21
_MOST_HASHES = 64


@dataclass(frozen=True, slots=True)
class LogProof:
    """Where an entry is in a log, the hashes that lead from it to the root, and the checkpoint as it was signed.

    `extra` is for whoever uses it, and nothing vouches for it.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a proof; EvidenceError for anything else. Nothing in it may be believed before `verify`."""
        if len(data) > _LARGEST:
            raise EvidenceError(f"a proof of {len(data)} bytes is refused; the most is {_LARGEST}")
        head, gap, checkpoint = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            lines = []
        if not gap or not lines or lines[0] != _FIRST:
            raise EvidenceError(f"this is no proof of a log: it does not begin with {_FIRST}")
        del lines[0]
        extra = _decoded(lines.pop(0)[len("extra ") :]) if lines and lines[0].startswith("extra ") else None
        index = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if index is None:
            raise EvidenceError("the proof does not say which entry of the log it is for (index N)")
        if len(lines) > _MOST_HASHES:
            raise EvidenceError(f"the proof has more than {_MOST_HASHES} hashes")
        hashes = tuple(map(_decoded, lines))
        if any(len(one) != HASH_SIZE for one in hashes):
            raise EvidenceError(f"a hash in the proof does not have {HASH_SIZE} bytes")
        return cls(int(index[1]), hashes, Note.parse(checkpoint), extra)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        lines = [_FIRST]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(one).decode() for one in self.hashes]
        return "".join(f"{line}\n" for line in (*lines, "")).encode() + self.note.to_bytes()

    def verify(self, entry: bytes, log: NoteKey, witnesses: Iterable[NoteKey] = (), *, quorum: int = 0) -> Checkpoint:
        """Return the checkpoint that has the entry; EvidenceError unless the log signed it, and so many witnesses.

        The checkpoint's origin has to be the name of the log's key.
        """
        checkpoint = Checkpoint.parse(self.note.text)
        if checkpoint.origin != log.name:
            raise EvidenceError(f"the proof is of the log {checkpoint.origin}, and the key is of {log.name}")
        signed = self.note.verified_by([log, *witnesses])
        if log not in signed:
            raise EvidenceError(f"the checkpoint of the proof is not signed by the log {log.name} ({log.key_id.hex()})")
        cosigned = len({key.public for key in signed if key != log})
        if cosigned < quorum:
            raise EvidenceError(
                f"the checkpoint of the proof has {cosigned} cosignatures of known witnesses, not {quorum}"
            )
        verify_inclusion(self.index, checkpoint.size, leaf_hash(entry), self.hashes, checkpoint.root)
        return checkpoint


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceError(f"{text[:60]!r} in the proof is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise EvidenceError(f"{text[:60]!r} in the proof is not written as base64 is")
    return data
