"""LedgerApprovals: requests, the decisions on them, and which run used them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, type_coerce
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import NullType

from hearth.errors import DuplicateExecutionError, LedgerDamagedError, LedgerError, RequestNotFoundError
from hearth.ledger._approval_rows import ApprovalRow, ApprovalUse, request_rows, uses_where
from hearth.ledger._decided import Survey, decision_rows, survey
from hearth.ledger._look import Look
from hearth.ledger._schema import require_own_schema
from hearth.ledger._tables import (
    approval_decisions,
    approval_requests,
    approval_uses,
    executions,
    refusals,
    reviews,
)
from hearth.ledger._used import journal_uses, recorded_use, require_recorded, row_counts
from hearth.record import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from hearth.ledger._database import Database
    from hearth.ledger._used import Pair
    from hearth.signing import Envelope

__all__ = ["ApprovalRow", "ApprovalUse", "LedgerApprovals"]

_LIKELY = 20
_BATCH = 50
# `+` and the condition keep SQLite from answering by an index.
_USED = "SELECT +request_id FROM approval_uses NOT INDEXED WHERE request_id IS NOT NULL"


class LedgerApprovals:
    """Fulfils `hearth.plan.ApprovalStore` over one ledger's database. Rows are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A new object after every change of the database: what was read before stands until then.
        self._look = Look(database.path, lambda _: object())
        self._marks: dict[tuple[str, str | None], tuple[object, Hashable]] = {}

    def close(self) -> None:
        """Close the connection that looks."""
        self._look.close()

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
        added = self._added(lambda connection: connection.execute(insert(approval_decisions), row))
        there = self._database.read(lambda connection: decision_rows(connection, request_id))
        not_kept = f"the decision of {approver} was NOT kept"
        advice = "where it must not be lost, stop everything that runs: `hearth lockdown --reason TEXT`"
        if added and not any((one.key, one.verdict, one.envelope) == (key, verdict, row["envelope"]) for one in there):
            raise LedgerError(f"{not_kept}: it is not there when it is read back; {advice}")
        for one in () if added else there:
            if (one.key, one.verdict) == (key, verdict):
                try:
                    one.sound()
                except LedgerDamagedError as error:
                    raise LedgerDamagedError(f"{not_kept}: {error}. Its row keeps this one out; {advice}") from None
        return added

    def find(self, beginning: str) -> ApprovalRow:
        """Return the one request whose id begins so; RequestNotFoundError, also where several do."""

        def work(connection: Connection) -> ApprovalRow:
            found = connection.exec_driver_sql(
                "SELECT DISTINCT request_id FROM approval_requests NOT INDEXED WHERE substr(request_id, 1, ?) = ? "
                "ORDER BY request_id LIMIT ?",
                (len(beginning), beginning, _LIKELY),
            )
            names = [str(name) for name in found.scalars()]
            if beginning in names:
                names = [beginning]
            if not beginning or not names:
                raise RequestNotFoundError(f"there is no approval request {beginning!r}; `hearth approvals` lists them")
            if len(names) > 1:
                raise RequestNotFoundError(f"{beginning!r} is the beginning of several requests: {', '.join(names)}")
            rows = request_rows(connection, "WHERE request_id = ? ORDER BY id", (names[0],))
            if len(rows) > 1:
                raise LedgerDamagedError(
                    f"the request {names[0]} stands in rows {rows[0].number} and {rows[1].number} of "
                    "approval_requests: somebody has added one; look with `hearth fsck`, and restore a backup"
                )
            return rows[0]

        return self._database.read(work)

    def decisions(self, request_id: str) -> tuple[Envelope, ...]:
        """Return what was decided on a request, oldest first; LedgerDamagedError where a row is not what was signed."""
        rows = self._database.read(lambda connection: decision_rows(connection, request_id))
        return tuple(row.sound() for row in rows)

    def survey(self) -> Callable[[str], None]:
        """Read every decision, and return what `require_whole` does with a request, for any number of them."""
        return self._database.read(survey).require_whole

    def require_whole(self, request_id: str) -> None:
        """Raise LedgerDamagedError where a decision on a request may have been removed, moved or damaged."""

        def work(connection: Connection) -> Survey:
            row_counts(connection)
            return survey(connection)

        self._database.read(work).require_whole(request_id)

    def mark(self, request_id: str, execution_id: str | None) -> Hashable:
        """Return what is another one after every decision, use, and change of the rows of a request.

        LedgerDamagedError where rows were removed, or where the request is not used by the run `execution_id` (None: it
        is not used yet); LedgerError where somebody has changed the schema. Asked before every step; as long as nobody
        writes to the database it costs some microseconds.
        """
        seen = self._look.see()
        known = self._marks.get((request_id, execution_id))
        if known is None or known[0] is not seen:
            known = seen, self._database.read(lambda connection: self._mark(connection, request_id, execution_id))
            if len(self._marks) >= _BATCH:
                self._marks.clear()
            self._marks[request_id, execution_id] = known
        return known[1]

    def _mark(self, connection: Connection, request_id: str, execution_id: str | None) -> Hashable:
        require_own_schema(connection.connection.cursor(), self._database.path)
        counts = row_counts(connection)
        query = "SELECT id, document FROM approval_requests NOT INDEXED WHERE request_id = ?"
        request = tuple(map(tuple, connection.exec_driver_sql(query, (request_id,))))
        if execution_id is not None:
            used = [one.execution_id for one in uses_where(connection, "request_id = ?", (request_id,))]
            if used != [execution_id]:
                raise LedgerDamagedError(
                    f"the row of approval_uses by which the run {execution_id} used the request {request_id} is "
                    "not there any more, or names another run: somebody has changed it; look with `hearth fsck`"
                )
        return counts, request, decision_rows(connection, request_id)

    def listing(
        self, *, plan_digest: str | None = None, plan_id: str | None = None, limit: int = 100
    ) -> tuple[ApprovalRow, ...]:
        """Return the newest requests first, of one plan where it is named."""
        where, values = _of_plan(plan_digest, plan_id)
        rest = f"WHERE {where} ORDER BY id DESC LIMIT ?"
        return self._database.read(lambda connection: request_rows(connection, rest, (*values, limit)))

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
        where, values = _of_plan(plan_digest, plan_id)
        if unused:
            where += f" AND request_id NOT IN ({_USED})"
        onward = where
        last: tuple[int, ...] = ()
        while True:
            rest = f"WHERE {onward} ORDER BY id {'' if oldest_first else 'DESC'} LIMIT {_BATCH}"
            rows = self._database.read(
                lambda connection, rest=rest, last=last: request_rows(connection, rest, (*values, *last))  # type: ignore[misc]
            )
            yield from rows
            if len(rows) < _BATCH:
                return
            last = (rows[-1].number,)
            onward = f"{where} AND id {'>' if oldest_first else '<'} ?"

    def use(self, request_id: str, execution_id: str, *, now: datetime, emergency: bool) -> ApprovalUse | None:
        """Use a request up for one run: None means that this run has it, else who had it before. Durable.

        A record, a tombstone or a journal that names the request has used it, whatever became of the row that said so.
        LedgerDamagedError where rows of requests, decisions or uses were removed, where a decision on the request may
        have been moved away or damaged, and where a row of uses contradicts the record or the journal of its run.
        """
        row = {
            "request_id": request_id,
            "execution_id": execution_id,
            "used": format_time(now),
            "emergency": int(emergency),
        }

        def look(connection: Connection) -> tuple[int, frozenset[Pair], ApprovalUse | None]:
            newest = connection.execute(select(func.coalesce(func.max(executions.c.id), 0))).scalar_one()
            used = _use(connection, request_id) or _recorded(connection, request_id, after=0)
            return newest, frozenset() if used else require_recorded(connection, frozenset()), used

        # Before: it reads all records, and nobody else should have to wait for that.
        newest, compared, before = self._database.read(look)
        if before is not None:
            return before

        def work(connection: Connection) -> ApprovalUse | None:
            require_own_schema(connection.connection.cursor(), self._database.path)
            used = _use(connection, request_id) or _recorded(connection, request_id, after=newest)
            used = used or _in_a_journal(connection, self._database.path.parent, request_id)
            if used is None:
                require_recorded(connection, compared)
                row_counts(connection)
                survey(connection).require_whole(request_id)
                if uses_where(connection, "execution_id = ?", (execution_id,)):
                    message = f"a run {execution_id} used another approval before; choose another id"
                    raise DuplicateExecutionError(message)
                connection.execute(insert(approval_uses), row)
            return used

        return self._database.write(work)

    def emergencies(self) -> tuple[ApprovalUse, ...]:
        """Return every use of an emergency's grant, oldest first."""
        return self._database.read(lambda connection: uses_where(connection, "emergency != 0"))

    def use_by(self, execution_id: str) -> ApprovalUse | None:
        """Return what a run used, if anything."""
        found = self._database.read(lambda connection: uses_where(connection, "execution_id = ?", (execution_id,)))
        return found[0] if found else None

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
            require_own_schema(connection.connection.cursor(), self._database.path)
            try:
                with connection.begin_nested():
                    work(connection)
            except IntegrityError as error:
                if "UNIQUE" not in str(error.orig):
                    raise
                return False
            return True

        return self._database.write(attempt)


