"""Whose checkpoints of a log are believed: keys that were given, with their history where the log has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceError, EvidenceUsageError
from hearth.evidence import Checkpoint, KeyHistory, NoteKey, WitnessPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.evidence import LedgerLog, Note

__all__ = ["LogKeys", "read_policy"]

_LARGEST = 1 << 16
_LARGEST_POLICY = 1 << 20


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Keys of a log, and the witnesses of whose cosignatures so many (`quorum`) are needed under each checkpoint.

    Where there is a `policy`, it says which cosignatures are needed, in place of `quorum`. `kept` is a history of the
    log's keys that was kept elsewhere: what the log brings has to continue it.
    """

    logs: tuple[NoteKey, ...]
    witnesses: tuple[NoteKey, ...] = ()
    quorum: int = 0
    history: KeyHistory | None = None
    policy: WitnessPolicy | None = None
    kept: KeyHistory | None = None

    @property
    def given(self) -> bool:
        """Whether there is any key."""
        return bool(self.logs)

    @classmethod
    def of_log(cls, log: LedgerLog) -> Self:
        """Return the keys that a log's own settings name."""
        return cls(log.settings.keys[:1], history=log.history())

    @classmethod
    def read(
        cls,
        keys: Sequence[str],
        witnesses: Sequence[str] = (),
        quorum: int | None = None,
        policy: Path | None = None,
    ) -> Self:
        """Read keys as they were given: a verifier key (NAME+ID+KEY), or a file that holds some, a line each.

        A file may also be a history of a log's keys (`keys`, as it was published) that was kept: its first key counts.
        A policy file (C2SP tlog-policy) names witnesses and what is needed of them in place of `witnesses` and
        `quorum`; its logs are among those whose checkpoints count.
        """
        histories = [history for text in keys if (history := _history(text)) is not None]
        if len(histories) > 1:
            raise EvidenceUsageError("one history of a log's keys is enough; give the newest that was kept")
        kept = histories[0] if histories else None
        read = tuple(key for text in keys if _history(text) is None for key in _keys(text))
        if kept is not None:
            read = tuple(dict.fromkeys((kept.first, *read)))
        if policy is not None:
            if witnesses or quorum is not None:
                raise EvidenceUsageError(
                    "a policy says which witnesses are needed, and how many; give it, or them, not both"
                )
            wants = read_policy(policy)
            logs = tuple(dict.fromkeys((*read, *wants.logs)))
            return cls(
                logs,
                tuple(one.key for one in wants.witnesses),
                policy=replace(wants, logs=()),
                kept=kept,
                history=kept,
            )
        known = tuple(key for text in witnesses for key in _keys(text))
        wanted = len(known) if quorum is None else quorum
        if wanted > len(known):
            raise EvidenceUsageError(f"{wanted} cosignatures are wanted, and {len(known)} witnesses are known")
        return cls(read, known, wanted, kept=kept, history=kept)

    def with_history(self, data: bytes | None) -> Self:
        """Return them with the history of the log's keys (`keys` beside its checkpoint, or a proof's `extra`).

        It has to have one of the keys that were given: each key counts for its interval alone. What is no history is
        passed over, for other logs use a proof's `extra` for other things. EvidenceError where it is malformed, or does
        not continue the one that was kept; EquivocationError where it denies that.
        """
        if data is None or not self.logs or not KeyHistory.is_one(data):
            return self
        history = KeyHistory.parse_with(data, self.logs)
        if self.kept is not None and history.first.name == self.kept.first.name:
            history.require_continues(self.kept)
        return replace(self, history=history)

    def check(self, note: Note) -> Checkpoint:
        """Return a note's checkpoint; EvidenceError unless a key that counts signed it, and enough witnesses cosigned.

        With a history, that is the key of the checkpoint's size.
        """
        checkpoint = self.signed(note)
        if self.policy is not None:
            return self.policy.check(note)
        cosigned = len({key.public for key in note.verified_by(self.witnesses)})
        if cosigned < self.quorum:
            raise EvidenceError(
                f"the checkpoint of {checkpoint.size} entries has {cosigned} cosignatures of the witnesses that are "
                f"known, and {self.quorum} are needed; `hearth log cosign` asks for them"
            )
        return checkpoint

    def signed(self, note: Note) -> Checkpoint:
        """Return a note's checkpoint; EvidenceError unless a key that counts signed it, whoever cosigned.

        That is enough for one that was kept: it need not convince anybody, but what came after has to continue it.
        """
        checkpoint = Checkpoint.parse(note.text)
        keys = [key for key in self.logs if key.name == checkpoint.origin]
        if not keys:
            names = ", ".join(sorted({key.name for key in self.logs}))
            raise EvidenceError(f"the checkpoint is of the log {checkpoint.origin}, and the key given is of {names}")
        if self.history is not None:
            return self.history.check(note)
        if not note.verified_by(keys):
            raise EvidenceError(
                f"the checkpoint of {checkpoint.size} entries is not signed by the key given of the log "
                f"{checkpoint.origin}: somebody else signed it, or the log's key was changed and the history of its "
                "keys (the file `keys` beside its checkpoint) is not at hand"
            )
        return checkpoint


def read_policy(path: Path) -> WitnessPolicy:
    """Read a policy file (C2SP tlog-policy); EvidenceError where it is none."""
    try:
        with path.open("rb") as file:
            return WitnessPolicy.parse(file.read(_LARGEST_POLICY + 1))
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror or error}") from None
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None


def _history(text: str) -> KeyHistory | None:
    """Return the history of keys in a file that was kept; None for what is none."""
    try:
        with Path(text).open("rb") as file:
            data = file.read(_LARGEST_POLICY + 1)
    except (OSError, ValueError):
        return None
    if not KeyHistory.is_one(data):
        return None
    try:
        return KeyHistory.parse(data, NoteKey.parse(data.split(b"\n", 2)[1].decode()))
    except (EvidenceError, ValueError) as error:
        raise EvidenceUsageError(f"{text} is no history of a log's keys: {error}") from None


def _keys(text: str) -> list[NoteKey]:
    path = Path(text)
    if text.count("+") >= 2 and not path.is_file():  # noqa: PLR2004 - NAME+ID+KEY
        return [NoteKey.parse(text)]
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EvidenceUsageError(
            f"{text[:200]!r} is no verifier key (NAME+ID+KEY), and no file of keys: {error}"
        ) from None
    found = [NoteKey.parse(line) for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not found:
        raise EvidenceUsageError(f"{text} holds no verifier key (NAME+ID+KEY)")
    return found
