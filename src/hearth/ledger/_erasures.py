"""LedgerErasures: disclosed values that are erased, and what stays said of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, tuple_

from hearth.errors import LedgerError, RecordError
from hearth.ledger._retention import objection_to
from hearth.ledger._tables import disclosures, erasures, executions
from hearth.record import ErasedValue, Erasure, canonical_bytes, format_time, strict_loads, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from hearth.ledger._database import Database

__all__ = ["LedgerErasures"]

_DOMAIN = b"HEARTH-erasure-v1\0"
_FIRST = "0" * 64

Place = tuple[int, str, str]
"""Sequence, pointer and digest of a disclosed value."""


class LedgerErasures:
    """Erases disclosed values of one ledger's records. The records keep their commitments, and every hash holds."""

    def __init__(self, database: Database, ledger_id: str) -> None:
        self._database = database
        self._ledger_id = ledger_id

    def erase(self, execution_id: str, places: Iterable[Place], *, by: str, reason: str) -> Erasure:
        """Remove salt and value at these places, keep what says so, and return that; durable, all or nothing.

        LedgerError where one of them is not there (any more), or the record or its plan is on hold. Bytes in the files
        are gone after the ledger's `retention.empty`.
        """
        wanted = sorted(set(places))

        def work(connection: Connection) -> Erasure:
            found = connection.execute(
                select(executions.c.id, executions.c.plan_id, executions.c.execution_hash).where(
                    executions.c.execution_id == execution_id
                )
            ).one_or_none()
            if found is None or not wanted:
                raise LedgerError(f"the ledger holds no disclosed value of {execution_id} to erase")
            if objection := objection_to(connection, execution_id, str(found.plan_id)):
                raise LedgerError(objection)
            table = disclosures
            place = tuple_(table.c.sequence, table.c.pointer, table.c.digest)
            removed = connection.execute(delete(table).where(table.c.execution == found.id, place.in_(wanted)))
            if removed.rowcount != len(wanted):
                raise LedgerError(
                    f"of {len(wanted)} disclosed values of {execution_id}, {removed.rowcount} are there by now; "
                    "nothing was erased. Look anew with `hearth redact`"
                )
            last = connection.execute(select(erasures.c.document).order_by(erasures.c.id.desc()).limit(1)).scalar()
            erasure = Erasure(
                ledger_id=self._ledger_id,
                previous=_FIRST if last is None else hashlib.sha256(_DOMAIN + last).hexdigest(),
                execution_id=execution_id,
                execution_hash=str(found.execution_hash),
                erased=tuple(ErasedValue(*place) for place in wanted),
                erased_at=format_time(utc_now()),
                by=by,
                reason=reason,
            )
            document = canonical_bytes(erasure.to_dict())
            connection.execute(insert(erasures).values(execution_id=execution_id, document=document))
            return erasure

        return self._database.write(work)

    def of(self, execution_id: str) -> tuple[Erasure, ...]:
        """Return what was erased of a record, oldest first; LedgerError where it cannot be read."""
        query = select(erasures.c.document).where(erasures.c.execution_id == execution_id).order_by(erasures.c.id)
        return tuple(map(_erasure, self._database.read(lambda connection: connection.scalars(query).all())))


def _erasure(raw: object) -> Erasure:
    try:
        return Erasure.from_dict(strict_loads(raw if isinstance(raw, bytes) else b""))
    except RecordError as error:
        raise LedgerError(f"what says that values were erased cannot be read ({error}); run `hearth fsck`") from error
