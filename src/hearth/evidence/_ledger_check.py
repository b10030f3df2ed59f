"""Holding a ledger against its log: every event has its leaf, and every leaf its event."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError, RecordError
from hearth.evidence._checkpoint_file import read_checkpoint
from hearth.evidence._leaf_index import LeafIndex
from hearth.evidence._log_check import LogReport, check_log
from hearth.evidence._log_intake import NOT_TOLD, backlog_of, name_of_leaf
from hearth.evidence._log_lock import locked
from hearth.evidence._log_snapshot import LogSnapshot
from hearth.evidence._merkle import consistency_proof, leaf_hash, verify_consistency
from hearth.evidence._tiles import TileHashes
from hearth.ledger import LEAVES_OF_ROWS
from hearth.record import LeafKind, parse_leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.evidence._checkpoint import Checkpoint
    from hearth.evidence._ledger_log import LedgerLog
    from hearth.evidence._note import Note
    from hearth.ledger import LedgerEvent

__all__ = ["check_ledger_log"]

_MOST = 100
_BATCH = 1000
_DIGEST = 32
_ADVICE = "keep a copy of the whole folder, and compare it with a backup"


def check_ledger_log(
    log: LedgerLog,
    verify: Callable[[Note], Checkpoint],
    *,
    since: Note | None = None,
    believe: Callable[[Note], Checkpoint] | None = None,
    progress: Callable[[int], None] | None = None,
) -> LogReport:
    """Check a ledger's log, and whether it and the ledger tell of the same events; nothing is added to it.

    Runs go on meanwhile, and what they add is looked at in the end, while nobody adds for a moment. Memory is 33 bytes
    for each leaf; an index of them lies in a temporary folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hearth-log-") as folder,
        LeafIndex(Path(folder) / "leaves.db") as index,
    ):
        snapshot = _snapshot(log)
        comparison = _Comparison(log, index, snapshot)
        report = check_log(snapshot, verify, since=since, believe=believe, entry=comparison.leaf, progress=progress)
        comparison.compare()
        with locked(log.place.root):
            checkpoint = comparison.take_up_later(report.checkpoint, verify)
        return LogReport(checkpoint, (*report.problems, *comparison.problems()), waiting=comparison.waiting)


def _snapshot(log: LedgerLog) -> LogSnapshot:
    try:
        return LogSnapshot(log.log.files)
    except FileNotFoundError:
        raise EvidenceError(f"there is no log in {log.log.files.folder}: it has no checkpoint") from None


