"""Ledger: the store of sealed records, with its search."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - part of the public signatures
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import func, insert, select, type_coerce
from sqlalchemy.types import NullType

from hearth.errors import DuplicateExecutionError, ExecutionNotFoundError, LedgerError, RecordError
from hearth.ledger._approvals import LedgerApprovals
from hearth.ledger._database import BUSY_SECONDS
from hearth.ledger._difference import difference
from hearth.ledger._erasures import LedgerErasures
from hearth.ledger._events import LedgerEvents
from hearth.ledger._logs import LedgerLogs
from hearth.ledger._postures import LedgerPostures
from hearth.ledger._retention import LedgerRetention, refuse_purged
from hearth.ledger._rows import disclosed_value, rows_of
from hearth.ledger._schema import create_database, open_database
from hearth.ledger._search import conditions, require_range
from hearth.ledger._summary import ExecutionSummary
from hearth.ledger._tables import disclosures as disclosures_table
from hearth.ledger._tables import execution_texts, executions
from hearth.record import (
    Disclosure,
    ExecutionRecord,
    ExecutionStatus,
    SealCause,
    format_time,
    parse_time,
    strict_loads,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from sqlalchemy import Connection

    from hearth.ledger._database import Database
    from hearth.ledger._home import LedgerHome
    from hearth.ledger._schema import Identity

__all__ = ["Ledger"]

Value = TypeVar("Value")

_CANDIDATES = 8
_BATCH = 500
_LAST_CHARACTER = "\U0010ffff"

_SUMMARY_COLUMNS = (
    executions.c.execution_id,
    executions.c.plan_id,
    executions.c.status,
    executions.c.cause,
    executions.c.live_mode,
    executions.c.started,
    executions.c.ended,
    executions.c.steps_completed,
    executions.c.steps_total,
    executions.c.effects,
    executions.c.execution_hash,
)


class Ledger:
    """Sealed records, approvals and the posture in one SQLite database, for any number of threads and processes.

    Open it with `Ledger.open`; it is its own context manager. A method that changed something has made it
    durable before it returns. Everything that goes wrong is a LedgerError (or a RecordError for a record that
    is damaged); writers that meet wait for each other up to a minute.
    """

    def __init__(self, home: LedgerHome, database: Database, identity: Identity) -> None:
        self.home = home
        self._database = database
        self._identity = identity
        self.postures = LedgerPostures(database)
        self.approvals = LedgerApprovals(database)

    @classmethod
    def open(cls, home: LedgerHome, *, create: bool = False, busy_seconds: float = BUSY_SECONDS) -> Ledger:
        """Open the ledger of a home; with `create`, make it first where there is none and never was one.

        A database that is missing, damaged, foreign or newer raises LedgerError and is left as it is.
        """
        if create:
            create_database(home)
        database, identity = open_database(home, busy_seconds=busy_seconds)
        return cls(home, database, identity)

    @property
    def ledger_id(self) -> str:
        """The ledger's random id (32 hex digits), the same for its whole life."""
        return self._identity.ledger_id

    @property
    def created(self) -> datetime:
        """When the ledger was made (aware UTC)."""
        return parse_time(self._identity.created)

    @property
    def retention(self) -> LedgerRetention:
        """What was purged, and what must not be."""
        return LedgerRetention(self._database, self.ledger_id)

    @property
    def erasures(self) -> LedgerErasures:
        """What was erased of disclosed values, and erasing them."""
        return LedgerErasures(self._database, self.ledger_id)

    @property
    def logs(self) -> LedgerLogs:
        """Which transparency log the ledger has, by its own word."""
        return LedgerLogs(self._database)

    def events(self, origin: str) -> LedgerEvents:
        """Return what a transparency log of this origin has to tell of."""
        return LedgerEvents(self, self._database, origin)

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self.postures.close()
        self.approvals.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({str(self.home.root)!r})"

    def store(self, record: ExecutionRecord, disclosures: Iterable[Disclosure] = ()) -> bool:
        """Keep a sealed record and the values disclosed beside it, durably and in one transaction.

        True when it was stored, False when the ledger holds this very record (same execution hash) already;
        then nothing changes, also not its disclosures. Another record under the id raises DuplicateExecutionError,
        a purged one ExecutionPurgedError; one that is not sealed or does not verify raises LedgerError.
        """
        rows = rows_of(record, disclosures)

        def work(connection: Connection) -> bool:
            execution_id = rows.execution["execution_id"]
            refuse_purged(connection, execution_id)
            present = connection.execute(
                select(executions.c.execution_hash).where(executions.c.execution_id == execution_id)
            ).scalar_one_or_none()
            if present == rows.execution["execution_hash"]:
                return False
            if present is not None:
                message = (
                    f"the ledger holds another record of execution {execution_id!r} (hash {present}); "
                    "the new one is not stored. Run it under another execution id"
                )
                raise DuplicateExecutionError(message)
            stored = connection.execute(insert(executions).values(**rows.execution, stored=format_time(utc_now())))
            for table, values in ((execution_texts, rows.texts), (disclosures_table, rows.disclosures)):
                if values:
                    connection.execute(insert(table), [{**value, "execution": stored.lastrowid} for value in values])
            # The journal may go once this is committed: what stands there now is what counts.
            differs = difference(connection, rows)
            if differs:
                message = (
                    f"{self.home.database}: execution {execution_id!r} does not come back as it was stored "
                    f"({differs}); nothing was stored. Something else writes into this database: find out what"
                )
                raise LedgerError(message)
            return True

        return self._database.write(work)

    def get(self, execution_id: str) -> ExecutionRecord:
        """Return a record. Whether it is true, its `verify` says; one that cannot be read raises RecordError."""
        execution_id = _text(execution_id)
        raw = self.get_bytes(execution_id)
        try:
            record = ExecutionRecord.from_dict(strict_loads(raw))
        except RecordError as error:
            message = f"execution {execution_id!r}: its record in {self.home.database} is damaged ({error})"
            raise RecordError(message, first_bad=error.first_bad) from error
        if record.execution_id != execution_id:
            message = (
                f"execution {execution_id!r}: {self.home.database} holds the record of {record.execution_id!r} "
                "under its id"
            )
            raise RecordError(message)
        return record

    def get_bytes(self, execution_id: str) -> bytes:
        """Return a record's JSON as it was stored: canonical, compact, without disclosures."""
        execution_id = _text(execution_id)
        # NullType: a damaged row may hold anything here, and a conversion would fail in its own way.
        column = type_coerce(executions.c.record, NullType())
        found = self._database.read(
            lambda connection: connection.execute(
                select(column).where(executions.c.execution_id == execution_id)
            ).one_or_none()
        )
        if found is None:
            self.retention.refuse(execution_id)
            message = (
                f"the ledger {self.home.root} holds no execution {execution_id!r}; `hearth list` shows what it has"
            )
            raise ExecutionNotFoundError(message)
        if not isinstance(found[0], bytes):
            message = f"execution {execution_id!r}: its record in {self.home.database} is damaged (not bytes)"
            raise RecordError(message)
        return found[0]

    def difference(self, record: ExecutionRecord) -> str:
        """Return in which column or text the ledger says something else of a stored record, "" if in none.

        Lists and searches use these; all of them follow from the record. An id that is not there is a difference.
        """
        rows = rows_of(record)
        return self._database.read(lambda connection: difference(connection, rows))

    def loose_rows(self) -> str:
        """Return which table has rows of an execution that is not there, "" if none has."""
        found = self._database.read(
            lambda connection: connection.exec_driver_sql("PRAGMA foreign_key_check").mappings().first()
        )
        return "" if found is None else f"{found['table']} has a row of an execution that is not there"

    def disclosures(self, execution_id: str) -> tuple[Disclosure, ...]:
        """Return the values that are kept beside a record, in the order of its entries; erased ones are gone."""
        table = disclosures_table
        found = self._database.read(
            lambda connection: connection.execute(
                select(table)
                .join(executions, executions.c.id == table.c.execution)
                .where(executions.c.execution_id == _text(execution_id))
                .order_by(table.c.sequence, table.c.id)
            ).all()
        )
        return tuple(
            Disclosure(
                sequence=row.sequence,
                pointer=row.pointer,
                salt=row.salt,
                value=disclosed_value(row.value, execution_id),
                digest=row.digest,
            )
            for row in found
        )

    def find_id(self, prefix: str) -> str:
        """Return the one execution id that is `prefix` or begins with it.

        ExecutionNotFoundError when there is none, or, naming the candidates, when there are several.
        """
        if not prefix:
            message = "no execution named: give its id, or the beginning of it; `hearth list` shows them"
            raise ExecutionNotFoundError(message)
        prefix = _text(prefix)
        self.retention.refuse(prefix)
        column = executions.c.execution_id
        query = (
            select(column)
            .where(column >= prefix, column < prefix + _LAST_CHARACTER)
            .order_by(column)
            .limit(_CANDIDATES + 1)
        )
        found = self._database.read(lambda connection: connection.execute(query).scalars().all())
        if not found:
            self.retention.refuse(prefix, beginning=True)
            message = f"the ledger {self.home.root} holds no execution that begins with {prefix!r}; see `hearth list`"
            raise ExecutionNotFoundError(message)
        # The shortest comes first: an id that is the prefix itself is meant, whatever else begins with it.
        if len(found) > 1 and found[0] != prefix:
            named = ", ".join(map(str, found[:_CANDIDATES])) + (", …" if len(found) > _CANDIDATES else "")
            message = f"{prefix!r} is the beginning of more than one execution id: {named}; give more of it"
            raise ExecutionNotFoundError(message)
        return str(found[0])

    def list(
        self,
        *,
        plan: str | None = None,
        status: ExecutionStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
        limit: int | None = 50,
        offset: int = 0,
    ) -> list[ExecutionSummary]:
        """Return executions, the latest started first; those of one start by the order of storing, latest first.

        `plan` is an id or a pattern with `*`; `since` (included) and `until` (excluded) are aware datetimes that the
        start is compared with; `text` is looked for in step names, errors, effects and the reason, whatever its
        case. `limit=None` gives all.
        """
        require_range(limit, offset)
        query = (
            select(*_SUMMARY_COLUMNS)
            .where(*conditions(plan=plan, status=status, since=since, until=until, text=text))
            .order_by(executions.c.started.desc(), executions.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [self._summary(row) for row in rows]

    def count(
        self,
        *,
        plan: str | None = None,
        status: ExecutionStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
    ) -> int:
        """Return how many executions `list` would give without a limit."""
        query = (
            select(func.count())
            .select_from(executions)
            .where(*conditions(plan=plan, status=status, since=since, until=until, text=text))
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def iterate_ids(self) -> Iterator[str]:
        """Yield all execution ids in the order of storing; memory is bounded and no transaction stays open.

        What is stored meanwhile is yielded too.
        """
        last = 0
        while True:
            query = (
                select(executions.c.id, executions.c.execution_id)
                .where(executions.c.id > last)
                .order_by(executions.c.id)
                .limit(_BATCH)
            )
            rows = self._database.read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]
            for row in rows:
                if not isinstance(row.execution_id, str) or row.id <= last:
                    message = f"{self.home.database}: row {row.id} of executions is damaged; restore the last backup"
                    raise LedgerError(message)
                last = row.id
                yield row.execution_id
            if len(rows) < _BATCH:
                return

    def _summary(self, row: Any) -> ExecutionSummary:  # noqa: ANN401 - a row of _SUMMARY_COLUMNS
        try:
            return ExecutionSummary(
                execution_id=_of(str, row.execution_id),
                plan_id=_of(str, row.plan_id),
                status=ExecutionStatus(row.status),
                cause=SealCause(row.cause),
                live_mode=_of(str, row.live_mode),
                started=parse_time(row.started),
                ended=parse_time(row.ended),
                steps_completed=_of(int, row.steps_completed),
                steps_total=None if row.steps_total is None else _of(int, row.steps_total),
                effects=_of(int, row.effects),
                execution_hash=_of(str, row.execution_hash),
            )
        except ValueError as error:
            message = (
                f"execution {row.execution_id!r}: its row in {self.home.database} is damaged ({error}); "
                "the record itself may be whole: `hearth verify` reads that"
            )
            raise LedgerError(message) from error


def _of(kind: type[Value], value: object) -> Value:
    """Return a column's value if it is of its kind; SQLite keeps whatever was written into a file."""
    if not isinstance(value, kind):
        message = f"{value!r} is not of type {kind.__name__}"
        raise ValueError(message)  # noqa: TRY004 - a finding about data, as from the enums beside it
    return value


def _text(value: str) -> str:
    """Return an id as the recorder writes it: lone surrogates, which no file can hold, as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()
