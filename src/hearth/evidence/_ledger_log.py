"""LedgerLog: the transparency log of one ledger. Each event of the ledger becomes a leaf, once and in order."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from hearth.errors import EvidenceError, EvidenceUsageError, RecordError, SigningError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._checkpoint_file import read_checkpoint
from hearth.evidence._leaf_index import IndexIsWrongError, LeafIndex
from hearth.evidence._log import TransparencyLog
from hearth.evidence._log_files import LogFiles
from hearth.evidence._log_intake import LogIntake, name_of_leaf
from hearth.evidence._log_key import load_log_key
from hearth.evidence._log_lock import locked
from hearth.evidence._log_place import LogPlace, LogSettings
from hearth.evidence._log_rotation import finish_change, read_history
from hearth.evidence._note import NoteKey
from hearth.record import LeafKind, format_time, leaf_bytes, named_in_leaf, parse_leaf, strict_loads, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from hearth.evidence._key_history import KeyHistory
    from hearth.evidence._proof import LogProof
    from hearth.ledger import Ledger
    from hearth.signing import SigningKey

__all__ = ["LedgerLog", "LogUpdate", "update_log"]

_MOST_INDEXED = 20_000  # leaves, while others wait
_PAUSE = 0.05  # seconds, in which others come to their turn
_TRIES = 3

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """What an update added to the log; `problems` are the events that could not become leaves, and why.

    `open` are the executions that are open, and that the log tells of, by their names in leaves.
    """

    added: range
    open: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


class LedgerLog:
    """The log of a ledger, beside its database: what the database loses or is given later, the log does not follow.

    `signing_key` gives the log's private key; it is asked only where something is signed. What a crash left out is
    added by the next `update`.
    """

    def __init__(self, ledger: Ledger, signing_key: Callable[[Path], SigningKey] | None = None) -> None:
        self.ledger = ledger
        self.place = LogPlace.of(ledger.home)
        self._noted = ledger.logs.present()
        if self._noted is not None and not self.place.exists:
            raise _lost(self.place, self._noted)
        self.settings = LogSettings.load(self.place)
        if self.settings.ledger_id != ledger.ledger_id:
            raise EvidenceError(
                f"the log in {self.place.root} is that of the ledger {self.settings.ledger_id}, and this one is "
                f"{ledger.ledger_id}: somebody has put another log, or another database, in its place"
            )
        if self._noted not in {None, str(self.settings.keys[0])}:
            raise EvidenceError(
                f"the ledger's log is that of the key {self._noted}, and the one in {self.place.root} began with "
                f"{self.settings.keys[0]}: somebody has put another log in its place; bring its own back from a backup"
            )
        self._signing_key = signing_key
        self.log = self._log(self.settings)

    def signing_key(self) -> SigningKey:
        """Return the private key that signs now; EvidenceError, or SigningError, where it cannot be had."""
        if self._signing_key is None:
            raise EvidenceError("the log's key was not given, and nothing can be signed without it")
        found = self._signing_key(self.settings.key_file)
        if found.public != self.settings.key.public:
            raise SigningError(
                f"{self.settings.key_file} is not the key that signs this log; bring back that of {self.settings.key}"
            )
        return found

    @classmethod
    def create(
        cls,
        ledger: Ledger,
        *,
        origin: str,
        key: SigningKey,
        key_file: Path | None = None,
        signed_file: Path | None = None,
        replace: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> LedgerLog:
        """Make the log of a ledger, with a leaf for all that is in the ledger by now; EvidenceError where there is one.

        The key has to be in `key_file` already; a crash in between leaves nothing that a second try would not finish.
        With `replace` it takes the place of one that is lost for good; the ledger keeps that there was one.
        """
        place = LogPlace.of(ledger.home)
        cls.require_none(ledger, replace=replace)
        place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(place.root):
            cls.require_none(ledger, replace=replace, key=str(NoteKey(origin, key.public)))
            settings = LogSettings(
                origin=origin,
                ledger_id=ledger.ledger_id,
                keys=(NoteKey(origin, key.public),),
                key_file=key_file or place.key,
                signed_file=signed_file or place.signed,
                created=format_time(utc_now()),
            )
            log = TransparencyLog(place.log, settings.signed_file, lambda: key, (key.public,))
            if not log.exists:
                log = TransparencyLog.create(place.log, settings.signed_file, key, origin=origin)
            elif (there := log.checkpoint()).size or there.origin != origin:  # one of size 0 a crash may have left
                raise EvidenceError(
                    f"there is a log in {place.log} already, {there.origin} with {there.size} entries, and it has no "
                    "settings any more: bring them back from a backup, or move it away, and keep it"
                )
            settings.save(place)  # from here on a run waits for the log, before it acts
            if replace:
                ledger.logs.note(str(settings.keys[0]))
            log.append(_first_leaves(settings, ledger))
        made = cls(ledger, lambda _: key)
        made.update(progress=progress)
        return made

    @staticmethod
    def require_none(ledger: Ledger, *, replace: bool = False, key: str = "") -> None:
        """Raise EvidenceError where a ledger has a log, or (without `replace`) had one that is not there any more."""
        place = LogPlace.of(ledger.home)
        if place.exists and _has_leaves(place):
            raise EvidenceUsageError(f"this ledger has a log already, in {place.root}; `hearth log status` shows it")
        if (noted := ledger.logs.present()) is not None and not replace:
            raise _lost(place, noted)
        if replace and noted == key:
            raise EvidenceUsageError(
                f"the log that is lost has this name and this key, {noted}: another one would be a second history of "
                "it, and deny what others have seen. Give another --origin"
            )

    def _log(self, settings: LogSettings) -> TransparencyLog:
        publics = tuple(one.public for one in reversed(settings.keys))
        return TransparencyLog(self.place.log, settings.signed_file, self.signing_key, publics)

    def update(self, *, whole: bool = True, progress: Callable[[int], None] | None = None) -> LogUpdate:
        """Add a leaf for every event that has none yet, durably, and return which.

        Executions that are open come first. Of a long backlog others get their turn in between, and their leaves may be
        among those that were added; unless it has to be the `whole` the rest of it is left after a second. `progress`
        is told in between how many there are by then.
        EvidenceError where the log cannot be continued: it was changed or set back, its key is not there, or the disk
        does not take it (OSError). Events that cannot be read, or that never came through HEARTH, are told, and not in
        the log.
        """
        intake = LogIntake(self.ledger.events(self.settings.origin))
        start: int | None = None

        def take(index: LeafIndex) -> bool:
            nonlocal intake, start
            if self._noted is None:  # only here, so that who looks alone changes nothing
                self._noted = str(self.settings.keys[0])
                self.ledger.logs.note(self._noted)
            start = index.size if start is None else start
            self._require_valid()
            try:
                done = intake.slice(self.log, index)
            except IndexIsWrongError:
                intake = LogIntake(self.ledger.events(self.settings.origin))
                raise
            if done:
                self._tell_keys(index)
            return done or not whole

        while not self._with_index(take):
            if progress is not None:
                progress(intake.end - (start or 0))
            time.sleep(_PAUSE)
        return LogUpdate(range(start or 0, intake.end), frozenset(intake.open), tuple(intake.problems.values()))

    def waiting(self) -> tuple[int, tuple[str, ...]]:
        """Return how many events have no leaf yet, and which cannot have one, and why; nothing is added.

        EvidenceError as with `update`.
        """

        def count(index: LeafIndex) -> tuple[int, tuple[str, ...]]:
            intake = LogIntake(self.ledger.events(self.settings.origin))
            return intake.waiting(self.log, index), tuple(intake.problems.values())

        return self._with_index(count)

    @contextmanager
    def index(self) -> Iterator[LeafIndex]:
        """Open the index of leaves, brought up to date; nobody adds to the log meanwhile."""
        wrong = 0
        while True:
            with locked(self.place.root), LeafIndex(self.place.index) as index:
                self.settings = LogSettings.load(self.place)  # its key may have changed
                finish_change(self.place, self.settings)
                self.log = self._log(self.settings)
                self._require_finished()
                try:
                    whole = self._catch_up(index)
                except IndexIsWrongError as error:
                    wrong += 1
                    self._discard(index, error, wrong)
                    continue
                if whole:
                    yield index
                    return
            time.sleep(_PAUSE)

    def find(self, kind: LeafKind, name: str) -> int | None:
        """Return the number of the leaf of an event, None where the log has none."""
        return self._with_index(lambda index: index.find(kind, named_in_leaf(name)))

    def prove(self, kind: LeafKind, name: str) -> tuple[bytes, LogProof]:
        """Return an event's leaf and the proof that the log has it; EvidenceError where it has none.

        Where the log's key was changed, the proof's `extra` is the history of its keys.
        """
        (found,) = self.prove_all([(kind, name)])
        if found is None:
            raise EvidenceError(f"the log {self.settings.origin} has no leaf {kind} of {name}; see `hearth log status`")
        return found

    def prove_all(self, events: Iterable[tuple[LeafKind, str]]) -> list[tuple[bytes, LogProof] | None]:
        """Return the same for several events, all in one state of the log; None for those that it does not have."""
        wanted = [(kind, named_in_leaf(name)) for kind, name in events]

        def proved(index: LeafIndex) -> list[tuple[bytes, LogProof] | None]:
            history = self.history()
            extra = history.to_bytes() if history.statements else None
            return [self._prove(index, *event, extra) for event in wanted]

        return self._with_index(proved)

    def history(self) -> KeyHistory:
        """Return the history of the log's keys."""
        return read_history(self.place, self.settings)

    def settle(self) -> None:
        """Finish a change of keys that was cut off, or wait for one; nothing else is changed."""
        with self.index():
            pass

    def require_ready(self) -> None:
        """Raise SigningError, or EvidenceUsageError, where nothing can be signed: no key, or a log that has ended.

        EvidenceBusyError where others keep it to themselves.
        """
        self.signing_key()
        with locked(self.place.root):
            self._require_finished()
            self._require_valid()

    # --- inside

    def _require_finished(self) -> None:
        if not self.log.exists or not self.log.checkpoint().size:
            raise EvidenceUsageError(
                f"the log in {self.place.root} was not finished when it was made; `hearth log init` does that"
            )

    def _require_valid(self) -> None:
        """Raise where the key that signs now is revoked for what comes next: nobody would believe it."""
        size = self.log.checkpoint().size + 1
        if not self.history().valid_at(size):
            raise EvidenceUsageError(
                f"the log's key {self.settings.key} is revoked, so nothing is signed with it from size {size} on: the "
                "log has come to its end. Move it away, keep it, and make another one with `hearth log init --replace "
                "--origin NAME`"
            )

    def _with_index(self, work: Callable[[LeafIndex], _Result]) -> _Result:
        """Return what comes of the work with the index; where that turns out to be wrong, with one made anew."""
        wrong = 0
        while True:
            with self.index() as index:
                try:
                    return work(index)
                except IndexIsWrongError as error:
                    wrong += 1
                    self._discard(index, error, wrong)

    def _tell_keys(self, index: LeafIndex) -> None:
        """Add a leaf for each change of the log's keys that has none, as long as a key counts that can sign it."""
        history = self.history()
        for statement in history.statements:
            digest = hashlib.sha256(statement.to_bytes()).hexdigest()
            size = self.log.checkpoint().size
            if index.find(LeafKind.KEY_CHANGED, digest) is None and history.valid_at(size + 1):
                about = {"origin": self.settings.origin, "ledger_id": self.settings.ledger_id}
                leaf = leaf_bytes(LeafKind.KEY_CHANGED, at=format_time(utc_now()), **about, statement_sha256=digest)
                self.log.append([leaf])
                index.add([(size, str(LeafKind.KEY_CHANGED), digest)])

    def _discard(self, index: LeafIndex, error: IndexIsWrongError, times: int) -> None:
        index.discard()
        if times > _TRIES:
            raise EvidenceError(
                f"the index of the log ({self.place.index}) is wrong each time that it is made: {error}"
            ) from None

    def _prove(self, index: LeafIndex, kind: LeafKind, name: str, extra: bytes | None) -> tuple[bytes, LogProof] | None:
        number = index.find(kind, name)
        if number is None:
            return None
        entry, proof = self.log.proof(number)
        leaf = parse_leaf(entry)
        if (leaf["kind"], name_of_leaf(leaf)) != (kind, name):
            raise IndexIsWrongError
        return entry, replace(proof, extra=extra)

    def _catch_up(self, index: LeafIndex) -> bool:
        """Take into the index what is in the log and not in it; return whether that was all.

        It is all of the log, where the index is new.
        """
        size = self.log.checkpoint().size
        if index.size > size or index.counted != index.size:
            raise IndexIsWrongError(f"it has {index.counted} leaves up to {index.size}, and the log {size}")
        start = index.size
        end = min(size, start + _MOST_INDEXED)
        if start < end:
            leaves = map(parse_leaf, islice(self.log.entries(start), end - start))
            index.add([(number, str(leaf["kind"]), name_of_leaf(leaf)) for number, leaf in enumerate(leaves, start)])
        return end == size


