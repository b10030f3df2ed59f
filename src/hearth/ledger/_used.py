"""Which run used an approval up, whatever became of the row that says so, and whether rows were removed."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerDamagedError, RecordError
from hearth.ledger._tables import approval_decisions, approval_requests, approval_uses
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

__all__ = ["Pair", "journal_uses", "recorded_use", "require_recorded", "row_counts"]

_HASH = 64
_LONGEST_START = 1 << 20
# The rows that were ever added, and those that are there, of every table whose rows decide what runs.
_COUNTED = (approval_requests.name, approval_decisions.name, approval_uses.name)
_COUNTS = "SELECT " + ", ".join(  # noqa: S608 - constants
    f"(SELECT count(*) FROM {name} NOT INDEXED), (SELECT min(id) FROM {name} NOT INDEXED), "  # noqa: S608
    f"(SELECT max(id) FROM {name} NOT INDEXED), (SELECT seq FROM sqlite_sequence WHERE name = '{name}')"
    for name in _COUNTED
)
# A digit or letter of a request's id, written as JSON can write it too: what names the request else has its bare id.
_ESCAPED = (b"\\u003", b"\\u006")

Pair = tuple[str, str]


def recorded_use(connection: Connection, request_id: str, *, after: int = 0) -> tuple[str, str] | None:
    """Return the run whose record (numbered higher than `after`) or tombstone says that it used a request, and when.

    Only entry 0 says so: what a step wrote down is its own business. A record that names the request and cannot be read
    raises LedgerDamagedError. All of them are looked at, for no column beside a record vouches for its date.
    """
    needles = (request_id.encode(), *_ESCAPED)
    holding = " OR ".join(["instr(CAST({0} AS BLOB), ?) > 0"] * len(needles))
    for name, raw in connection.exec_driver_sql(
        "SELECT execution_id, CAST(record AS BLOB) FROM executions NOT INDEXED "  # noqa: S608 - constants
        f"WHERE id > ? AND ({holding.format('record')}) ORDER BY id",
        (after, *needles),
    ):
        try:
            started, named = _start(raw)
        except (RecordError, LookupError, TypeError, AttributeError):
            raise LedgerDamagedError(
                f"the record of {name} may name the request {request_id} and cannot be read: it may have "
                "used the approval, which is not used now; look with `hearth fsck`, and restore a backup"
            ) from None
        if request_id in named:
            return str(name), started
    for name, purged, raw in connection.exec_driver_sql(
        "SELECT execution_id, purged, CAST(document AS BLOB) FROM tombstones NOT INDEXED "  # noqa: S608 - constants
        f"WHERE {holding.format('document')} ORDER BY id",
        needles,
    ):
        try:
            named_there = _request_of(strict_loads(raw))
        except (RecordError, TypeError):
            named_there = request_id  # which one it names cannot be told, and this one it may be
        if named_there == request_id:
            return str(name), str(purged)
    return None


def require_recorded(connection: Connection, compared: frozenset[Pair]) -> frozenset[Pair]:
    """Raise LedgerDamagedError where a use's row names another request than the record of its run does.

    Return the pairs of request and run that hold; those that were `compared` before are not looked at again.
    """
    numbers = {name: number for number, name in connection.exec_driver_sql(_NUMBERS)}
    pairs = [(str(one), str(two)) for one, two in connection.exec_driver_sql(_PAIRS)]
    for request_id, name in pairs:
        if (request_id, name) in compared or name not in numbers:
            continue
        needle = f'"request_id":"{request_id}"'.encode()
        query = "SELECT CASE WHEN instr(CAST(record AS BLOB), ?) = 0 THEN record END FROM executions WHERE id = ?"
        raw = connection.exec_driver_sql(query, (needle, numbers[name])).scalar_one()
        if raw is None:
            continue
        try:
            holds = _start(raw)[1] == {request_id}
        except (RecordError, LookupError, TypeError, AttributeError):
            holds = False
        if not holds:
            raise LedgerDamagedError(
                f"the row of approval_uses says that {name} used the request {request_id}, and its record does not: "
                "somebody has changed one of them, so which approval it used is not known, and none is used now; look "
                "with `hearth fsck`, and restore a backup"
            )
    return frozenset(pairs)


_NUMBERS = "SELECT id, execution_id FROM executions NOT INDEXED"
_PAIRS = "SELECT request_id, execution_id FROM approval_uses NOT INDEXED"


def _start(raw: bytes) -> tuple[str, set[str]]:
    """Return when a record began, and the requests that its entry 0 names: "" for none, several for a forged one."""
    starts = [entry for entry in strict_loads(raw)["marks"] if entry["sequence"] == 0]
    return str(starts[0]["timestamp"]), {_request_of(entry["details"].get("approval")) for entry in starts}


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


def row_counts(connection: Connection) -> tuple[Any, ...]:
    """Return how many rows there are and were ever written; LedgerDamagedError where one was removed or renumbered.

    SQLite counts those that it gave, from 1 on, and HEARTH removes none.
    """
    counts = tuple(connection.exec_driver_sql(_COUNTS).one())
    for at, name in enumerate(_COUNTED):
        there, first, last, given = counts[4 * at : 4 * at + 4]
        if (there, first, last) != ((given, 1, given) if given else (0, None, None)):
            raise LedgerDamagedError(
                f"rows of the table {name} were removed or renumbered: there are {there}, from {first} to {last}, and "
                f"{given or 0} were written; no approval is used while a denial or a use may be missing; look with "
                "`hearth fsck`, and restore a backup"
            )
    return counts
