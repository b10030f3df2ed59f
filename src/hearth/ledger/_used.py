"""Which run used an approval up, whatever became of the row that says so, and whether rows were removed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from hearth.errors import LedgerDamagedError, RecordError
from hearth.ledger._tables import approval_decisions, approval_requests, approval_uses, executions, tombstones
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

__all__ = ["journal_uses", "recorded_use", "row_counts"]

_HASH = 64
_LONGEST_START = 1 << 20
# The rows that were ever added, and those that are there, of every table whose rows decide what runs.
_COUNTED = (approval_requests.name, approval_decisions.name, approval_uses.name)
_COUNTS = "SELECT " + ", ".join(  # noqa: S608 - constants
    f"(SELECT count(*) FROM {name}), coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{name}'), 0)"  # noqa: S608
    for name in _COUNTED
)


def recorded_use(connection: Connection, request_id: str, *, after: int = 0) -> tuple[str, str] | None:
    """Return the run whose record (numbered higher than `after`) or tombstone says that it used a request, and when.

    Only entry 0 says so: what a step wrote down is its own business. A record that names the request and cannot be read
    raises LedgerDamagedError. All of them are looked at, for no column beside a record vouches for its date.
    """
    needle = f'"request_id":"{request_id}"'.encode()
    query = (
        select(executions.c.execution_id, executions.c.record)
        .where(executions.c.id > after, func.instr(executions.c.record, needle) > 0)
        .order_by(executions.c.id)
    )
    for found in connection.execute(query):
        try:
            record = strict_loads(found.record)
            starts = [entry for entry in record["marks"] if entry["sequence"] == 0]
            started, approval = starts[0]["timestamp"], starts[0]["details"].get("approval")
        except (RecordError, LookupError, TypeError, AttributeError):
            raise LedgerDamagedError(
                f"the record of {found.execution_id} names the request {request_id} and cannot be read: it may have "
                "used the approval, which is not used now; look with `hearth fsck`, and restore a backup"
            ) from None
        if _request_of(approval) == request_id:
            return str(found.execution_id), str(started)
    gone = func.instr(tombstones.c.document, needle) > 0
    table = tombstones
    for name, purged, document in connection.execute(
        select(table.c.execution_id, table.c.purged, table.c.document).where(gone)
    ):
        try:
            named = _request_of(strict_loads(document))
        except (RecordError, TypeError):
            named = request_id  # which one it names cannot be told, and this one it may be
        if named == request_id:
            return str(name), str(purged)
    return None


def journal_uses(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the request, the run and the time of each journal of a ledger whose entry 0 names an approval.

    Those in quarantine count, too. One whose first line cannot be read tells nothing here.
    """
    for folder in (root / "journals", root / "quarantine"):
        try:
            paths = sorted(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LedgerDamagedError(
                f"{folder} cannot be read ({error.strerror}): a journal in it may name a use of the approval"
            ) from error
        for path in paths:
            entry = _first_entry(path)
            try:
                named = _request_of(entry["details"]["approval"])
                if named:
                    yield named, str(entry["execution_id"]), str(entry["timestamp"])
            except (LookupError, TypeError):
                continue


def _first_entry(path: Path) -> Any:  # noqa: ANN401 - a JSON tree
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            line = file.readline(_LONGEST_START) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        return strict_loads(line[_HASH + 1 :])
    except (OSError, RecordError):
        return {}


def _request_of(document: Any) -> str:  # noqa: ANN401 - a JSON tree
    """Return the request that entry 0's approval, or a tombstone, names; "" for none."""
    return str(document.get("request_id") or "") if isinstance(document, dict) else ""


def row_counts(connection: Connection) -> tuple[int, ...]:
    """Return how many rows there are and were ever written; LedgerDamagedError where one was removed.

    SQLite counts those that it gave, and HEARTH removes none.
    """
    counts = tuple(connection.exec_driver_sql(_COUNTS).one())
    for name, there, given in zip(_COUNTED, counts[::2], counts[1::2], strict=True):
        if there != given:
            raise LedgerDamagedError(
                f"rows of the table {name} were removed: there are {there}, and {given} were written; no "
                "approval is used while a denial or a use may be missing; look with `hearth fsck`, and restore a backup"
            )
    return counts
