"""Asking witnesses to cosign a log's present checkpoint (C2SP tlog-witness, the client's side)."""

from __future__ import annotations

import hashlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._log_files import LogFiles
from hearth.evidence._merkle import tree_root, verify_consistency
from hearth.evidence._note import Note
from hearth.evidence._tiles import TileHashes
from hearth.evidence._witness import add_checkpoint_body

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.evidence._log import TransparencyLog
    from hearth.evidence._note import NoteSignature
    from hearth.evidence._witness_address import WitnessAddress

__all__ = ["CosignFailure", "CosignResult", "cosign"]

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_LARGEST_ANSWER = 1 << 16
_MOST_AT_ONCE = 8
_MOST_TRIES = 4
_MOST_RACES = 5
_LONGEST_SAID = 200
_ADVICE = {
    403: "it knows this log by another key: give its operator the key that `hearth log status` prints",
    404: "it does not know this log, or the address is not its: give its operator the log's key (`hearth log status`)",
    503: "it cannot work at present: ask again later",
}


@dataclass(frozen=True, slots=True)
class CosignFailure:
    """A witness that did not cosign. `alarm`: what it said means that there are two histories; `kept` is the proof."""

    witness: WitnessAddress
    why: str
    alarm: bool = False
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class CosignResult:
    """The checkpoint with every cosignature that came, from whom, and who did not cosign."""

    note: Note
    got: tuple[WitnessAddress, ...]
    failed: tuple[CosignFailure, ...]


def cosign(
    log: TransparencyLog, witnesses: Sequence[WitnessAddress], *, folder: Path, timeout: float = 10.0
) -> CosignResult:
    """Ask each witness for a cosignature of the log's present checkpoint; nothing is written to the log.

    `folder` is where the last note that each witness cosigned is remembered, and where two histories are kept as proof
    (`conflicts/`). `timeout`, in seconds, is for each request. EvidenceError and OSError where the log cannot be read.
    """
    note = _present(log)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    asking = [_Asking(log, note, one, folder, timeout) for one in witnesses]
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        answers = list(pool.map(_Asking.run, asking))
    got: list[WitnessAddress] = []
    failed: list[CosignFailure] = []
    for witness, answer in zip(witnesses, answers, strict=True):
        if isinstance(answer, CosignFailure):
            failed.append(answer)
        else:
            got.append(witness)
            note = _with(note, answer)
    return CosignResult(note, tuple(got), tuple(failed))


def _present(log: TransparencyLog) -> Note:
    """Return the note that is published and is the log's present state; what a crash left unpublished is published."""
    for _ in range(_MOST_RACES):
        state = log.checkpoint().text()
        note = Note.parse(log.note())
        if note.text == state:
            return note
        log.append(())
    raise EvidenceError("the log grows faster than its checkpoint can be read; ask for cosignatures when it rests")


def _with(note: Note, signature: NoteSignature) -> Note:
    """Return the note with a signature in the place of that of the same key, if there was one."""
    place = (signature.name, signature.key_id)
    others = tuple(one for one in note.signatures if (one.name, one.key_id) != place)
    return replace(note, signatures=(*others, signature))


class _RefusedError(Exception):
    """Why a witness did not cosign, in words that follow its name."""

    def __init__(self, why: str, *, alarm: bool = False) -> None:
        super().__init__(why)
        self.alarm = alarm


