"""A witness: it cosigns the checkpoints of logs that only ever grow (C2SP tlog-witness). HTTP is somebody else's."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._checkpoint_file import read_checkpoint
from hearth.evidence._log_files import LogFiles
from hearth.evidence._log_lock import locked
from hearth.evidence._merkle import verify_consistency
from hearth.evidence._note import COSIGNATURE, Note, NoteKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hearth.signing import SigningKey

__all__ = ["Witness", "WitnessAnswer", "add_checkpoint_body"]

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)
_MOST_HASHES = 63
_LARGEST = 1 << 20
_SIZE_TYPE = "text/x.tlog.size"
_LONGEST_WHY = 1000  # characters
_LONGEST_TOLD = 200
_PATIENCE = 10.0  # seconds; whoever asks does not wait much longer
_MOST_CONFLICTS = 1000  # of one log: a single one is proof enough


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What is answered over HTTP: the status, the body, its type, and why, for the witness's own log.

    `origin` and `size` are what was asked for, where the log is known and signed it.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    why: str = ""
    origin: str = ""
    size: int | None = None


class Witness:
    """Cosigns for the logs that it knows, by their origin and keys, and remembers in `folder` what it cosigned last.

    What shows that a log has two histories is kept there, too (`conflicts/`): both checkpoints, as the log signed them.
    """

    def __init__(
        self,
        name: str,
        key: SigningKey,
        logs: Mapping[str, Sequence[NoteKey]],
        folder: Path,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`logs`: for each origin the keys that sign for it; a log's old and new key may both be there."""
        self.key = NoteKey(name, key.public, COSIGNATURE)
        self._signer = key
        self._logs = logs
        self._folder = folder
        self._now = now

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Answer a request; what is cosigned is on the disk before this returns. OSError as the system says."""
        try:
            old, proof, note = _read(body)
            checkpoint = Checkpoint.parse(note.text)
        except EvidenceError as error:
            return _refused(400, str(error))
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return _refused(404, f"the log {checkpoint.origin[:_LONGEST_TOLD]} is not known here")
        try:
            signed = note.verified_by(keys)
        except EvidenceError as error:
            return _refused(403, str(error))
        if not signed:
            return _refused(403, f"no known key of the log {checkpoint.origin} signed the checkpoint")
        if old > checkpoint.size:
            return _refused(400, f"the old size {old} is above the checkpoint's, {checkpoint.size}")
        # Lines of others under the note are of no use here, and anybody could add them: they are not kept.
        known = {(key.name, key.key_id) for key in signed}
        note = Note(note.text, tuple(one for one in note.signatures if (one.name, one.key_id) in known))
        files = self._files(checkpoint.origin)
        with locked(files.folder, patience=_PATIENCE):
            answer = self._compared(files, old, proof, note, checkpoint)
        return replace(answer, origin=checkpoint.origin, size=checkpoint.size)

    def _files(self, origin: str) -> LogFiles:
        """Return what is kept of a log, in a folder with the hash of its origin as its name."""
        files = LogFiles(self._folder / hashlib.sha256(origin.encode()).hexdigest())
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return files

    def _compared(
        self, files: LogFiles, old: int, proof: Sequence[bytes], note: Note, checkpoint: Checkpoint
    ) -> WitnessAnswer:
        """Hold the checkpoint against the latest one, and make it that: nobody else does so meanwhile."""
        try:
            latest = read_checkpoint(files)
            known: Checkpoint | None = Checkpoint.parse(latest.text)
        except FileNotFoundError:
            latest, known = note, None
        size = known.size if known is not None else 0
        if old != size:
            return WitnessAnswer(409, b"%d\n" % size, _SIZE_TYPE, f"the latest checkpoint here has {size} entries")
        if known is not None and checkpoint.size == size and checkpoint.root != known.root:
            self._keep_conflict(files, latest, note, most=2 * _MOST_CONFLICTS)
            return WitnessAnswer(409, b"%d\n" % size, _SIZE_TYPE, f"another root was signed for {size} entries before")
        try:
            _require_growth(known, checkpoint, proof)
        except EvidenceError as error:
            if known is not None and checkpoint.size > size:
                self._keep_conflict(files, latest, note, most=_MOST_CONFLICTS)
            return _refused(422, str(error))
        cosigned = Note(note.text).cosigned(self.key.name, self._signer, int(self._now()))
        if known is None:
            # The names of the folders have to last as well: a witness that forgot a log would cosign another history.
            files.write([("origin", f"{checkpoint.origin}\n".encode())])
            sync_directory(self._folder)
            sync_directory(self._folder.parent)
        files.write([("checkpoint", note.to_bytes())])
        return WitnessAnswer(200, "".join(one.line() for one in cosigned.signatures).encode())

    def _keep_conflict(self, files: LogFiles, latest: Note, note: Note, *, most: int) -> None:
        """Keep two checkpoints that cannot both be of one log, or whose proof did not hold.

        Of the latter whoever has the log's key can send any number, so they leave room for what proves something.
        """
        content = latest.to_bytes() + b"\n" + note.to_bytes()
        path = files.folder / "conflicts" / hashlib.sha256(content).hexdigest()
        kept = list(path.parent.iterdir()) if path.parent.exists() else []
        if path not in kept and len(kept) < most:
            files.write([(f"conflicts/{path.name}", content)])


def add_checkpoint_body(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of a request that asks for a cosignature."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def _read(body: bytes) -> tuple[int, list[bytes], Note]:
    if len(body) > _LARGEST:
        raise EvidenceError(f"a request of {len(body)} bytes is refused")
    head, gap, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise EvidenceError("the request does not begin with the old size and a proof") from None
    old = _OLD.fullmatch(first)
    if not gap or old is None:
        raise EvidenceError("the request does not begin with the old size (old N), a proof and an empty line")
    if len(lines) > _MOST_HASHES:
        raise EvidenceError(f"the proof has more than {_MOST_HASHES} hashes")
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines]
    except (binascii.Error, ValueError):
        raise EvidenceError("a hash of the proof is not base64") from None
    if any(base64.b64encode(one).decode() != line for one, line in zip(proof, lines, strict=True)):
        raise EvidenceError("a hash of the proof is not written as base64 is")
    return int(old[1]), proof, Note.parse(note)


def _require_growth(known: Checkpoint | None, new: Checkpoint, proof: Sequence[bytes]) -> None:
    if known is None or known.size == 0:
        if proof:
            raise EvidenceError("the proof of a log that was empty is empty")
        return
    verify_consistency(known.size, new.size, known.root, new.root, proof)


def _refused(status: int, why: str) -> WitnessAnswer:
    """Refuse a request; whatever it holds, no more than some lines of it are told, or stand in the witness's log."""
    why = why[:_LONGEST_WHY]
    return WitnessAnswer(status, f"{why}\n".encode(), why=why)
