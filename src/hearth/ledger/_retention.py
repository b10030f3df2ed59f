"""LedgerRetention: what was purged and what stayed of it, and what must not be purged."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, insert, select, update

from hearth.errors import ExecutionPurgedError, LedgerError, RecordError
from hearth.ledger._tables import executions, legal_holds, tombstones
from hearth.record import canonical_bytes, format_time, strict_loads, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from hearth.ledger._database import Database

__all__ = ["Hold", "LedgerRetention", "objection_to", "refuse_purged"]

SCHEMA = "hearth/tombstone/v1"
_DOMAIN = b"HEARTH-tombstone-v1\0"
_FIRST = "0" * 64
_CHECKPOINT_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A legal hold on an execution, or on every record of a plan; times are UTC, as text."""

    kind: Literal["execution", "plan"]
    name: str
    who: str
    why: str
    created: str
    released: str | None = None
    released_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}


class LedgerRetention:
    """Holds, purges and tombstones of one ledger. Holds are released, never removed; tombstones stay as they are."""

    def __init__(self, database: Database, ledger_id: str) -> None:
        self._database = database
        self._ledger_id = ledger_id

    # --- holds

    def hold(self, kind: Literal["execution", "plan"], name: str, *, who: str, why: str) -> Hold:
        """Hold an execution or a plan from now on, durably.

        LedgerError when it is held already; ExecutionPurgedError when it was purged, perhaps a moment ago.
        """
        fresh = Hold(kind=kind, name=name, who=who, why=why, created=format_time(utc_now()))

        def work(connection: Connection) -> Hold:
            if kind == "execution":
                refuse_purged(connection, name)
            if _held(connection, kind, name):
                raise LedgerError(f"the {kind} {name} is on hold already; `hearth hold list` says why")
            row = {key: value for key, value in fresh.to_dict().items() if value is not None}
            connection.execute(insert(legal_holds).values(**row))
            return fresh

        return self._database.write(work)

    def release(self, kind: Literal["execution", "plan"], name: str, *, who: str, why: str) -> None:
        """End the hold on an execution or a plan; LedgerError when there is none."""

        def work(connection: Connection) -> None:
            table = legal_holds
            changed = connection.execute(
                update(table)
                .where(table.c.kind == kind, table.c.name == name, table.c.released.is_(None))
                .values(released=format_time(utc_now()), released_by=f"{who}: {why}")
            )
            if not changed.rowcount:
                raise LedgerError(f"the {kind} {name} is not on hold; `hearth hold list` shows what is")

        self._database.write(work)

    def holds(self, *, released: bool = False) -> tuple[Hold, ...]:
        """Return the holds that stand, oldest first; with `released`, also those that ended."""
        query = select(*(legal_holds.c[name] for name in Hold.__slots__)).order_by(legal_holds.c.id)
        if not released:
            query = query.where(legal_holds.c.released.is_(None))
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return tuple(Hold(**row) for row in rows)

    # --- purging

    def choose(self, *, plan: str | None = None, before: datetime | None = None) -> tuple[str, ...]:
        """Return the ids of the records of a plan, or that ended before a time, or both; the oldest first."""
        query = select(executions.c.execution_id).order_by(executions.c.ended, executions.c.id)
        if plan is not None:
            query = query.where(executions.c.plan_id == plan)
        if before is not None:
            query = query.where(executions.c.ended < format_time(before))
        return tuple(map(str, self._database.read(lambda connection: connection.scalars(query).all())))

    def objection(self, execution_id: str, plan_id: str) -> str:
        """Return the hold that stands against purging a record now, "" for none."""
        return self._database.read(lambda connection: objection_to(connection, execution_id, plan_id))

    def purge(self, facts: Mapping[str, Any], *, by: str, reason: str) -> dict[str, Any]:
        """Remove one record with its texts and disclosures, leave its tombstone, and return that; all or nothing.

        `facts` are the tombstone's members that follow from the record. LedgerError when there is an objection, or
        another record stands there by now. Bytes in the files are gone after `empty`.
        """

        def work(connection: Connection) -> dict[str, Any]:
            execution_id = facts["execution_id"]
            refuse_purged(connection, execution_id)
            table = executions
            found = connection.execute(
                select(table.c.id).where(
                    table.c.execution_id == execution_id, table.c.execution_hash == facts["execution_hash"]
                )
            ).one_or_none()
            objection = objection_to(connection, execution_id, facts["plan_id"])
            if found is None or objection:
                raise LedgerError(objection or f"the execution {execution_id} is not there as it was read before")
            last = connection.execute(select(tombstones.c.document).order_by(tombstones.c.id.desc()).limit(1)).scalar()
            document = {
                "schema": SCHEMA,
                "ledger_id": self._ledger_id,
                "previous": _FIRST if last is None else hashlib.sha256(_DOMAIN + last).hexdigest(),
                "row": found.id,
                "purged": format_time(utc_now()),
                "by": by,
                "reason": reason,
                **facts,
            }
            connection.execute(
                insert(tombstones).values(
                    execution_id=execution_id,
                    execution_hash=facts["execution_hash"],
                    purged=document["purged"],
                    document=canonical_bytes(document),
                )
            )
            connection.execute(delete(table).where(table.c.id == found.id))
            return document

        return self._database.write(work)

    def empty(self) -> bool:
        """Write the whole database anew and empty its write-ahead log, so that nothing removed can be read in them.

        SQLite overwrites what is deleted, but not the copies that moving cells between pages leaves behind. False
        where a reader kept the log from being emptied: call again. It takes as long as copying the file.
        """

        def work(connection: Connection) -> bool:
            connection.exec_driver_sql("COMMIT")  # neither can be done within a transaction
            connection.exec_driver_sql("VACUUM")
            deadline = time.monotonic() + _CHECKPOINT_SECONDS
            while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE_SECONDS)
            return True

        return self._database.read(work)

    # --- tombstones

    def tombstones(self) -> tuple[dict[str, Any], ...]:
        """Return all tombstones, the latest first."""
        query = select(tombstones.c.document).order_by(tombstones.c.id.desc())
        found = self._database.read(lambda connection: connection.scalars(query).all())
        return tuple(map(_document, found))

    def refuse(self, name: str, *, beginning: bool = False) -> None:
        """Raise ExecutionPurgedError where `name` is the id of a purged execution, or the beginning of only one."""
        self._database.read(lambda connection: refuse_purged(connection, name, beginning=beginning))