def _of_plan(plan_digest: str | None, plan_id: str | None) -> tuple[str, tuple[str, ...]]:
    wanted = {"plan_digest": plan_digest, "plan_id": plan_id}
    given = {name: value for name, value in wanted.items() if value is not None}
    return " AND ".join(["1", *(f"{name} = ?" for name in given)]), tuple(given.values())


def _use(connection: Connection, request_id: str) -> ApprovalUse | None:
    found = uses_where(connection, "request_id = ?", (request_id,))
    return found[0] if found else None


def _recorded(connection: Connection, request_id: str, *, after: int) -> ApprovalUse | None:
    found = recorded_use(connection, request_id, after=after)
    return None if found is None else ApprovalUse(request_id, *found, emergency=False)


def _in_a_journal(connection: Connection, root: Path, request_id: str) -> ApprovalUse | None:
    """Return the use that a journal tells of; LedgerDamagedError for a journal that contradicts its run's row."""
    rows = {use.execution_id: use.request_id for use in uses_where(connection, "1")}
    for named, execution_id, started in journal_uses(root):
        if named == request_id:
            return ApprovalUse(request_id, execution_id, started, emergency=False)
        if rows.get(execution_id, named) != named:
            raise LedgerDamagedError(
                f"the journal of {execution_id} says that it used the request {named}, and its row of approval_uses "
                f"names {rows[execution_id]}: somebody has changed it; look with `hearth fsck`"
            )
    return None
