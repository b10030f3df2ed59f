"""Holding a ledger against its log: every event has its leaf, and every leaf its event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import RecordError
from hearth.evidence._ledger_log import name_of_leaf
from hearth.evidence._log_check import LogReport, check_log
from hearth.evidence._log_lock import locked
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
_ADVICE = "keep a copy of the whole folder, and compare it with a backup"


def check_ledger_log(
    log: LedgerLog,
    verify: Callable[[Note], Checkpoint],
    *,
    since: Note | None = None,
    progress: Callable[[int], None] | None = None,
) -> LogReport:
    """Check a ledger's log, and whether it and the ledger tell of the same events; nothing is added to it.

    It holds the log's leaves in memory, some hundred bytes each.
    """
    comparison = _Comparison(log)
    with locked(log.place.root):
        report = check_log(log.log.files, verify, since=since, entry=comparison.leaf, progress=progress)
        return LogReport(report.checkpoint, (*report.problems, *comparison.problems()))


class _Comparison:
    def __init__(self, log: LedgerLog) -> None:
        self._log = log
        self._leaves: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._wrong: list[str] = []

    def leaf(self, number: int, data: bytes) -> None:
        """Take a leaf of the log."""
        try:
            leaf = parse_leaf(data)
        except RecordError as error:
            self._wrong.append(f"leaf {number}: {error}")
            return
        about = (self._log.settings.origin, self._log.settings.ledger_id)
        if (leaf.get("origin"), leaf.get("ledger_id")) != about:
            self._wrong.append(
                f"leaf {number} is of the ledger {leaf.get('ledger_id')} and the log {leaf.get('origin')}: it does not "
                f"belong here; {_ADVICE}"
            )
        place = (str(leaf["kind"]), name_of_leaf(leaf))
        if place in self._leaves:
            self._wrong.append(
                f"leaf {number} tells of {place[0]} {place[1]}, of which leaf {self._leaves[place][0]} does"
            )
        else:
            self._leaves[place] = (number, data)

    def problems(self) -> list[str]:
        """Compare with the ledger as it is now."""
        events = self._log.ledger.events(self._log.settings.origin)
        for kind in LEAVES_OF_ROWS:
            for event in events.after(kind, 0):
                self._event(event)
        for event in events.opened(lambda _: False):
            self._leaves.pop((str(LeafKind.EXECUTION_OPENED), event.name), None)
        self._left()
        if len(self._wrong) > _MOST:
            return [*self._wrong[:_MOST], f"… and {len(self._wrong) - _MOST} more"]
        return self._wrong

    def _event(self, event: LedgerEvent) -> None:
        what = f"{event.kind} {event.name}"
        found = self._leaves.pop((str(event.kind), event.name), None)
        if event.why_not:
            self._wrong.append(f"{what} cannot be compared: {event.why_not}")
        elif found is None:
            self._wrong.append(
                f"{what} is not in the log; `hearth log update` adds what is new, and each run does it by itself: "
                "where this stays, the ledger was given what never happened through HEARTH"
            )
        elif found[1] != event.leaf:
            self._wrong.append(
                f"{what} is another one in the ledger than in the log (leaf {found[0]}): "
                f"{_difference(found[1], event.leaf)}. The log tells what it was; {_ADVICE}"
            )
        if event.kind in {LeafKind.EXECUTION_SEALED, LeafKind.EXECUTION_PURGED}:
            # The leaves before tell of the same execution, which is accounted for.
            self._leaves.pop((str(LeafKind.EXECUTION_OPENED), event.name), None)
        if event.kind is LeafKind.EXECUTION_PURGED:
            sealed = self._leaves.pop((str(LeafKind.EXECUTION_SEALED), event.name), None)
            if sealed is not None and not event.why_not and _hash_in(sealed[1]) != _hash_in(event.leaf):
                self._wrong.append(
                    f"{what}: the tombstone is of another record than was sealed (leaf {sealed[0]}); {_ADVICE}"
                )

    def _left(self) -> None:
        for (kind, name), (number, _) in self._leaves.items():
            if kind == LeafKind.EXECUTION_OPENED:
                self._wrong.append(
                    f"execution {name} was opened (leaf {number}), and there is no record, no journal and no tombstone "
                    f"of it: what it did was removed; {_ADVICE}"
                )
            elif kind == LeafKind.EXECUTION_SEALED:
                self._wrong.append(
                    f"execution {name} was sealed (leaf {number}), and there is neither its record nor a tombstone: "
                    f"it was removed, or an older state of the database brought back; {_ADVICE}"
                )
            elif kind in LEAVES_OF_ROWS:
                self._wrong.append(
                    f"{kind} {name} (leaf {number}) is not in the ledger: its row was removed or changed, or an older "
                    f"state of the database brought back; {_ADVICE}"
                )


def _hash_in(leaf: bytes) -> object:
    return parse_leaf(leaf).get("execution_hash")


def _difference(logged: bytes, there: bytes) -> str:
    one: dict[str, Any] = parse_leaf(logged)
    two: dict[str, Any] = parse_leaf(there)
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
