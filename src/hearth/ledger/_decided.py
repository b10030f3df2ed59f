"""Decisions as they lie in the ledger: which say what their rows say, and which may belong to another request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, type_coerce
from sqlalchemy.types import NullType

from hearth.errors import LedgerDamagedError, RecordError, SigningError
from hearth.ledger._tables import approval_decisions
from hearth.record import parse_time, strict_loads
from hearth.signing import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

__all__ = ["DecisionRow", "Survey", "decision_rows", "parsed", "survey"]

_COLUMNS = ("id", "request_id", "approver", "key", "verdict", "created", "envelope")
_SAID = ("request_id", "approver", "verdict")


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One row of `approval_decisions`, as it lies there: a damaged one may hold anything in any column."""

    id: int
    request_id: Any
    approver: Any
    key: Any
    verdict: Any
    created: Any
    envelope: Any

    def sound(self) -> Envelope:
        """Return the envelope; LedgerDamagedError unless the row's own key signed just what the columns say.

        Whether that key counts for anything is the policy's to say.
        """
        from hearth.signing import PublicKey  # loads cryptography: only where signatures are looked at

        what = f"a decision on the request {self.request_id} (approval_decisions, row {self.id})"
        envelope = parsed(self.envelope, what)
        try:
            key = PublicKey.parse(self.key if isinstance(self.key, str) else "")
            document = strict_loads(envelope.payload)
        except (SigningError, RecordError) as error:
            raise _damaged(what, f"cannot be read ({error})") from None
        if not isinstance(document, dict) or not envelope.verified_by({"": key}):
            raise _damaged(what, "is not signed by the key of its row: it was changed after it was signed")
        for name in _SAID:
            if document.get(name) != getattr(self, name):
                raise _damaged(what, f"is not what its row says: {name} differs, and somebody has changed it")
        return envelope

    def said(self) -> tuple[str, datetime] | None:
        """Return the request that the envelope names, and its date, whoever signed it; None where it says neither."""
        try:
            document = strict_loads(parsed(self.envelope, "").payload)
            return str(document["request_id"]), parse_time(document["created"])
        except (LedgerDamagedError, RecordError, KeyError, TypeError):
            return None


@dataclass(slots=True)
class Survey:
    """Every decision of a ledger, the newest first: what lies under one request may belong to another."""

    rows: tuple[DecisionRow, ...]
    _wrong: dict[int, str] = field(default_factory=dict)
    _said: dict[int, tuple[str, datetime] | None] = field(default_factory=dict)

    def require_whole(self, request_id: str, asked: datetime) -> None:
        """Raise LedgerDamagedError where a decision on a request, made at `asked`, may lie elsewhere.

        That is one which names it, and one which nobody can say what it was, unless it is older than the request: a
        good decision from before the request stands between it and the first one on the request. Numbers of rows
        only grow, and a row's own date is nobody's word.
        """
        own = [row.id for row in self.rows if row.request_id == request_id]
        first = min(own, default=None)
        places: dict[tuple[Any, Any, Any], int] = {}
        may_be_later = first is not None  # while nothing was decided on it, nothing runs
        for row in self.rows:
            twin = places.setdefault((row.request_id, row.key, row.verdict), row.id)
            if twin != row.id:
                raise LedgerDamagedError(
                    f"the decisions in rows {row.id} and {twin} of approval_decisions are one and the same: another "
                    "one was overwritten. No approval is used while that is so; look with `hearth fsck`, and restore "
                    "a backup"
                )
            if row.request_id == request_id:
                row.sound()
                continue
            said = self._says(row)
            if said is not None and said[0] == request_id:
                raise LedgerDamagedError(
                    f"a decision on the request {request_id} lies under another request (approval_decisions, row "
                    f"{row.id}): it was moved there; no approval is used while that is so; look with `hearth fsck`"
                )
            if not may_be_later:
                continue
            wrong = self._is_wrong(row)
            if wrong:
                raise LedgerDamagedError(
                    f"{wrong}. It may have been a denial of {request_id}, which is no older; no approval is used that "
                    "a lost denial may have been for"
                )
            may_be_later = said is None or said[1] >= asked or (first is not None and row.id > first)

    def _says(self, row: DecisionRow) -> tuple[str, datetime] | None:
        if row.id not in self._said:
            self._said[row.id] = row.said()
        return self._said[row.id]

    def _is_wrong(self, row: DecisionRow) -> str:
        if row.id not in self._wrong:
            try:
                row.sound()
            except LedgerDamagedError as error:
                self._wrong[row.id] = str(error)
            else:
                self._wrong[row.id] = ""
        return self._wrong[row.id]


def decision_rows(connection: Connection, request_id: str) -> tuple[DecisionRow, ...]:
    """Return what lies there as decisions on a request, oldest first."""
    return _rows(connection, approval_decisions.c.request_id == request_id)


def survey(connection: Connection) -> Survey:
    """Return every decision that the ledger has."""
    return Survey(_rows(connection)[::-1])


def parsed(data: object, what: str) -> Envelope:
    """Read an envelope; LedgerDamagedError, which says `what` cannot be read, for anything else."""
    try:
        return Envelope.parse(data if isinstance(data, bytes) else b"")
    except SigningError as error:
        raise _damaged(what, f"cannot be read ({error}), and what it said is not known") from None


def _rows(connection: Connection, *where: Any) -> tuple[DecisionRow, ...]:
    # Without the columns' types: a row of another type is damage to be named, not an error of a conversion.
    table = approval_decisions
    columns: Iterable[Any] = (type_coerce(table.c[name], NullType()).label(name) for name in _COLUMNS)
    query = select(*columns).where(*where).order_by(table.c.id)
    return tuple(DecisionRow(*found) for found in connection.execute(query))


def _damaged(what: str, why: str) -> LedgerDamagedError:
    return LedgerDamagedError(
        f"{what} {why}; look with `hearth fsck`, and restore a backup, or ask anew with `hearth request`"
    )
