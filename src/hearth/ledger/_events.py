"""What a ledger's transparency log has to tell of: its events, each as a leaf, found by the numbers of their rows."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from hearth.errors import HearthError, LedgerError, RecordError
from hearth.ledger._approval_rows import as_use, request_rows
from hearth.record import (
    LeafKind,
    canonical_bytes,
    entry_hash,
    format_time,
    leaf_bytes,
    named_in_leaf,
    sealed_leaf,
    strict_loads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from hearth.ledger._database import Database
    from hearth.ledger._ledger import Ledger

__all__ = ["LEAVES_OF_ROWS", "LedgerEvent", "LedgerEvents"]

LEAVES_OF_ROWS = (
    LeafKind.APPROVAL_USED,
    LeafKind.EXECUTION_SEALED,
    LeafKind.POSTURE_CHANGED,
    LeafKind.EXECUTION_PURGED,
    LeafKind.VALUES_ERASED,
)
"""The kinds whose events are rows of the ledger; executions that are open are journals."""

_LONGEST_LINE = (16 << 20) + 100  # of a journal: an entry of 16 MiB, with its hash
_HASH = 64
_STEP = b'"event_type":"step_started"'
_MOST_LINES = 1000  # a step begins in one of the first


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """One event: its row's number (0 for a journal), what it is known by within its kind, and its leaf.

    Where the row cannot be read there is no leaf, and `why_not` says why. `acted` tells of an execution whether
    a step was begun. Of a sealed one `opening` is the leaf that its opening has to have, where it has one.
    """

    kind: LeafKind
    row: int
    name: str
    at: str = ""
    leaf: bytes = b""
    why_not: str = ""
    opening: bytes = b""
    acted: bool = False


class LedgerEvents:
    """Reads the events of one ledger as leaves for the log of this origin."""

    def __init__(self, ledger: Ledger, database: Database, origin: str) -> None:
        self._ledger = ledger
        self._database = database
        self._about = {"origin": origin, "ledger_id": ledger.ledger_id}
        self._readers: Mapping[LeafKind, Callable[[int], Iterator[LedgerEvent]]] = {
            LeafKind.APPROVAL_USED: self._uses,
            LeafKind.EXECUTION_SEALED: self._records,
            LeafKind.POSTURE_CHANGED: self._postures,
            LeafKind.EXECUTION_PURGED: self._tombstones,
            LeafKind.VALUES_ERASED: self._erasures,
        }

    def newest_record(self, row: int) -> tuple[int, str | None]:
        """Return the greatest number that a record's row ever had, and by what a leaf names the record in this row."""

        def work(connection: Connection) -> tuple[int, str | None]:
            newest = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'executions'").scalar()
            query = "SELECT execution_id FROM executions WHERE id = ?"
            found = connection.exec_driver_sql(query, (row,)).scalar()
            return int(newest or 0), None if found is None else named_in_leaf(str(found))

        return self._database.read(work)

    def after(self, kind: LeafKind, row: int) -> Iterator[LedgerEvent]:
        """Yield the events of a kind with greater numbers, in their order; memory is bounded by one of them."""
        return self._readers[kind](row)

    def opened(self, known: Callable[[str], bool], *, quarantined: bool = False) -> Iterator[LedgerEvent]:
        """Yield the executions whose journals lie there (or in quarantine) and that are not `known` by their name."""
        home = self._ledger.home
        paths = home.quarantine.glob("*.journal*") if quarantined else home.journals.glob("*.journal")
        for path in sorted(paths):
            found = _first_line(path)
            if found is None:
                continue
            stated, entry = found
            name = named_in_leaf(str(entry["execution_id"]))
            if known(name):
                continue
            yield replace(self._opening(name, str(entry["timestamp"]), stated), acted=_has_steps(path))

    def _opening(self, name: str, at: str, first_event_hash: str) -> LedgerEvent:
        said = {"execution_id": name, "first_event_hash": first_event_hash}
        return self._event(LeafKind.EXECUTION_OPENED, 0, name, at, said)

    def _event(self, kind: LeafKind, row: int, name: str, at: str, said: Mapping[str, Any]) -> LedgerEvent:
        return LedgerEvent(kind, row, name, at, leaf_bytes(kind, at=at, **self._about, **said))

    def _records(self, after: int) -> Iterator[LedgerEvent]:
        kind = LeafKind.EXECUTION_SEALED
        for row, raw in self._rows("SELECT id, execution_id FROM executions WHERE id > ? ORDER BY id LIMIT ?", after):
            execution_id = str(raw[0])
            name = named_in_leaf(execution_id)
            try:
                record = self._ledger.get(execution_id)
                leaf = sealed_leaf(record, **self._about)
                first = record.marks[0]
                opening = self._opening(name, str(first.to_dict()["timestamp"]), first.event_hash).leaf
                at = str(record.marks[-1].to_dict()["timestamp"])
            except HearthError as error:
                yield LedgerEvent(kind, row, name, why_not=str(error))
                continue
            yield LedgerEvent(kind, row, name, at, leaf, opening=opening, acted=bool(record.step_events))

    def _uses(self, after: int) -> Iterator[LedgerEvent]:
        kind = LeafKind.APPROVAL_USED
        query = (
            "SELECT id, request_id, execution_id, used, emergency FROM approval_uses NOT INDEXED "
            "WHERE id > ? ORDER BY id LIMIT ?"
        )
        for row, _ in self._rows(query, after):
            read = self._database.read(
                lambda connection, row=row: [  # type: ignore[misc]
                    (as_use(one), request_rows(connection, "WHERE request_id = ? ORDER BY id", (one.request_id,)))
                    for one in connection.exec_driver_sql(query, (row - 1, 1))
                ]
            )
            for use, requests in read:
                if use.wrong or len(requests) != 1:
                    yield LedgerEvent(kind, row, use.request_id, why_not=use.wrong or "its request is not there")
                    continue
                envelopes = [decided.envelope for decided in requests[0].rows]
                if not all(isinstance(one, bytes) for one in (requests[0].document, *envelopes)):
                    yield LedgerEvent(kind, row, use.request_id, why_not="its request or a decision is damaged")
                    continue
                said = {
                    "request_id": use.request_id,
                    "execution_id": named_in_leaf(use.execution_id),
                    "request_sha256": _sha256(requests[0].document),
                    "decisions": sorted(map(_sha256, envelopes)),
                }
                yield self._event(kind, row, use.request_id, use.used, said)

    def _postures(self, after: int) -> Iterator[LedgerEvent]:
        kind = LeafKind.POSTURE_CHANGED
        try:
            history = self._ledger.postures.history(after=after)
        except LedgerError as error:
            yield LedgerEvent(kind, after, str(after), why_not=str(error))
            return
        for kept in history:
            at = "" if kept.created is None else format_time(kept.created)
            document = {
                "version": kept.version,
                "security_state": str(kept.posture.security),
                "boundary_state": str(kept.posture.boundary),
                "who": kept.who,
                "why": kept.why,
                "source": kept.source,
                "created": at,
                "envelope": None if kept.envelope is None else base64.b64encode(kept.envelope).decode(),
            }
            said = {name: document[name] for name in ("version", "security_state", "boundary_state")}
            said["document_sha256"] = _sha256(canonical_bytes(document))
            yield self._event(kind, kept.version, str(kept.version), at, said)

    def _tombstones(self, after: int) -> Iterator[LedgerEvent]:
        kind = LeafKind.EXECUTION_PURGED
        query = "SELECT id, CAST(document AS BLOB) FROM tombstones WHERE id > ? ORDER BY id LIMIT ?"
        for row, (raw,) in self._rows(query, after):
            try:
                document = strict_loads(raw)
                name = named_in_leaf(str(document["execution_id"]))
                said = {"execution_id": name, "execution_hash": str(document["execution_hash"])}
                said["tombstone_sha256"] = _sha256(raw)
                event = self._event(kind, row, name, str(document["purged"]), said)
            except (RecordError, LookupError, TypeError) as error:
                yield LedgerEvent(kind, row, str(row), why_not=f"the tombstone cannot be read: {error}")
                continue
            yield event

    def _erasures(self, after: int) -> Iterator[LedgerEvent]:
        kind = LeafKind.VALUES_ERASED
        query = "SELECT id, execution_id, CAST(document AS BLOB) FROM erasures WHERE id > ? ORDER BY id LIMIT ?"
        for row, (execution_id, raw) in self._rows(query, after):
            try:
                at = str(strict_loads(raw)["erased_at"])
            except (RecordError, LookupError, TypeError) as error:
                yield LedgerEvent(kind, row, str(row), why_not=f"the erasure cannot be read: {error}")
                continue
            digest = _sha256(raw)
            said = {"execution_id": named_in_leaf(str(execution_id)), "erasure_sha256": digest}
            yield self._event(kind, row, digest, at, said)

    def _rows(self, query: str, after: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield row numbers and the other columns, some hundred at a time; no transaction stays open."""
        batch = 200
        while True:
            found = self._database.read(
                lambda connection, after=after: connection.exec_driver_sql(query, (after, batch)).all()  # type: ignore[misc]
            )
            for number, *rest in found:
                yield number, tuple(rest)
                after = number
            if len(found) < batch:
                return


def _first_line(path: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the hash and the content of a journal's first entry; None where it is not whole, or not what it says."""
    try:
        if path.is_symlink() or not path.is_file():
            return None  # a pipe would be waited for
        with path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
        entry = strict_loads(line[_HASH + 1 :])
        stated = line[:_HASH].decode("ascii")
        whole = line.endswith(b"\n") and isinstance(entry, dict) and entry_hash(entry) == stated
    except (OSError, RecordError, ValueError):
        return None
    return (stated, entry) if whole and {"execution_id", "timestamp"} <= entry.keys() else None


def _has_steps(path: Path) -> bool:
    """Whether a step was begun, as far as a journal is written; what cannot be read tells of none."""
    try:
        with path.open("rb") as file:
            return any(_STEP in line for line in islice(file, 1, _MOST_LINES))
    except OSError:
        return False


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
