"""Taking up the events of a ledger into its log, a slice at a time: what is open first, then the rows as they came."""

from __future__ import annotations

import heapq
import sys
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence._leaf_index import IndexIsWrongError
from hearth.ledger import LEAVES_OF_ROWS, LedgerEvent
from hearth.record import LeafKind, parse_leaf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.evidence._leaf_index import LeafIndex
    from hearth.evidence._log import TransparencyLog
    from hearth.ledger import LedgerEvents

__all__ = ["NOT_TOLD", "LogIntake", "backlog_of", "name_of_leaf"]

_BATCH = 1000
_SLICE = 1.0  # seconds, in which others wait for the log
_NAMED_BY = {
    LeafKind.LOG_CREATED: "log_key",
    LeafKind.APPROVAL_USED: "request_id",
    LeafKind.POSTURE_CHANGED: "version",
    LeafKind.VALUES_ERASED: "erasure_sha256",
    LeafKind.KEY_CHANGED: "statement_sha256",
}


NOT_VOUCHED = (
    "It ran past this log, in a copy of the ledger or before an older state was brought back, or was made up and put "
    "into the database: it is not signed. Keep a copy of the whole folder, and find out who can write there"
)
NOT_TOLD = f"it has steps, and the log was not told of it before the first of them. {NOT_VOUCHED}"


class LogIntake:
    """What one update takes up. `problems` are the events that could not become leaves, by kind and name, and why."""

    def __init__(self, events: LedgerEvents) -> None:
        self.problems: dict[tuple[str, str], str] = {}
        self.open: set[str] = set()  # those that the log tells of
        self.end = 0
        self._events = events
        self._looked: dict[str, int] = {}

    def slice(self, log: TransparencyLog, index: LeafIndex) -> bool:
        """Take up what is open, and of the rest what a second allows; return whether that was all.

        Nobody else adds meanwhile. EvidenceError where the ledger is not the one that the log tells of.
        """
        taking = _Slice(log, index)
        over = time.monotonic() + _SLICE
        rows = self._rows(taking, index)  # first of all: to a ledger that was set back nothing is added
        try:
            for event in self._events.opened(lambda _: False):  # those that the log knows, too: are they the same?
                try:
                    taking.take(event)
                    self.open.add(event.name)
                except _NoLeafError as problem:
                    self._note(event, problem)
            taking.flush()  # a record looks for its opening in the log
            for event in rows:
                self._looked[event.kind] = event.row
                try:
                    taking.take(event)
                except _NoLeafError as problem:
                    self._note(event, problem)
                if time.monotonic() > over:
                    taking.flush()
                    return False
            taking.flush()
        finally:
            self.end = index.size
        return True

    def waiting(self, log: TransparencyLog, index: LeafIndex) -> int:
        """Count the events that would become leaves, and note in `problems` those that could not; nothing is added."""
        count, looking = 0, _Slice(log, index)
        for event in chain(self._events.opened(lambda _: False), self._rows(looking, index)):
            try:
                count += looking.is_new(event)
            except _NoLeafError as problem:
                self._note(event, problem)
        return count

    def _note(self, event: LedgerEvent, problem: _NoLeafError) -> None:
        self.problems[event.kind, event.name] = f"{event.kind} {event.name}: {problem}"

    def _rows(self, taking: _Slice, index: LeafIndex) -> Iterator[LedgerEvent]:
        """Return the events after the rows that were looked at, as they came by their times.

        Of rows that nobody ever removes the last one that was looked at is looked at again: a database that was set
        back does not have it, or has another one.
        """
        parts = []
        seen = index.seen(LeafKind.EXECUTION_SEALED)
        newest, name = self._events.newest_record(seen)
        if seen > newest or (name is not None and index.find(LeafKind.EXECUTION_SEALED, name) is None):
            raise IndexIsWrongError(f"it says that the record in row {seen} was looked at")
        for kind in LEAVES_OF_ROWS:
            seen = index.seen(kind)
            again = int(seen > 0 and kind is not LeafKind.EXECUTION_SEALED and kind not in self._looked)
            found = self._events.after(kind, max(seen, self._looked.get(kind, 0)) - again)
            if again:
                last = next(found, None)
                if last is None or last.row != seen:
                    raise _set_back(LedgerEvent(kind, seen, f"row {seen}"), None)
                try:
                    taking.require_known(last)
                except _NoLeafError as problem:
                    self._note(last, problem)
            parts.append(found)
        return heapq.merge(*parts, key=lambda event: event.at)


