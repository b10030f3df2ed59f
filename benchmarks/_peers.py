"""The alternatives: the obvious way, structlog, sqlite3 and auditchain, each as its documentation says."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import auditchain
import orjson
import structlog

from benchmarks._events import EXECUTION_ID, STEP_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Details = Callable[[int], dict[str, Any]]

__all__ = [
    "AuditchainInMemory",
    "auditchain_sqlite",
    "json_hashlib",
    "json_hashlib_verify",
    "sqlite_batches",
    "structlog_orjson",
]


def _entry(number: int, head: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "execution_id": EXECUTION_ID,
        "sequence": number,
        "previous_event_hash": head,
        "timestamp": datetime.now(UTC).isoformat(),
        "event_type": "step_completed",
        "step_index": number,
        "step_name": STEP_NAME,
        "error_message": None,
        "details": details,
    }


def json_hashlib(events: int, details: Details, kept: list[tuple[bytes, str]] | None = None) -> int:
    """The obvious way: a dict, json.dumps with sorted keys, hashlib; no lock, no redaction, no canonical form."""
    head = "0" * 64
    lines = [] if kept is None else kept
    for number in range(events):
        raw = json.dumps(_entry(number, head, details(number)), sort_keys=True).encode()
        head = hashlib.sha256(raw).hexdigest()
        lines.append((raw, head))
    return events


def json_hashlib_verify(lines: list[tuple[bytes, str]]) -> int:
    """Check what `json_hashlib` wrote: every hash and every link."""
    head = "0" * 64
    for raw, stated in lines:
        assert json.loads(raw)["previous_event_hash"] == head  # noqa: S101 - a benchmark that must not measure nonsense
        head = hashlib.sha256(raw).hexdigest()
        assert head == stated  # noqa: S101 - as above
    return len(lines)


def structlog_orjson(events: int, details: Details) -> int:
    """Structlog with orjson into memory: no chain, no redaction."""
    logger = structlog.wrap_logger(
        structlog.BytesLogger(io.BytesIO()),
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
    )
    for number in range(events):
        logger.info(
            "step_completed", execution_id=EXECUTION_ID, step_index=number, step_name=STEP_NAME, details=details(number)
        )
    return events


class AuditchainInMemory:
    """auditchain's asynchronous log on its memory backend, the fastest chained library of the research."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def __call__(self, events: int, details: Details) -> int:
        """Append the events one by one."""
        return self._loop.run_until_complete(self._append(events, details))

    async def _append(self, events: int, details: Details) -> int:
        async with auditchain.AuditLog(auditchain.MemoryBackend()) as log:
            for number in range(events):
                await log.append(EXECUTION_ID, "step_completed", STEP_NAME, metadata=details(number))
        return events

    def close(self) -> None:
        """End the event loop."""
        self._loop.close()


def auditchain_sqlite(path: Path, events: int, details: Details, *, batch: int = 100) -> int:
    """Auditchain's SQLite backend with `append_many`, the fastest chained durable way of the research."""

    async def append() -> None:
        async with auditchain.AuditLog(auditchain.SqliteBackend(str(path))) as log:
            for first in range(0, events, batch):
                await log.append_many(
                    [
                        (EXECUTION_ID, "step_completed", STEP_NAME, details(number))
                        for number in range(first, min(first + batch, events))
                    ]
                )

    asyncio.run(append())
    return events


def sqlite_batches(path: Path, events: int, details: Details, *, batch: int = 100) -> int:
    """A plain sqlite3 table, WAL, synchronous FULL, a transaction for each hundred rows: no chain, no redaction."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE events "
        "(id INTEGER PRIMARY KEY, execution TEXT, at TEXT, kind TEXT, step INTEGER, name TEXT, details TEXT)"
    )
    for first in range(0, events, batch):
        with connection:
            connection.executemany(
                "INSERT INTO events (execution, at, kind, step, name, details) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        EXECUTION_ID,
                        datetime.now(UTC).isoformat(),
                        "step_completed",
                        number,
                        STEP_NAME,
                        json.dumps(details(number)),
                    )
                    for number in range(first, min(first + batch, events))
                ],
            )
    connection.close()
    return events
