"""Recording an event, in memory and durable, beside the alternatives."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _peers as peers
from benchmarks._events import EXECUTION_ID, STEP_NAME, flat, nested, prose
from benchmarks._report import Line, budget_line, peer_line
from benchmarks._timing import compare, ratio
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["durable", "in_memory", "starts"]

_ROUNDS = 15


def _record(observer: ExecutionObserver, events: int, details: Callable[[int], dict[str, Any]]) -> int:
    record = observer.record_step_completed
    for number in range(events):
        record(number, STEP_NAME, details(number))
    return events


def in_memory() -> list[Line]:
    """Chained, canonical, redaction on, thread-safe, in memory."""
    events = 4000
    auditchain = peers.AuditchainInMemory()
    lines = []
    for name, details in (("flat", flat), ("nested", nested), ("prose", prose)):
        contenders: dict[str, Callable[[], int]] = {
            "HEARTH": lambda details=details: _record(ExecutionObserver(EXECUTION_ID, "plan"), events, details),
            "json.dumps + hashlib": lambda details=details: peers.json_hashlib(events, details),
        }
        if details is flat:
            contenders["structlog + orjson (no chain)"] = lambda: peers.structlog_orjson(events, flat)
            contenders["auditchain, in memory"] = lambda: auditchain(events // 4, flat)
        taken = compare(contenders, rounds=_ROUNDS)
        lines += [peer_line(f"record in memory, {name}: {who}", samples) for who, samples in taken.items()]
        most, named = (1 / 2, "≤ 1/2") if details is flat else (1 / 1.3, "≤ 1/1.3")
        against = ratio(taken["HEARTH"], taken["json.dumps + hashlib"])
        bound = budget_line(f"record in memory, {name}: HEARTH ÷ json.dumps + hashlib", against, most, named)
        lines.append(bound if details is not prose else peer_line(bound.what, against, "×"))
        if details is flat:
            chained = ratio(taken["HEARTH"], taken["auditchain, in memory"])
            lines.append(budget_line("record in memory, flat: HEARTH ÷ auditchain", chained, 1 / 4, "≤ 1/4"))
    auditchain.close()
    return lines


def durable() -> list[Line]:
    """The same, durable by group commit."""
    events = 10_000
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        counter = iter(range(10_000))

        def hearth() -> int:
            with Journal.create(folder / f"{next(counter)}.journal") as journal:
                _record(ExecutionObserver(EXECUTION_ID, "plan", journal=journal), events, flat)
            return events

        taken = compare(
            {
                "HEARTH": hearth,
                "sqlite3, batches of 100 (no chain)": lambda: peers.sqlite_batches(
                    folder / f"{next(counter)}.db", events, flat
                ),
                "auditchain, SQLite, many(100)": lambda: peers.auditchain_sqlite(
                    folder / f"{next(counter)}.db", events // 5, flat
                ),
            },
            rounds=7,
        )
    lines = [peer_line(f"record durably, group commit: {who}", samples) for who, samples in taken.items()]
    plain = ratio(taken["HEARTH"], taken["sqlite3, batches of 100 (no chain)"])
    chained = ratio(taken["HEARTH"], taken["auditchain, SQLite, many(100)"])
    return [
        *lines,
        budget_line("record durably: HEARTH ÷ sqlite3", plain, 2 / 3, "≤ 2/3"),
        budget_line("record durably: HEARTH ÷ auditchain", chained, 1 / 8, "≤ 1/8"),
    ]


def starts() -> list[Line]:
    """A step's start with a journal, against one fdatasync of as many bytes on the same disk."""
    steps = 200
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        counter = iter(range(10_000))

        def hearth() -> int:
            with Journal.create(folder / f"{next(counter)}.journal") as journal:
                observer = ExecutionObserver(EXECUTION_ID, "plan", journal=journal)
                for number in range(steps):
                    observer.record_step_started(number, STEP_NAME, flat(number))
            return steps

        def bare() -> int:
            line = b"x" * 450 + b"\n"
            descriptor = os.open(folder / f"{next(counter)}.bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for _ in range(steps):
                os.write(descriptor, line)
                sync(descriptor)
            os.close(descriptor)
            return steps

        taken = compare({"HEARTH": hearth, "write + fdatasync": bare}, rounds=15)
    lines = [peer_line(f"step_started with a journal: {who}", samples) for who, samples in taken.items()]
    against = ratio(taken["HEARTH"], taken["write + fdatasync"])
    return [*lines, budget_line("step_started: HEARTH ÷ one fdatasync", against, 1.3, "≤ 1.3")]