def _lost(place: LogPlace, noted: str) -> EvidenceError:
    return EvidenceError(
        f"this ledger has a transparency log, which began with the key {noted}, and it is not in {place.root}: it was "
        "taken away, or moved. Bring it back from a backup; where it is lost for good, `hearth log init --replace` "
        "makes another one, and the ledger keeps that there was this one"
    )


def update_log(ledger: Ledger, *, whole: bool = True) -> LogUpdate | None:
    """Add what is new in a ledger to its log; None where it never had one. All else is as with `LedgerLog.update`."""
    if not LogPlace.of(ledger.home).exists and ledger.logs.present() is None:
        return None
    return LedgerLog(ledger, load_log_key).update(whole=whole)


def _first_leaves(settings: LogSettings, ledger: Ledger) -> Iterator[bytes]:
    """Return the leaf of the log itself, and those of the runs that are open and were not told of it."""
    opened = [event.leaf for event in ledger.events(settings.origin).opened(lambda _: False)]
    # After the journals: a record that came in between has an opening, and is counted rather than missed.
    yield leaf_bytes(
        LeafKind.LOG_CREATED,
        origin=settings.origin,
        ledger_id=settings.ledger_id,
        at=settings.created,
        log_key=str(settings.key),
        records=ledger.count(),
        last_record=ledger.events(settings.origin).newest_record(0)[0],
    )
    yield from opened


def _has_leaves(place: LogPlace) -> bool:
    """Whether the log in a place has any, as far as anything there says; a crash may have left one that has none."""
    settings = LogSettings.load(place)
    try:
        if strict_loads(settings.signed_file.read_bytes())["size"]:
            return True
    except FileNotFoundError:
        pass
    except (OSError, RecordError, LookupError, TypeError):
        return True
    try:
        return bool(Checkpoint.parse(read_checkpoint(LogFiles(place.log)).text).size)
    except FileNotFoundError:
        return False
    except (OSError, EvidenceError):
        return True
