"""LedgerLog: the transparency log of one ledger. Each event of the ledger becomes a leaf, once and in order."""

from __future__ import annotations

import heapq
import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError, EvidenceUsageError, SigningError
from hearth.evidence._leaf_index import LeafIndex
from hearth.evidence._log import TransparencyLog
from hearth.evidence._log_lock import locked
from hearth.evidence._log_place import LogPlace, LogSettings
from hearth.evidence._log_rotation import finish_change, read_history
from hearth.evidence._note import Note, NoteKey
from hearth.evidence._proof import LogProof
from hearth.ledger import LEAVES_OF_ROWS, LedgerEvent
from hearth.record import LeafKind, format_time, leaf_bytes, named_in_leaf, parse_leaf, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.evidence._key_history import KeyHistory
    from hearth.ledger import Ledger
    from hearth.signing import SigningKey

__all__ = ["LOG_PASSPHRASE_VARIABLE", "LedgerLog", "LogUpdate", "load_log_key", "name_of_leaf", "update_log"]

LOG_PASSPHRASE_VARIABLE = "HEARTH_LOG_PASSPHRASE"  # noqa: S105 - the name of a variable

_BATCH = 1000
_NAMED_BY = {
    LeafKind.LOG_CREATED: "log_key",
    LeafKind.APPROVAL_USED: "request_id",
    LeafKind.POSTURE_CHANGED: "version",
    LeafKind.VALUES_ERASED: "erasure_sha256",
    LeafKind.KEY_CHANGED: "statement_sha256",
}


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """What an update added to the log; `problems` are the events that could not become leaves, and why."""

    added: range
    problems: tuple[str, ...] = ()


class _IndexError(Exception):
    """The index names a leaf for an event that is of another one: it was changed, and is made anew from the log."""


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
            raise EvidenceError(
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
    ) -> LedgerLog:
        """Make the log of a ledger, with a leaf for all that is in the ledger by now; EvidenceError where there is one.

        The key has to be in `key_file` already; a crash in between leaves nothing that a second try would not finish.
        With `replace` it takes the place of one that is lost for good; the ledger keeps that there was one.
        """
        place = LogPlace.of(ledger.home)
        cls.require_none(ledger, replace=replace)
        place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(place.root):
            cls.require_none(ledger, replace=replace)
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
            if not log.checkpoint().size:
                log.append([_genesis(settings)])
            if replace:
                ledger.logs.note(str(settings.keys[0]))
            settings.save(place)
        made = cls(ledger, lambda _: key)
        made.update()
        return made

    @staticmethod
    def require_none(ledger: Ledger, *, replace: bool = False) -> None:
        """Raise EvidenceError where a ledger has a log, or (without `replace`) had one that is not there any more."""
        place = LogPlace.of(ledger.home)
        if place.exists:
            raise EvidenceUsageError(f"this ledger has a log already, in {place.root}; `hearth log status` shows it")
        if (noted := ledger.logs.present()) is not None and not replace:
            raise _lost(place, noted)

    def _log(self, settings: LogSettings) -> TransparencyLog:
        publics = tuple(one.public for one in reversed(settings.keys))
        return TransparencyLog(self.place.log, settings.signed_file, self.signing_key, publics)

    def update(self) -> LogUpdate:
        """Add a leaf for every event that has none yet, durably, and return which.

        EvidenceError where the log cannot be continued: it was changed or set back, its key is not there, or the disk
        does not take it (OSError). Events that cannot be read are told, and not in the log.
        """
        with self.index() as index:
            if self._noted is None:  # only here, so that who looks alone changes nothing
                self._noted = str(self.settings.keys[0])
                self.ledger.logs.note(self._noted)
            try:
                return self._update(index)
            except _IndexError:
                index.clear()
                self._catch_up(index)
                return self._update(index)

    def append(self, kind: LeafKind, **said: Any) -> int:
        """Add a leaf that is no event of the database (a change of keys), after all that are; return its number."""
        self.update()
        with self.index() as index:
            leaf = leaf_bytes(
                kind, origin=self.settings.origin, ledger_id=self.settings.ledger_id, at=format_time(utc_now()), **said
            )
            (number,) = self.log.append([leaf])
            self._catch_up(index)
            return number

    @contextmanager
    def index(self) -> Iterator[LeafIndex]:
        """Open the index of leaves, brought up to date; nobody adds to the log meanwhile."""
        with locked(self.place.root), LeafIndex(self.place.index) as index:
            self.settings = LogSettings.load(self.place)  # its key may have changed
            finish_change(self.place, self.settings)
            self.log = self._log(self.settings)
            self._catch_up(index)
            yield index

    def find(self, kind: LeafKind, name: str) -> int | None:
        """Return the number of the leaf of an event, None where the log has none."""
        with self.index() as index:
            return index.find(kind, named_in_leaf(name))

    def prove(self, kind: LeafKind, name: str) -> tuple[bytes, LogProof]:
        """Return an event's leaf and the proof that the log has it; EvidenceError where it has none.

        Where the log's key was changed, the proof's `extra` is the history of its keys.
        """
        number = self.find(kind, name)
        if number is None:
            raise EvidenceError(f"the log {self.settings.origin} has no leaf {kind} of {name}; see `hearth log status`")
        note = Note.parse(self.log.note())
        size = self.log.checkpoint().size
        history = self.history()
        extra = history.to_bytes() if history.statements else None
        return self.log.entry(number), LogProof(number, tuple(self.log.inclusion(number, size)), note, extra)

    def history(self) -> KeyHistory:
        """Return the history of the log's keys."""
        return read_history(self.place, self.settings)

    # --- inside

    def _update(self, index: LeafIndex) -> LogUpdate:
        problems: list[str] = []
        start = end = index.size
        batch: list[LedgerEvent] = []
        for event in self._pending(index):
            if event.why_not:
                problems.append(f"{event.kind} {event.name}: {event.why_not}")
            elif (number := index.find(event.kind, event.name)) is None:
                batch.append(event)
            elif (entry := self.log.entry(number)) != event.leaf:
                leaf = parse_leaf(entry)
                if (leaf["kind"], name_of_leaf(leaf)) != (event.kind, event.name):
                    raise _IndexError
                raise _opened_again(event, number) if event.row == 0 else _set_back(event, number)
            if len(batch) == _BATCH:
                end = self._append(index, batch)
                batch = []
        if batch:
            end = self._append(index, batch)
        return LogUpdate(range(start, end), tuple(problems))

    def _append(self, index: LeafIndex, events: list[LedgerEvent]) -> int:
        added = self.log.append(event.leaf for event in events)
        leaves = ((number, str(event.kind), event.name) for number, event in zip(added, events, strict=True))
        seen: dict[str, int] = {}
        for event in events:
            seen[event.kind] = max(seen.get(event.kind, 0), event.row)
        index.add(leaves, ((kind, row) for kind, row in seen.items() if kind in LEAVES_OF_ROWS))
        return added.stop

    def _catch_up(self, index: LeafIndex) -> None:
        """Take into the index what is in the log and not in it: all of it, where the index is new."""
        size = self.log.checkpoint().size
        if index.size > size:
            index.clear()
        start = index.size
        if start < size:
            index.add(
                (number, str(leaf["kind"]), name_of_leaf(leaf))
                for number, leaf in enumerate(map(parse_leaf, self.log.entries(start)), start)
            )

    def _pending(self, index: LeafIndex) -> Iterator[LedgerEvent]:
        """Yield the events after the rows that were looked at, as they came by their times; then what is open.

        Of rows that nobody ever removes the last one that was looked at comes again: a database that was set back does
        not have it, or has another one.
        """
        events = self.ledger.events(self.settings.origin)
        parts = []
        for kind in LEAVES_OF_ROWS:
            seen = index.seen(kind)
            again = int(seen > 0 and kind is not LeafKind.EXECUTION_SEALED)
            found = events.after(kind, seen - again)
            if again:
                last = next(found, None)
                if last is None or last.row != seen:
                    raise _set_back(LedgerEvent(kind, seen, f"row {seen}"), None)
                found = chain((last,), found)
            parts.append(found)
        yield from heapq.merge(*parts, key=lambda event: event.at)
        yield from events.opened(lambda _: False)  # those that the log knows, too: are they the same?


