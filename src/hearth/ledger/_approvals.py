"""LedgerApprovals: requests, the decisions on them, and which run used them up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from hearth.errors import (
    DuplicateExecutionError,
    LedgerDamagedError,
    LedgerError,
    RequestNotFoundError,
    SigningError,
)
from hearth.ledger._tables import (
    approval_decisions,
    approval_requests,
    approval_uses,
    executions,
    refusals,
    reviews,
    tombstones,
)
from hearth.record import format_time
from hearth.signing import Envelope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from hearth.ledger._database import Database

__all__ = ["ApprovalRow", "ApprovalUse", "LedgerApprovals"]

_LIKELY = 20
_CLOCKS_APART = timedelta(hours=1)
_BATCH = 50


@dataclass(frozen=True, slots=True)
class ApprovalUse:
    """Which run used a request up, and when (UTC, as text)."""

    request_id: str
    execution_id: str
    used: str
    emergency: bool


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A request as it is listed: its envelope, what was decided, and the run that used it.

    `document` and `envelopes` (the decisions, oldest first, by the numbers of their rows) are what lies there.
    """

    request_id: str
    plan_id: str
    plan_digest: str
    created: str
    document: bytes
    envelopes: tuple[tuple[int, bytes], ...]
    use: ApprovalUse | None

    @property
    def request(self) -> Envelope:
        """What the requester signed; LedgerDamagedError where it cannot be read."""
        return _envelope(self.document, f"the approval request {self.request_id}")

    @property
    def decisions(self) -> tuple[Envelope, ...]:
        """What was decided; LedgerDamagedError where one cannot be read: it may have been a denial."""
        return _read(self.request_id, self.envelopes)


