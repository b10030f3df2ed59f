"""Requests and uses of approvals as they lie there, whatever somebody has put into them; no index is asked for them.

An index is a copy, which can be given false entries, and then hides rows: what decides on runs is read from the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerDamagedError, RecordError
from hearth.ledger._decided import parsed, rows_of_requests
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from hearth.ledger._decided import DecisionRow
    from hearth.signing import Envelope

__all__ = ["ApprovalRow", "ApprovalUse", "request_rows", "uses"]

_MOST = 500  # values in one statement
_REQUEST = "SELECT id, request_id, plan_id, plan_digest, created, document FROM approval_requests NOT INDEXED"
_USE = "SELECT id, request_id, execution_id, used, emergency FROM approval_uses NOT INDEXED"


@dataclass(frozen=True, slots=True)
class ApprovalUse:
    """Which run used a request up, and when (UTC, as text); `wrong` says what its row has that HEARTH never writes."""

    request_id: str
    execution_id: str
    used: str
    emergency: bool
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A request as it is listed: its envelope, what was decided, and the run that used it.

    `document` and `rows` (the decisions, oldest first) are what lies there; `wrong` as in `ApprovalUse`.
    """

    number: int
    request_id: str
    plan_id: str
    plan_digest: str
    created: str
    document: bytes
    rows: tuple[DecisionRow, ...]
    use: ApprovalUse | None
    wrong: str = ""

    @property
    def request(self) -> Envelope:
        """What the requester signed; LedgerDamagedError where it cannot be read, or its columns say something else."""
        what = f"the approval request {self.request_id} (approval_requests, row {self.number})"
        envelope = parsed(self.document, what)
        wrong = self.wrong or self._other_than(envelope)
        if wrong:
            raise LedgerDamagedError(f"{what} is not what was signed: {wrong}; look with `hearth fsck`")
        return envelope

    @property
    def decisions(self) -> tuple[Envelope, ...]:
        """What was decided; LedgerDamagedError where a row is not what was signed: it may have been a denial."""
        return tuple(row.sound() for row in self.rows)

    def _other_than(self, envelope: Envelope) -> str:
        try:
            document = strict_loads(envelope.payload)
        except RecordError:
            return ""  # whoever reads it says so
        # Whether the id is the signed one, the run's approval itself asks: two rows would be two runs.
        for name in ("plan_id", "plan_digest", "created"):
            if isinstance(document, dict) and document.get(name, getattr(self, name)) != getattr(self, name):
                return f"{name} differs, and somebody has changed it"
        return ""


def request_rows(connection: Connection, rest: str, values: tuple[Any, ...]) -> tuple[ApprovalRow, ...]:
    """Return requests with their decisions and uses; `rest` of the statement says which, and in which order."""
    found = connection.exec_driver_sql(f"{_REQUEST} {rest}", values).all()
    names = [name for _, name, *_ in found if isinstance(name, str)]
    decided = rows_of_requests(connection, names)
    used = uses(connection, names)
    rows = []
    for number, name, *texts, document in found:
        plan_id, plan_digest, created = map(_text, texts)
        rows.append(
            ApprovalRow(
                number=number,
                request_id=_text(name),
                plan_id=plan_id,
                plan_digest=plan_digest,
                created=created,
                document=document,
                rows=tuple(decided.get(name, ())),
                use=used.get(name),
                wrong=_no_text(request_id=name, plan_id=texts[0], plan_digest=texts[1], created=texts[2]),
            )
        )
    return tuple(rows)


def uses(connection: Connection, requests: Sequence[str] | None = None) -> dict[Any, ApprovalUse]:
    """Return the first use of each of these requests (None: of every one) by its request; a damaged row is named."""
    found: dict[Any, ApprovalUse] = {}
    parts = [None] if requests is None else [requests[at : at + _MOST] for at in range(0, len(requests), _MOST)]
    for part in parts:
        where = "" if part is None else f"WHERE request_id IN ({', '.join('?' * len(part))})"
        for row in connection.exec_driver_sql(f"{_USE} {where} ORDER BY id", tuple(part or ())):
            found.setdefault(row.request_id, as_use(row))
    return found


def uses_where(connection: Connection, where: str, values: tuple[Any, ...] = ()) -> tuple[ApprovalUse, ...]:
    """Return the uses that `where` names, oldest first."""
    return tuple(map(as_use, connection.exec_driver_sql(f"{_USE} WHERE {where} ORDER BY id", values)))


def as_use(row: Any) -> ApprovalUse:  # noqa: ANN401 - a row of approval_uses
    """Return a use; what is of another type than HEARTH writes is told as a text."""
    wrong = _no_text(request_id=row.request_id, execution_id=row.execution_id, used=row.used)
    wrong = wrong or ("" if row.emergency in {0, 1} else f"emergency is {row.emergency!r}")
    return ApprovalUse(
        _text(row.request_id),
        _text(row.execution_id),
        _text(row.used),
        bool(row.emergency),
        f"approval_uses, row {row.id}: {wrong}; look with `hearth fsck`" if wrong else "",
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else str(value)


def _no_text(**columns: object) -> str:
    return next((f"{name} is no text" for name, value in columns.items() if not isinstance(value, str)), "")
