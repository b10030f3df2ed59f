"""LedgerErasures: disclosed values that are erased, and what stays said of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, tuple_

from hearth.errors import LedgerError, RecordError
from hearth.ledger._retention import objection_to
from hearth.ledger._tables import disclosures, erasures, executions
from hearth.record import canonical_bytes, format_time, strict_loads, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from hearth.ledger._database import Database

__all__ = ["LedgerErasures"]

SCHEMA = "hearth/erasure/v1"
_DOMAIN = b"HEARTH-erasure-v1\0"
_FIRST = "0" * 64
_MEMBERS = {"schema", "ledger_id", "previous", "execution_id", "execution_hash", "erased", "erased_at", "by", "reason"}

Place = tuple[int, str, str]
"""Sequence, pointer and digest of a disclosed value."""


class LedgerErasures:
    """Erases disclosed values of one ledger's records. The records keep their commitments, and every hash holds."""

    def __init__(self, database: Database, ledger_id: str) -> None:
        self._database = database
        self._ledger_id = ledger_id

    def erase(self, execution_id: str, places: Iterable[Place], *, by: str, reason: str) -> dict[str, Any]:
        """Remove salt and value at these places, keep what says so, and return that; durable, all or nothing.

        LedgerError where one of them is not there (any more), or the record or its plan is on hold. Bytes in the files
        are gone after the ledger's `retention.empty`.
        """
        wanted = sorted(set(places))

        def work(connection: Connection) -> dict[str, Any]:
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
            document = {
                "schema": SCHEMA,
                "ledger_id": self._ledger_id,
                "previous": _FIRST if last is None else hashlib.sha256(_DOMAIN + last).hexdigest(),
                "execution_id": execution_id,
                "execution_hash": str(found.execution_hash),
                "erased": [
                    {"sequence": sequence, "pointer": pointer, "digest": digest} for sequence, pointer, digest in wanted
                ],
                "erased_at": format_time(utc_now()),
                "by": by,
                "reason": reason,
            }
            connection.execute(insert(erasures).values(execution_id=execution_id, document=canonical_bytes(document)))
            return document

        return self._database.write(work)

    def of(self, execution_id: str) -> tuple[dict[str, Any], ...]:
        """Return what was erased of a record, oldest first; LedgerError where it cannot be read."""
        query = select(erasures.c.document).where(erasures.c.execution_id == execution_id).order_by(erasures.c.id)
        return tuple(map(_document, self._database.read(lambda connection: connection.scalars(query).all())))


def _document(raw: object) -> dict[str, Any]:
    try:
        document = strict_loads(raw if isinstance(raw, bytes) else b"")
    except RecordError as error:
        raise LedgerError(f"what says that values were erased cannot be read ({error}); run `hearth fsck`") from error
    if not isinstance(document, dict) or document.keys() != _MEMBERS or document["schema"] != SCHEMA:
        raise LedgerError("what says that values were erased lacks a member; run `hearth fsck`")
    return document