class LedgerApprovals:
    """Fulfils `hearth.plan.ApprovalStore` over one ledger's database. Rows are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_request(self, envelope: Envelope, *, request_id: str, plan_id: str, plan_digest: str, created: str) -> None:
        """Keep a request; LedgerError when its id is taken."""
        row = {
            "request_id": request_id,
            "plan_id": plan_id,
            "plan_digest": plan_digest,
            "created": created,
            "document": envelope.to_json(),
        }
        if not self._added(lambda connection: connection.execute(insert(approval_requests), row)):
            raise LedgerError(f"the ledger holds a request {request_id} already; make a new one")

    def add_decision(
        self, envelope: Envelope, *, request_id: str, approver: str, key: str, verdict: str, created: str
    ) -> bool:
        """Keep a decision; False when this key has said the same on this request before."""
        row = {
            "request_id": request_id,
            "approver": approver,
            "key": key,
            "verdict": verdict,
            "created": created,
            "envelope": envelope.to_json(),
        }
        return self._added(lambda connection: connection.execute(insert(approval_decisions), row))

    def find(self, beginning: str) -> ApprovalRow:
        """Return the one request whose id begins so; RequestNotFoundError, also where several do."""

        def work(connection: Connection) -> ApprovalRow:
            column = approval_requests.c.request_id
            found = connection.scalars(
                select(column)
                .where(func.substr(column, 1, len(beginning)) == beginning)
                .order_by(column)
                .limit(_LIKELY)
            ).all()
            if beginning in found:
                found = [beginning]
            if not beginning or not found:
                raise RequestNotFoundError(f"there is no approval request {beginning!r}; `hearth approvals` lists them")
            if len(found) > 1:
                raise RequestNotFoundError(f"{beginning!r} is the beginning of several requests: {', '.join(found)}")
            return _row(connection, str(found[0]))

        return self._database.read(work)

    def decisions(self, request_id: str) -> tuple[Envelope, ...]:
        """Return what was decided on a request, oldest first; LedgerDamagedError where one cannot be read."""
        return _read(request_id, self._database.read(lambda connection: _decisions(connection, request_id)))

    def mark_of_decisions(self, request_id: str) -> tuple[int, int]:
        """Return how many decisions there are, and the newest one's number: another mark means another word."""
        table = approval_decisions
        query = select(func.count(), func.coalesce(func.max(table.c.id), 0)).where(table.c.request_id == request_id)
        number, newest = self._database.read(lambda connection: connection.execute(query).one())
        return int(number), int(newest)

    def listing(
        self, *, plan_digest: str | None = None, plan_id: str | None = None, limit: int = 100
    ) -> tuple[ApprovalRow, ...]:
        """Return the newest requests first, of one plan where it is named."""
        query = select(approval_requests.c.request_id).order_by(approval_requests.c.id.desc()).limit(limit)
        if plan_digest is not None:
            query = query.where(approval_requests.c.plan_digest == plan_digest)
        if plan_id is not None:
            query = query.where(approval_requests.c.plan_id == plan_id)
        return self._database.read(
            lambda connection: tuple(_row(connection, str(name)) for name in connection.scalars(query).all())
        )

    def each(
        self,
        *,
        plan_digest: str | None = None,
        plan_id: str | None = None,
        unused: bool = False,
        oldest_first: bool = False,
    ) -> Iterator[ApprovalRow]:
        """Yield every request of a plan, the newest first; memory is bounded and no transaction stays open.

        With `unused` only those that no run has used when they are looked at.
        """
        column = approval_requests.c.id
        query = select(column, approval_requests.c.request_id).limit(_BATCH)
        query = query.order_by(column if oldest_first else column.desc())
        if plan_digest is not None:
            query = query.where(approval_requests.c.plan_digest == plan_digest)
        if plan_id is not None:
            query = query.where(approval_requests.c.plan_id == plan_id)
        if unused:
            uses = select(approval_uses.c.id).where(approval_uses.c.request_id == approval_requests.c.request_id)
            query = query.where(~uses.exists())
        last: int | None = None
        while True:
            onward = query
            if last is not None:
                onward = query.where(column > last if oldest_first else column < last)

            def work(connection: Connection, batch: Select[Any] = onward) -> tuple[int | None, list[ApprovalRow]]:
                found = connection.execute(batch).all()
                return (found[-1].id if found else None), [_row(connection, str(one.request_id)) for one in found]

            last, rows = self._database.read(work)
            yield from rows
            if len(rows) < _BATCH:
                return

    def use(
        self, request_id: str, execution_id: str, *, now: datetime, emergency: bool, asked: datetime
    ) -> ApprovalUse | None:
        """Use a request up for one run: None means that this run has it, else who had it before. Durable.

        A record of a later time than `asked` that names the request has used it, whatever became of the row that said
        so; LedgerDamagedError where rows of requests, decisions or uses were removed, or a decision was moved away.
        """
        row = {
            "request_id": request_id,
            "execution_id": execution_id,
            "used": format_time(now),
            "emergency": int(emergency),
        }

        def work(connection: Connection) -> ApprovalUse | None:
            before = _use(connection, request_id) or _recorded_use(connection, request_id, asked)
            if before is None:
                _require_all_rows(connection)
                _require_all_decisions(connection, request_id)
                taken = approval_uses.c.execution_id == execution_id
                if connection.execute(select(approval_uses.c.id).where(taken)).first() is not None:
                    message = f"a run {execution_id} used another approval before; choose another id"
                    raise DuplicateExecutionError(message)
                connection.execute(insert(approval_uses), row)
            return before

        return self._database.write(work)

    def emergencies(self) -> tuple[ApprovalUse, ...]:
        """Return every use of an emergency's grant, oldest first."""
        table = approval_uses
        query = select(table).where(table.c.emergency != 0).order_by(table.c.id)
        return self._database.read(lambda connection: tuple(map(_as_use, connection.execute(query).all())))

    def use_by(self, execution_id: str) -> ApprovalUse | None:
        """Return what a run used, if anything."""
        query = select(approval_uses).where(approval_uses.c.execution_id == execution_id)

        def work(connection: Connection) -> ApprovalUse | None:
            found = connection.execute(query).one_or_none()
            return None if found is None else _as_use(found)

        return self._database.read(work)

    def add_review(self, envelope: Envelope, *, execution_id: str, reviewer: str, created: str) -> None:
        """Keep a review of an emergency run."""
        row = {
            "execution_id": execution_id,
            "reviewer": reviewer,
            "created": created,
            "envelope": envelope.to_json(),
        }
        self._database.write(lambda connection: connection.execute(insert(reviews), row))

    def reviews(self, execution_id: str) -> tuple[bytes, ...]:
        """Return what lies there as reviews of an emergency run, oldest first; whether one counts is not looked at."""
        query = select(reviews.c.envelope).where(reviews.c.execution_id == execution_id).order_by(reviews.c.id)
        return self._database.read(lambda connection: tuple(connection.scalars(query).all()))

    def add_refusal(self, *, plan_digest: str, code: str, who: str, now: datetime) -> None:
        """Keep that a run was refused for want of an approval: too many of them are a sensor."""
        row = {"created": format_time(now), "plan_digest": plan_digest, "code": code, "who": who}
        self._database.write(lambda connection: connection.execute(insert(refusals), row))

    def refusals_since(self, moment: datetime) -> int:
        """Return how many runs were refused since then."""
        query = select(func.count()).select_from(refusals).where(refusals.c.created >= format_time(moment))
        return self._database.read(lambda connection: connection.execute(query).scalar_one())

    def _added(self, work: Any) -> bool:  # noqa: ANN401 - a function of a connection
        """Run an insert; False where a unique row is there already."""

        def attempt(connection: Connection) -> bool:
            try:
                with connection.begin_nested():
                    work(connection)
            except IntegrityError as error:
                if "UNIQUE" not in str(error.orig):
                    raise
                return False
            return True

        return self._database.write(attempt)