class _Asking:
    """One witness is asked for one checkpoint."""

    def __init__(self, log: TransparencyLog, note: Note, witness: WitnessAddress, folder: Path, timeout: float) -> None:
        self.log = log
        self.note = note
        self.checkpoint = Checkpoint.parse(note.text)
        self.witness = witness
        self.folder = folder
        self.timeout = timeout
        named = f"{self.checkpoint.origin}\n{witness.key}"
        self.memory = f"{hashlib.sha256(named.encode()).hexdigest()}.note"
        self.remembered: Note | None = None

    def run(self) -> NoteSignature | CosignFailure:
        """Return the cosignature, or why there is none."""
        try:
            self.remembered = self._recall()
            signature = self._ask()
            LogFiles(self.folder).write([(self.memory, _with(self.note, signature).to_bytes())])
        except _RefusedError as error:
            why = f"the witness {self.witness} {error}"
            if not error.alarm:
                return CosignFailure(self.witness, why)
            kept = self._keep_proof()
            other = self.remembered is not None and self.remembered.text != self.note.text
            what = "what it cosigned last, as far as is known here, and this one are" if other else "this checkpoint is"
            why = f"{why}; {what} kept in {kept}: hold them against the checkpoint that its operator has"
            return CosignFailure(self.witness, why, alarm=True, kept=kept)
        except (EvidenceError, OSError) as error:
            return CosignFailure(self.witness, f"the witness {self.witness} could not be asked: {error}")
        return signature

    def _ask(self) -> NoteSignature:
        size = self.checkpoint.size
        known = 0 if self.remembered is None else Checkpoint.parse(self.remembered.text).size
        old = known if known <= size else 0
        with httpx.Client(timeout=self.timeout, trust_env=False) as client:
            for _ in range(_MOST_TRIES):
                proof = self.log.consistency(old, size) if old else []
                status, body = self._send(client, add_checkpoint_body(old, proof, self.note.to_bytes()))
                if status == httpx.codes.OK:
                    return self._cosignature(body)
                if status == httpx.codes.UNPROCESSABLE_ENTITY:
                    self._judge_refused_proof(old, proof)
                if status != httpx.codes.CONFLICT:
                    advice = _ADVICE.get(status, "ask its operator")
                    raise _RefusedError(f"answered {status} ({_said(body)}): {advice}")
                old = self._other_size(body, old, known)
        raise _RefusedError("knew another size at each try: somebody else has the log cosigned at the same time")

    def _send(self, client: httpx.Client, content: bytes) -> tuple[int, bytes]:
        end = time.monotonic() + self.timeout
        body = bytearray()
        try:
            with client.stream("POST", self.witness.endpoint, content=content) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        raise _RefusedError(f"answered with more than {_LARGEST_ANSWER} bytes: it is no witness")
                    if time.monotonic() > end:
                        raise _RefusedError(f"did not answer within {self.timeout:g} seconds: ask again later")
        except httpx.TimeoutException:
            raise _RefusedError(f"did not answer within {self.timeout:g} seconds: ask again later") from None
        except httpx.HTTPError as error:
            raise _RefusedError(f"cannot be reached ({error}): look at its address") from None
        return response.status_code, bytes(body)

    def _cosignature(self, body: bytes) -> NoteSignature:
        """Return this witness's signature out of an answer; those of others in it are passed over."""
        key = self.witness.key
        try:
            found = Note.parse(self.note.text.encode() + b"\n" + body)
            verified = found.verified_by([key])
        except EvidenceError as error:
            raise _RefusedError(f"answered with what is no cosignature of the checkpoint: {error}") from None
        if not verified:
            names = ", ".join(f"{one.name} ({one.key_id.hex()})" for one in found.signatures)
            raise _RefusedError(
                f"signed as {names[:_LONGEST_SAID]}, and the key that is known for it is {key.key_id.hex()}: compare "
                "that with the one which its operator tells"
            )
        return next(one for one in found.signatures if (one.name, one.key_id) == (key.name, key.key_id))

    # --- what shows that there are two histories

    def _other_size(self, body: bytes, old: int, known: int) -> int:
        """Return the size to ask from, which the witness told; raise where no size can be right."""
        told = _SIZE.fullmatch(body)
        if told is None:
            raise _RefusedError(f"answered 409 without a size ({_said(body)}): it does not speak tlog-witness")
        size, now = int(told[1]), self.checkpoint.size
        if size == old == now:
            raise _RefusedError(f"has cosigned another history: another root for these {size} entries", alarm=True)
        if size == old:
            raise _RefusedError(
                f"refuses the size {old}, and names it as the right one: it does not speak tlog-witness"
            )
        if size < known:
            raise _RefusedError(
                f"cosigned {known} entries before, and now says that it knows {size}: it was set back, so its word is "
                f"worth nothing until its operator has said why. Then remove {self.folder / self.memory}",
                alarm=True,
            )
        if size > now:
            if self.log.checkpoint().size >= size:
                raise _RefusedError(f"has cosigned {size} entries meanwhile, and this checkpoint has {now}: ask again")
            raise _RefusedError(
                f"has cosigned {size} entries, and this log has {now}: the log was set back, or somebody else signs "
                "with its key",
                alarm=True,
            )
        return size

    def _judge_refused_proof(self, old: int, proof: Sequence[bytes]) -> None:
        """Raise for a 422: an alarm where our own tiles bear the proof out."""
        now = self.checkpoint
        if not old:
            raise _RefusedError("refuses a proof where there is nothing to prove: it does not speak tlog-witness")
        try:
            root = tree_root(old, TileHashes(self.log.checkpoint().size, self.log.files.read))
            verify_consistency(old, now.size, root, now.root, proof)
        except EvidenceError as error:
            raise _RefusedError(f"refuses the proof, and rightly: {error}. Look with `hearth log verify`") from None
        raise _RefusedError(
            f"has cosigned another history: the {old} entries that it knows are not the first {old} of this log",
            alarm=True,
        )

    def _recall(self) -> Note | None:
        """Return the note that this witness cosigned last, as far as is known here."""
        try:
            note = Note.parse((self.folder / self.memory).read_bytes())
            if note.verified_by([self.witness.key]) and Checkpoint.parse(note.text).origin == self.checkpoint.origin:
                return note
        except FileNotFoundError:
            return None
        except EvidenceError as error:
            raise EvidenceError(
                f"{self.folder / self.memory}: {error}; it was changed. Bring it back or remove it"
            ) from None
        raise EvidenceError(f"{self.folder / self.memory} is not of this witness; it was changed. Remove it")

    def _keep_proof(self) -> Path:
        """Keep the present checkpoint and the one that the witness cosigned before, as far as that is known here."""
        notes = [self.note] if self.remembered is None else [self.remembered, self.note]
        content = b"\n".join(note.to_bytes() for note in notes)
        name = f"conflicts/{hashlib.sha256(content).hexdigest()}"
        if not (self.folder / name).exists():
            LogFiles(self.folder).write([(name, content)])
        return self.folder / name


def _said(body: bytes) -> str:
    return " ".join(body[:_LONGEST_SAID].decode("utf-8", "replace").split()) or "no reason given"