def _lost(place: LogPlace, noted: str) -> EvidenceError:
    return EvidenceError(
        f"this ledger has a transparency log, which began with the key {noted}, and it is not in {place.root}: it was "
        "taken away, or moved. Bring it back from a backup; where it is lost for good, `hearth log init --replace` "
        "makes another one, and the ledger keeps that there was this one"
    )


def _opened_again(event: LedgerEvent, number: int) -> EvidenceError:
    return EvidenceError(
        f"an execution {event.name} was opened before (leaf {number}), and it is not this one: what it did was removed "
        "from the ledger, or its journal put into quarantine. An id is used once; take another one, and see "
        "`hearth log verify`"
    )


def _set_back(event: LedgerEvent, number: int | None) -> EvidenceError:
    there = "is not there any more" if number is None else f"is not what the log has as leaf {number}"
    return EvidenceError(
        f"{event.kind} {event.name} of the ledger {there}: the database was changed, or an older state of it brought "
        "back, so what was approved, used or locked down since may be forgotten. Nothing is added to the log; see "
        "`hearth log verify`, and bring back the newest backup, of database and log together"
    )


def load_log_key(path: Path) -> SigningKey:
    """Read a log's private key; a passphrase comes from `HEARTH_LOG_PASSPHRASE`. SigningError."""
    from hearth.signing import SigningKey

    def passphrase() -> str:
        if LOG_PASSPHRASE_VARIABLE not in os.environ:
            raise SigningError(f"{path}: the log's key has a passphrase; set {LOG_PASSPHRASE_VARIABLE}")
        return os.environ[LOG_PASSPHRASE_VARIABLE]

    if not path.exists():
        raise SigningError(
            f"the log's private key is not there ({path}): bring your copy of it back. A backup has no keys, and "
            "another key cannot go on with this log (`hearth log status` names the one that signs)"
        )
    return SigningKey.load(path, passphrase)


def update_log(ledger: Ledger) -> LogUpdate | None:
    """Add what is new in a ledger to its log; None where it never had one. Errors are those of `LedgerLog.update`."""
    if not LogPlace.of(ledger.home).exists and ledger.logs.present() is None:
        return None
    return LedgerLog(ledger, load_log_key).update()


def name_of_leaf(leaf: dict[str, Any]) -> str:
    """Return by what a leaf is known within its kind."""
    return str(leaf.get(_NAMED_BY.get(LeafKind(leaf["kind"]), "execution_id")))


def _genesis(settings: LogSettings) -> bytes:
    return leaf_bytes(
        LeafKind.LOG_CREATED,
        origin=settings.origin,
        ledger_id=settings.ledger_id,
        at=settings.created,
        log_key=str(settings.key),
    )
