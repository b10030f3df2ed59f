"""LedgerApprovals: requests, the decisions on them, and which run used them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, type_coerce
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import NullType

from hearth.errors import DuplicateExecutionError, LedgerDamagedError, LedgerError, RequestNotFoundError
from hearth.ledger._decided import DecisionRow, Survey, decision_rows, parsed, survey
from hearth.ledger._schema import require_same_schema
from hearth.ledger._tables import (
    approval_decisions,
    approval_requests,
    approval_uses,
    executions,
    refusals,
    reviews,
)
from hearth.ledger._used import journal_uses, recorded_use, row_counts
from hearth.record import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Select

    from hearth.ledger._database import Database
    from hearth.signing import Envelope

__all__ = ["ApprovalRow", "ApprovalUse", "LedgerApprovals"]

_LIKELY = 20
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

    `document` and `rows` (the decisions, oldest first) are what lies there.
    """

    request_id: str
    plan_id: str
    plan_digest: str
    created: str
    document: bytes
    rows: tuple[DecisionRow, ...]
    use: ApprovalUse | None

    @property
    def request(self) -> Envelope:
        """What the requester signed; LedgerDamagedError where it cannot be read."""
        return parsed(self.document, f"the approval request {self.request_id}")

    @property
    def decisions(self) -> tuple[Envelope, ...]:
        """What was decided; LedgerDamagedError where a row is not what was signed: it may have been a denial."""
        return tuple(row.sound() for row in self.rows)


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
        """Keep a decision; False when this key has said the same on this request before.

        LedgerDamagedError where a row in its place says so that is not what that key signed: nothing was kept, and the
        decision stands nowhere.
        """
        row = {
            "request_id": request_id,
            "approver": approver,
            "key": key,
            "verdict": verdict,
            "created": created,
            "envelope": envelope.to_json(),
        }
        if self._added(lambda connection: connection.execute(insert(approval_decisions), row)):
            return True
        for there in self._database.read(lambda connection: decision_rows(connection, request_id)):
            if (there.key, there.verdict) == (key, verdict):
                try:
                    there.sound()
                except LedgerDamagedError as error:
                    raise LedgerDamagedError(
                        f"the decision of {approver} was NOT kept: {error}. Its row keeps this one out; where it must "
                        "not be lost, stop everything that runs: `hearth lockdown --reason TEXT`"
                    ) from None
        return False

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
        """Return what was decided on a request, oldest first; LedgerDamagedError where a row is not what was signed."""
        rows = self._database.read(lambda connection: decision_rows(connection, request_id))
        return tuple(row.sound() for row in rows)

    def survey(self) -> Callable[[str, datetime], None]:
        """Read every decision, and return what `require_whole` does with a request and its date, for any number."""
        return self._database.read(survey).require_whole

    def require_whole(self, request_id: str, asked: datetime) -> None:
        """Raise LedgerDamagedError where a decision on a request, made at `asked`, may have been removed or moved."""

        def work(connection: Connection) -> Survey:
            row_counts(connection)
            return survey(connection)

        self._database.read(work).require_whole(request_id, asked)

    def mark(self, request_id: str, execution_id: str | None) -> Hashable:
        """Return what is another one after every decision, use, and change of the rows of a request.

        LedgerDamagedError where rows were removed, or where the request is not used by the run `execution_id` (None: it
        is not used yet); LedgerError where somebody has changed the schema. Asked before every step.
        """

        def work(connection: Connection) -> Hashable:
            require_same_schema(connection, self._database)
            counts = row_counts(connection)
            raw = connection.connection.cursor()
            raw.execute("SELECT document FROM approval_requests WHERE request_id = ?", (request_id,))
            request = tuple(raw.fetchall())
            raw.execute("SELECT * FROM approval_decisions WHERE request_id = ? ORDER BY id", (request_id,))
            decided = tuple(raw.fetchall())
            if execution_id is not None:
                raw.execute("SELECT execution_id FROM approval_uses WHERE request_id = ?", (request_id,))
                used = raw.fetchall()
                if used != [(execution_id,)]:
                    raise LedgerDamagedError(
                        f"the row of approval_uses by which the run {execution_id} used the request {request_id} is "
                        "not there any more, or names another run: somebody has changed it; look with `hearth fsck`"
                    )
            return counts, request, decided

        return self._database.read(work)

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

        A record, a tombstone or a journal that names the request has used it, whatever became of the row that said so.
        LedgerDamagedError where rows of requests, decisions or uses were removed, where a decision on the request may
        have been moved away or damaged, and where a row of uses contradicts the journal of its run.
        """
        row = {
            "request_id": request_id,
            "execution_id": execution_id,
            "used": format_time(now),
            "emergency": int(emergency),
        }

        def look(connection: Connection) -> tuple[int, ApprovalUse | None]:
            newest = connection.execute(select(func.coalesce(func.max(executions.c.id), 0))).scalar_one()
            return newest, _use(connection, request_id) or _recorded(connection, request_id, after=0)

        # Before: it reads all records, and nobody else should have to wait for that.
        newest, before = self._database.read(look)
        if before is not None:
            return before

        def work(connection: Connection) -> ApprovalUse | None:
            require_same_schema(connection, self._database)
            used = _use(connection, request_id) or _recorded(connection, request_id, after=newest)
            used = used or _in_a_journal(connection, self._database.path.parent, request_id)
            if used is None:
                row_counts(connection)
                survey(connection).require_whole(request_id, asked)
                taken = approval_uses.c.execution_id == execution_id
                if connection.execute(select(approval_uses.c.id).where(taken)).first() is not None:
                    message = f"a run {execution_id} used another approval before; choose another id"
                    raise DuplicateExecutionError(message)
                connection.execute(insert(approval_uses), row)
            return used

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
        column = type_coerce(reviews.c.envelope, NullType())  # a damaged one may be of any type
        query = select(column).where(reviews.c.execution_id == execution_id).order_by(reviews.c.id)
        found = self._database.read(lambda connection: connection.scalars(query).all())
        return tuple(one if isinstance(one, bytes) else b"" for one in found)

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
    table = approval_requests
    document = type_coerce(table.c.document, NullType()).label("document")  # a damaged one may be of any type
    columns = (table.c.request_id, table.c.plan_id, table.c.plan_digest, table.c.created, document)
    found = connection.execute(select(*columns).where(table.c.request_id == request_id)).one()
    return ApprovalRow(
        request_id=found.request_id,
        plan_id=found.plan_id,
        plan_digest=found.plan_digest,
        created=found.created,
        document=found.document,
        rows=decision_rows(connection, request_id),
        use=_use(connection, request_id),
    )


def _use(connection: Connection, request_id: str) -> ApprovalUse | None:
    found = connection.execute(select(approval_uses).where(approval_uses.c.request_id == request_id)).one_or_none()
    return None if found is None else _as_use(found)


def _recorded(connection: Connection, request_id: str, *, after: int) -> ApprovalUse | None:
    found = recorded_use(connection, request_id, after=after)
    return None if found is None else ApprovalUse(request_id, *found, emergency=False)


def _in_a_journal(connection: Connection, root: Path, request_id: str) -> ApprovalUse | None:
    """Return the use that a journal tells of; LedgerDamagedError for a journal that contradicts its run's row."""
    rows = {row.execution_id: row.request_id for row in connection.execute(select(approval_uses))}
    for named, execution_id, started in journal_uses(root):
        if named == request_id:
            return ApprovalUse(request_id, execution_id, started, emergency=False)
        if rows.get(execution_id, named) != named:
            raise LedgerDamagedError(
                f"the journal of {execution_id} says that it used the request {named}, and its row of approval_uses "
                f"names {rows[execution_id]}: somebody has changed it; look with `hearth fsck`"
            )
    return None


def _as_use(row: Any) -> ApprovalUse:  # noqa: ANN401 - a row of approval_uses
    return ApprovalUse(row.request_id, row.execution_id, row.used, bool(row.emergency))