class _NoLeafError(Exception):
    """An event that gets no leaf; says why."""


class _Slice:
    """Adds events to a log, many at a time."""

    def __init__(self, log: TransparencyLog, index: LeafIndex) -> None:
        self._log = log
        self._index = index
        self._batch: list[LedgerEvent] = []
        self._seen: dict[str, int] = {}
        self._told: int | None = None

    def is_new(self, event: LedgerEvent) -> bool:
        """Whether an event has no leaf and may have one; EvidenceError where its leaf is another one."""
        if event.why_not:
            raise _NoLeafError(event.why_not)
        number = self._index.find(event.kind, event.name)
        if number is not None:
            self._require_same(event, number)
        elif event.kind is LeafKind.EXECUTION_SEALED:
            self._require_told(event)
        elif event.kind is LeafKind.EXECUTION_OPENED and event.acted:
            raise _NoLeafError(NOT_TOLD)
        return number is None

    def require_known(self, event: LedgerEvent) -> None:
        """Raise EvidenceError where an event that was looked at before is another one now."""
        if self.is_new(event):
            raise IndexIsWrongError

    def take(self, event: LedgerEvent) -> None:
        """Have an event added, where it is new."""
        if self.is_new(event):
            self._batch.append(event)
        if event.row:
            self._seen[event.kind] = max(self._seen.get(event.kind, 0), event.row)
        if len(self._batch) == _BATCH:
            self.flush()

    def flush(self) -> None:
        """Add what was taken, and note how far was looked."""
        events, self._batch = self._batch, []
        added = self._log.append(event.leaf for event in events)
        leaves = ((number, str(event.kind), event.name) for number, event in zip(added, events, strict=True))
        if events or self._seen:
            self._index.add(leaves, self._seen.items())

    def _require_same(self, event: LedgerEvent, number: int) -> None:
        entry = self._log.entry(number)
        if entry == event.leaf:
            return
        leaf = parse_leaf(entry)
        if (leaf["kind"], name_of_leaf(leaf)) != (event.kind, event.name):
            raise IndexIsWrongError
        raise _opened_again(event, number) if event.row == 0 else _set_back(event, number)

    def _require_told(self, event: LedgerEvent) -> None:
        """Refuse the record of a run that the log was not told of before it acted, or not of this one: is it one?"""
        opened = self._index.find(LeafKind.EXECUTION_OPENED, event.name)
        if opened is not None and self._log.entry(opened) != event.opening:
            raise _NoLeafError(f"another execution of this id was opened (leaf {opened}). {NOT_VOUCHED}")
        if opened is None and event.acted:
            records, last = backlog_of(self._log.entry(0))
            if event.row > last or self._sealed() >= records:
                raise _NoLeafError(NOT_TOLD)
        if self._told is not None:
            self._told += 1

    def _sealed(self) -> int:
        """Return how many records the log has, or will have with this batch."""
        if self._told is None:
            kind = LeafKind.EXECUTION_SEALED
            self._told = self._index.count(kind) + sum(one.kind is kind for one in self._batch)
        return self._told


def backlog_of(genesis: bytes) -> tuple[int, int]:
    """Return how many records were in the ledger when its log was made, and the newest row's number.

    Those alone may have no opening in it. A log that was made before this was said takes any.
    """
    leaf = parse_leaf(genesis)
    found = [leaf.get(name) for name in ("records", "last_record")]
    records, last = (one if type(one) is int else sys.maxsize for one in found)
    return records, last


def name_of_leaf(leaf: dict[str, Any]) -> str:
    """Return by what a leaf is known within its kind."""
    return str(leaf.get(_NAMED_BY.get(LeafKind(leaf["kind"]), "execution_id")))


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