def refuse_purged(connection: Connection, name: str, *, beginning: bool = False) -> None:
    """Raise ExecutionPurgedError where `name` is the id of a purged execution, or the beginning of only one."""
    column = tombstones.c.execution_id
    query = select(tombstones.c.document).where(column == name)
    if beginning:
        query = select(tombstones.c.document).where(column >= name, column < name + "\U0010ffff").limit(2)
    found = connection.scalars(query).all()
    if len(found) == 1:
        raise ExecutionPurgedError(_document(found[0]))


def _document(raw: object) -> dict[str, Any]:
    try:
        document = strict_loads(raw if isinstance(raw, bytes) else b"")
    except RecordError as error:
        raise LedgerError(f"a tombstone cannot be read ({error}); run `hearth fsck`") from error
    wanted = {"execution_id", "plan_id", "purged", "by", "reason", "execution_hash"}
    if not isinstance(document, dict) or not wanted <= document.keys():
        raise LedgerError("a tombstone lacks a member; run `hearth fsck`")
    return document


def objection_to(connection: Connection, execution_id: str, plan_id: str) -> str:
    """Return the hold that stands against removing anything of a record now, "" for none."""
    for kind, name in (("execution", execution_id), ("plan", plan_id)):
        held = _held(connection, kind, name)
        if held:
            return f"the {kind} {name} is on hold since {held[0]} by {held[1]}: {held[2]}"
    return ""


def _held(connection: Connection, kind: str, name: str) -> tuple[str, str, str] | None:
    table = legal_holds
    found = connection.execute(
        select(table.c.created, table.c.who, table.c.why).where(
            table.c.kind == kind, table.c.name == name, table.c.released.is_(None)
        )
    ).first()
    return None if found is None else (found.created, found.who, found.why)