class _Comparison:
    def __init__(self, log: LedgerLog, index: LeafIndex, snapshot: LogSnapshot) -> None:
        self._log = log
        self._index = index
        self._snapshot = snapshot
        self._missing: list[LedgerEvent] = []
        self._newest: list[LedgerEvent] = []
        self._acting: list[LedgerEvent] = []
        self.waiting = 0
        self._waiting: list[tuple[int, str, str]] = []
        self._digests = bytearray()
        self._backlog, self._last_row = sys.maxsize, sys.maxsize
        self._sealed = 0
        self._backlog_end = sys.maxsize
        self._accounted = bytearray()
        self._wrong: list[str] = []

    def leaf(self, number: int, data: bytes) -> None:
        """Take a leaf of the log."""
        self._digests += hashlib.sha256(data).digest()
        self._accounted.append(0)
        try:
            leaf = parse_leaf(data)
        except RecordError as error:
            self._account(number)
            self._say(f"leaf {number}: {error}")
            return
        about = (self._log.settings.origin, self._log.settings.ledger_id)
        if (leaf.get("origin"), leaf.get("ledger_id")) != about:
            self._say(
                f"leaf {number} is of the ledger {leaf.get('ledger_id')} and the log {leaf.get('origin')}: it does not "
                f"belong here; {_ADVICE}"
            )
        if leaf["kind"] == LeafKind.LOG_CREATED and number == 0:
            self._backlog, self._last_row = backlog_of(data)
        self._sealed += leaf["kind"] == LeafKind.EXECUTION_SEALED
        if self._sealed == self._backlog:
            self._backlog_end = min(self._backlog_end, number + 1)
        self._waiting.append((number, str(leaf["kind"]), name_of_leaf(leaf)))
        if len(self._waiting) == _BATCH:
            self._flush()

    def compare(self) -> None:
        """Compare with the ledger as it is now."""
        self._flush()
        for number, first in self._index.repeated():
            self._account(number)
            self._say(f"leaf {number} repeats leaf {first}: one event has one leaf; {_ADVICE}")
        events = self._log.ledger.events(self._log.settings.origin)
        # Journals before records, records before tombstones: each of them goes when the next one is there.
        for quarantined in (False, True):  # a damaged journal is there, too; `hearth fsck` names it
            for event in events.opened(lambda _: False, quarantined=quarantined):
                self._opening(event.name, event.leaf)
                if event.acted and not quarantined and self._index.find(event.kind, event.name) is None:
                    self._acting.append(event)
        newest: list[LedgerEvent] = []
        for kind in sorted(LEAVES_OF_ROWS, key=lambda kind: kind is LeafKind.EXECUTION_PURGED):
            self._newest = []
            for event in events.after(kind, 0):
                self._event(event)
            newest += self._newest
        self._newest = newest
        self._left()

    def take_up_later(self, before: Checkpoint, verify: Callable[[Note], Checkpoint]) -> Checkpoint:
        """Take up what came to the log since, while nobody adds to it, and return its checkpoint.

        What the ledger had and the log had not is looked for again. The newest of what is left waits to be added.
        """
        files = self._log.log.files
        try:
            now = verify(read_checkpoint(files))
            if now.size > before.size:
                hashes = TileHashes(now.size, files.read)
                proof = consistency_proof(before.size, now.size, hashes)
                verify_consistency(before.size, now.size, before.root, now.root, proof)
                for number, data in enumerate(self._log.log.entries(before.size), before.size):
                    if leaf_hash(data) != hashes(0, number):
                        raise EvidenceError(f"leaf {number} is not the one that its tile tells of")  # noqa: TRY301
                    self.leaf(number, data)
                    self._account(number)
            elif now != before:
                raise EvidenceError("the log was set back while it was checked")  # noqa: TRY301
        except (EvidenceError, FileNotFoundError) as error:
            self._say(f"what came to the log while it was checked does not hold: {error}")
            now = before
        self._flush()
        self._what_was_not_there()
        return now

    def problems(self) -> list[str]:
        """Return what was found."""
        more = len(self._wrong) - _MOST
        if more > 0:
            return [*self._wrong[:_MOST], f"… and {more} more"]
        return self._wrong

    def _say(self, problem: str) -> None:
        self._wrong.append(problem)

    def _flush(self) -> None:
        self._index.add(self._waiting)
        self._waiting = []

    def _account(self, number: int) -> None:
        self._accounted[number] = 1

    def _find(self, kind: LeafKind, name: str) -> int | None:
        number = self._index.find(kind, name)
        if number is not None:
            self._account(number)
        return number

    def _event(self, event: LedgerEvent) -> None:
        what = f"{event.kind} {event.name}"
        number = self._find(event.kind, event.name)
        if number is not None:
            self._missing += self._newest  # events are added in their order
            self._newest = []
        if event.why_not:
            self._say(f"{what} cannot be compared: {event.why_not}")
        elif number is None:
            self._newest.append(replace(event, leaf=b"", opening=b""))  # there may be many
        elif not self._is_told(event, number):
            self._untold(event, number)
        elif self._digests[number * _DIGEST : (number + 1) * _DIGEST] != hashlib.sha256(event.leaf).digest():
            self._say(
                f"{what} is another one in the ledger than in the log (leaf {number}): "
                f"{_difference(self._entry(number), event.leaf)}. The log tells what it was; {_ADVICE}"
            )
        if event.kind in {LeafKind.EXECUTION_SEALED, LeafKind.EXECUTION_PURGED}:
            # The leaves before tell of the same execution, which is accounted for.
            self._opening(event.name, event.opening)
        if event.kind is LeafKind.EXECUTION_PURGED:
            sealed = self._find(LeafKind.EXECUTION_SEALED, event.name)
            if sealed is not None and not event.why_not and _hash_in(self._entry(sealed)) != _hash_in(event.leaf):
                self._say(f"{what}: the tombstone is of another record than was sealed (leaf {sealed}); {_ADVICE}")

    def _what_was_not_there(self) -> None:
        """Look again for what the ledger had and the log had not: the newest waits to be added."""
        for event in (*self._missing, *self._newest):
            number = self._index.find(event.kind, event.name)
            if not self._is_told(event, number):
                self._untold(event, number)
        for event in self._acting:
            if self._index.find(event.kind, event.name) is None:
                self._untold(event, None)
        for event in self._missing:
            if self._index.find(event.kind, event.name) is None and self._is_told(event, None):
                self._say(
                    f"{event.kind} {event.name} is not in the log, and what came after it is: the ledger was given "
                    f"what never happened through HEARTH; {_ADVICE}"
                )
        for event in self._newest:
            self.waiting += self._index.find(event.kind, event.name) is None and self._is_told(event, None)

    def _is_told(self, event: LedgerEvent, number: int | None) -> bool:
        """Whether the log was told of a run before it acted, or had to take its record as it was made."""
        if event.kind is not LeafKind.EXECUTION_SEALED or not event.acted:
            return True
        opened = self._index.find(LeafKind.EXECUTION_OPENED, event.name)
        if number is None:
            return opened is not None or (self._sealed < self._backlog and event.row <= self._last_row)
        return (opened is not None and opened < number) or (number < self._backlog_end and event.row <= self._last_row)

    def _untold(self, event: LedgerEvent, number: int | None) -> None:
        self._say(f"{event.kind} {event.name}{'' if number is None else f' (leaf {number})'}: {NOT_TOLD}")

    def _opening(self, name: str, leaf: bytes) -> None:
        """Account for the leaf of an execution's opening, which is `leaf` where that is known."""
        number = self._find(LeafKind.EXECUTION_OPENED, name)
        if number is None or not leaf:
            return
        if self._digests[number * _DIGEST : (number + 1) * _DIGEST] != hashlib.sha256(leaf).digest():
            self._say(
                f"execution {name} is not the one that was opened (leaf {number}): that one was removed, and another "
                f"took its id; {_ADVICE}"
            )

    def _left(self) -> None:
        for number, accounted in enumerate(self._accounted):
            if accounted or len(self._wrong) > _MOST:
                continue
            leaf = parse_leaf(self._entry(number))
            kind, name = leaf["kind"], name_of_leaf(leaf)
            if kind == LeafKind.EXECUTION_OPENED:
                self._say(
                    f"execution {name} was opened (leaf {number}), and there is no record, no journal and no tombstone "
                    f"of it: what it did was removed; {_ADVICE}"
                )
            elif kind == LeafKind.EXECUTION_SEALED:
                self._say(
                    f"execution {name} was sealed (leaf {number}), and there is neither its record nor a tombstone: "
                    f"it was removed, or an older state of the database brought back; {_ADVICE}"
                )
            elif kind == LeafKind.KEY_CHANGED and name not in self._changes_of_keys():
                self._say(
                    f"a change of the log's keys (leaf {number}) is not in the history of its keys: that was set back, "
                    f"and may have forgotten a revocation; {_ADVICE}"
                )
            elif kind in LEAVES_OF_ROWS:
                self._say(
                    f"{kind} {name} (leaf {number}) is not in the ledger: its row was removed or changed, or an older "
                    f"state of the database brought back; {_ADVICE}"
                )

    def _changes_of_keys(self) -> set[str]:
        return {hashlib.sha256(one.to_bytes()).hexdigest() for one in self._log.history().statements}

    def _entry(self, number: int) -> bytes:
        return self._snapshot.entry(number)


def _hash_in(leaf: bytes) -> object:
    return parse_leaf(leaf).get("execution_hash")


def _difference(logged: bytes, there: bytes) -> str:
    one: dict[str, Any] = parse_leaf(logged)
    two: dict[str, Any] = parse_leaf(there)
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