def _row(connection: Connection, request_id: str) -> ApprovalRow:
    found = connection.execute(select(approval_requests).where(approval_requests.c.request_id == request_id)).one()
    return ApprovalRow(
        request_id=found.request_id,
        plan_id=found.plan_id,
        plan_digest=found.plan_digest,
        created=found.created,
        document=found.document,
        envelopes=_decisions(connection, request_id),
        use=_use(connection, request_id),
    )


def _decisions(connection: Connection, request_id: str) -> tuple[tuple[int, bytes], ...]:
    table = approval_decisions
    query = select(table.c.id, table.c.envelope).where(table.c.request_id == request_id).order_by(table.c.id)
    return tuple((found.id, found.envelope) for found in connection.execute(query).all())


def _read(request_id: str, envelopes: Iterable[tuple[int, bytes]]) -> tuple[Envelope, ...]:
    return tuple(
        _envelope(data, f"a decision on the request {request_id} (approval_decisions, row {row})")
        for row, data in envelopes
    )


def _envelope(data: object, what: str) -> Envelope:
    try:
        return Envelope.parse(data if isinstance(data, bytes) else b"")
    except SigningError as error:
        raise LedgerDamagedError(
            f"{what} cannot be read ({error}), and what it said is not known; look with `hearth fsck`, and restore a "
            "backup, or ask anew with `hearth request`"
        ) from None


def _use(connection: Connection, request_id: str) -> ApprovalUse | None:
    found = connection.execute(select(approval_uses).where(approval_uses.c.request_id == request_id)).one_or_none()
    return None if found is None else _as_use(found)


def _recorded_use(connection: Connection, request_id: str, asked: datetime) -> ApprovalUse | None:
    """Return the use that a record or a tombstone tells of."""
    table = executions
    named = func.instr(table.c.record, f'"request_id":"{request_id}"'.encode()) > 0
    since = format_time(asked - _CLOCKS_APART)
    query = select(table.c.execution_id, table.c.started).where(table.c.started >= since, named)
    found = connection.execute(query.limit(1)).first()
    if found is None:
        gone = func.instr(tombstones.c.document, f'"request_id":"{request_id}"'.encode()) > 0
        query = select(tombstones.c.execution_id, tombstones.c.purged).where(gone)
        found = connection.execute(query.limit(1)).first()
    return None if found is None else ApprovalUse(request_id, found[0], found[1], emergency=False)


def _require_all_rows(connection: Connection) -> None:
    """Raise LedgerDamagedError where a row was removed: SQLite counts those that it gave, and HEARTH removes none."""
    for table in (approval_requests, approval_decisions, approval_uses):
        there = connection.execute(select(func.count()).select_from(table)).scalar_one()
        given = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).scalar()
        if there != (given or 0):
            raise LedgerDamagedError(
                f"rows of the table {table.name} were removed: there are {there}, and {given or 0} were written; no "
                "approval is used while a denial or a use may be missing; look with `hearth fsck`, and restore a backup"
            )


def _require_all_decisions(connection: Connection, request_id: str) -> None:
    """Raise LedgerDamagedError where a decision on the request lies under another one: it may be a denial."""
    table = approval_decisions
    signed = f'"request_id":"{request_id}"'.encode()
    query = select(table.c.id, table.c.envelope).where(table.c.request_id != request_id)
    for found in connection.execute(query):
        try:
            payload = Envelope.parse(found.envelope).payload
        except (SigningError, TypeError):
            continue  # it counts for nothing where it lies, and stops the runs there
        if signed in payload:
            raise LedgerDamagedError(
                f"a decision on the request {request_id} lies under another request (approval_decisions, row "
                f"{found.id}): it was moved there; no approval is used while that is so; look with `hearth fsck`"
            )


def _as_use(row: Any) -> ApprovalUse:  # noqa: ANN401 - a row of approval_uses
    return ApprovalUse(row.request_id, row.execution_id, row.used, bool(row.emergency))
