"""Verifying an event, from a journal and from an exported record."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson

from benchmarks import _peers as peers
from benchmarks._events import EXECUTION_ID, STEP_NAME, flat
from benchmarks._report import Line, budget_line, peer_line
from benchmarks._timing import compare, ratio
from hearth.record import strict_loads, verify_document
from hearth.recorder import ExecutionObserver, Journal, verify_journal

__all__ = ["verifying"]

# Absolute budgets of the design, as ratios to the obvious way on the machine where they were set (16 µs an event).
_JOURNAL, _EXPORT = 4 / 16, 8 / 16


def verifying() -> list[Line]:
    """Every hash, link, count and field, beside the obvious way's check of hashes and links alone."""
    events = 8000
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        path = Path(name) / "bench.journal"
        with Journal.create(path) as journal:
            observer = ExecutionObserver(EXECUTION_ID, "plan", journal=journal)
            for number in range(events):
                observer.record_step_completed(number, STEP_NAME, flat(number))
            observer.mark_completed()
            exported = orjson.dumps(observer.get_execution_record("DRY_RUN").to_dict())
        obvious: list[tuple[bytes, str]] = []
        peers.json_hashlib(events, flat, obvious)

        def journal_check() -> int:
            if not verify_journal(path):
                raise AssertionError
            return events

        def export_check() -> int:
            if not verify_document(strict_loads(exported)):
                raise AssertionError
            return events

        taken = compare(
            {
                "HEARTH, journal": journal_check,
                "HEARTH, exported record": export_check,
                "json + hashlib": lambda: peers.json_hashlib_verify(obvious),
            },
            rounds=11,
        )
    lines = [peer_line(f"verify: {who}", samples) for who, samples in taken.items()]
    return [
        *lines,
        _absolute("verify from a journal", taken["HEARTH, journal"].spread[0], 4),
        _absolute("verify from an exported record", taken["HEARTH, exported record"].spread[0], 8),
        budget_line(
            "verify from a journal ÷ json + hashlib", ratio(taken["HEARTH, journal"], taken["json + hashlib"]), 1, "≤ 1"
        ),
    ]


def _absolute(what: str, figure: float, most: float) -> Line:
    return Line(f"{what}, least", f"{figure:.2f} µs", "", f"≤ {most} µs (orientation)", figure <= most)
