"""Recording an event, in memory and durable, beside the alternatives."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _peers as peers
from benchmarks._events import EXECUTION_ID, STEP_NAME, flat, nested, prose
from benchmarks._report import Line, budget_line, peer_line
from benchmarks._timing import Samples, compare, ratio
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["durable", "in_memory", "seals", "starts"]

_ROUNDS = 61  # short ones: what moves the machine lasts longer than that


def _record(observer: ExecutionObserver, events: int, details: Callable[[int], dict[str, Any]]) -> int:
    record = observer.record_step_completed
    for number in range(events):
        record(number, STEP_NAME, details(number))
    return events


def _record_in_memory(events: int, details: Callable[[int], dict[str, Any]]) -> int:
    return _record(ExecutionObserver(EXECUTION_ID, "plan"), events, details)


def in_memory() -> list[Line]:
    """Chained, canonical, redaction on, thread-safe, in memory."""
    events = 2000
    auditchain = peers.AuditchainInMemory()
    lines = []
    for name, details in (("flat", flat), ("nested", nested), ("prose", prose)):
        contenders: dict[str, Callable[[], int]] = {
            "HEARTH": partial(_record_in_memory, events, details),
            "json.dumps + hashlib": partial(peers.json_hashlib, events, details),
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
    """A step's start with a journal, against one write and fdatasync of as many bytes on the same disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, ExitStack() as stack:

        def steps_of(number: int) -> Callable[[int], Callable[[], object]]:
            journal = stack.enter_context(Journal.create(Path(name, f"{number}.journal")))
            observer = ExecutionObserver(EXECUTION_ID, "plan", journal=journal)
            return lambda step: lambda: observer.record_step_started(step, STEP_NAME, flat(step))

        return _beside_one_sync("step_started", Path(name), steps_of)


def seals() -> list[Line]:
    """The seal of a short journal, likewise; each needs a journal of its own, which is made before the clock starts."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, ExitStack() as stack:

        def seals_of(number: int) -> Callable[[int], Callable[[], object]]:
            def prepared(seal: int) -> Callable[[], object]:
                stack.close()  # the one before
                journal = stack.enter_context(Journal.create(Path(name, f"{number}-{seal}.journal")))
                observer = ExecutionObserver(EXECUTION_ID, "plan", journal=journal)
                observer.record_step_started(0, STEP_NAME)
                observer.record_step_completed(0, STEP_NAME)
                return observer.mark_completed

            return prepared

        return _beside_one_sync("seal", Path(name), seals_of)


def _beside_one_sync(
    what: str, folder: Path, ours_of: Callable[[int], Callable[[int], Callable[[], object]]]
) -> list[Line]:
    """Time something durable beside one write and fdatasync of 450 bytes.

    The two take turns, one operation each: a disk's speed changes from one second to the next. `ours_of(round)(number)`
    prepares one operation, outside of the time that counts.
    """
    sync = getattr(os, "fdatasync", os.fsync)
    line = b"x" * 450 + b"\n"
    ours: list[float] = []
    bare: list[float] = []
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write_and_sync() -> None:
        os.write(descriptor, line)
        sync(descriptor)

    try:
        for number in range(_ROUNDS):
            prepare = ours_of(number)
            taken: dict[bool, list[int]] = {True: [], False: []}
            for operation in range(100):
                act = prepare(operation)
                for mine in (True, False) if operation % 2 else (False, True):
                    began = time.perf_counter_ns()
                    (act if mine else write_and_sync)()
                    taken[mine].append(time.perf_counter_ns() - began)
            ours.append(statistics.median(taken[True]) / 1000)
            bare.append(statistics.median(taken[False]) / 1000)
    finally:
        os.close(descriptor)
    mine_all, bare_all = Samples(tuple(ours)), Samples(tuple(bare))
    return [
        peer_line(f"{what} with a journal: HEARTH", mine_all),
        peer_line(f"{what} with a journal: write + fdatasync", bare_all),
        budget_line(f"{what}: HEARTH ÷ one fdatasync", ratio(mine_all, bare_all), 1.3, "≤ 1.3"),
    ]
