"""Decisions as they lie in the ledger: which say what their rows say, and which may belong to another request."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerDamagedError, RecordError, SigningError
from hearth.record import strict_loads
from hearth.signing import Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = ["DecisionRow", "Survey", "decision_rows", "parsed", "rows_of_requests", "survey"]

_COLUMNS = ("id", "request_id", "approver", "key", "verdict", "created", "envelope")
_SAID = ("request_id", "approver", "verdict")
_MOST = 500  # values in one statement


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

    def payload(self) -> bytes | None:
        """Return what the envelope holds, whoever signed it; None where it cannot be read."""
        try:
            return parsed(self.envelope, "").payload
        except LedgerDamagedError:
            return None

    def said(self) -> dict[str, Any] | None:
        """Return what the envelope says, whoever signed it; None where it cannot be read."""
        try:
            document = strict_loads(self.payload() or b"")
        except RecordError:
            return None
        return document if isinstance(document, dict) else None


@dataclass(slots=True)
class Survey:
    """Every decision of a ledger, the newest first: what lies under one request may belong to another."""

    rows: tuple[DecisionRow, ...]
    ledger_id: object = None
    _wrong: dict[int, str] = field(default_factory=dict)

    def require_whole(self, request_id: str) -> None:
        """Raise LedgerDamagedError where a decision on a request may lie elsewhere.

        That is one which names it, and one of which it cannot be told what it was. Neither its number nor a column
        says so, for whoever can damage a row can number all of them anew: only what was signed does, and only once,
        for an envelope that is there twice took the place of another one.
        """
        self._refuse_twins()
        # While nothing was decided on it, nothing runs.
        decided = any(row.request_id == request_id for row in self.rows)
        for row in self.rows:
            if row.request_id == request_id:
                row.sound()
                continue
            said = row.said()
            if said is not None and said.get("request_id") == request_id:
                raise LedgerDamagedError(
                    f"a decision on the request {request_id} lies under another request (approval_decisions, row "
                    f"{row.id}): it was moved there; no approval is used while that is so; look with `hearth fsck`"
                )
            wrong = self._is_wrong(row) if decided else ""
            if wrong:
                raise LedgerDamagedError(
                    f"{wrong}. It may have been a denial of {request_id}; no approval is used that a lost denial may "
                    "have been for"
                )

    def _refuse_twins(self) -> None:
        places: dict[Any, int] = {}
        for row in self.rows:
            payload = row.payload()
            for place in ((row.request_id, row.key, row.verdict), payload):
                twin = row.id if place is None else places.setdefault(place, row.id)
                if twin != row.id:
                    raise LedgerDamagedError(
                        f"the decisions in rows {row.id} and {twin} of approval_decisions are one and the same: "
                        "another one was overwritten. No approval is used while that is so; look with `hearth fsck`, "
                        "and restore a backup"
                    )

    def _is_wrong(self, row: DecisionRow) -> str:
        """Return what keeps one from knowing what a decision was; "" where its envelope tells it beyond doubt."""
        if row.id not in self._wrong:
            try:
                row.sound()
                self._wrong[row.id] = ""
            except LedgerDamagedError as error:
                self._wrong[row.id] = "" if self._is_signed(row) else str(error)
            said = row.said()
            if not self._wrong[row.id] and said is not None and said.get("ledger_id") != self.ledger_id:
                self._wrong[row.id] = (
                    f"the decision in row {row.id} of approval_decisions was made for another ledger: it took the "
                    "place of another one; look with `hearth fsck`, and restore a backup"
                )
        return self._wrong[row.id]

    def _is_signed(self, row: DecisionRow) -> bool:
        """Tell whether a key of any row signed what lies there, whatever its columns say."""
        from hearth.signing import PublicKey

        keys = {}
        for name in {one.key for one in self.rows if isinstance(one.key, str)}:
            with suppress(SigningError):
                keys[name] = PublicKey.parse(name)
        said = row.said()
        if said is None or not {*_SAID, "ledger_id"} <= said.keys():
            return False
        return bool(parsed(row.envelope, "").verified_by(keys))


def decision_rows(connection: Connection, request_id: str) -> tuple[DecisionRow, ...]:
    """Return what lies there as decisions on a request, oldest first."""
    return tuple(rows_of_requests(connection, [request_id]).get(request_id, ()))


def rows_of_requests(connection: Connection, requests: Sequence[str]) -> dict[Any, list[DecisionRow]]:
    """Return what lies there as decisions on requests, oldest first, by request."""
    found: dict[Any, list[DecisionRow]] = {}
    for at in range(0, len(requests), _MOST):
        part = tuple(requests[at : at + _MOST])
        for row in _rows(connection, f"WHERE request_id IN ({', '.join('?' * len(part))})", part):
            found.setdefault(row.request_id, []).append(row)
    return found


def survey(connection: Connection) -> Survey:
    """Return every decision that the ledger has."""
    ledger_id = connection.exec_driver_sql("SELECT ledger_id FROM ledger_meta NOT INDEXED").scalars().first()
    return Survey(_rows(connection)[::-1], ledger_id)


def parsed(data: object, what: str) -> Envelope:
    """Read an envelope; LedgerDamagedError, which says `what` cannot be read, for anything else."""
    try:
        return Envelope.parse(data if isinstance(data, bytes) else b"")
    except SigningError as error:
        raise _damaged(what, f"cannot be read ({error}), and what it said is not known") from None


def _rows(connection: Connection, where: str = "", values: tuple[str, ...] = ()) -> tuple[DecisionRow, ...]:
    # Past every index: one with false entries would hide a denial (docs/threat-model.md).
    query = f"SELECT {', '.join(_COLUMNS)} FROM approval_decisions NOT INDEXED {where} ORDER BY id"  # noqa: S608 - constants
    return tuple(DecisionRow(*found) for found in connection.exec_driver_sql(query, values))


def _damaged(what: str, why: str) -> LedgerDamagedError:
    return LedgerDamagedError(f"{what} {why}; look with `hearth fsck`, and restore a backup")
