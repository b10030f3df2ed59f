"""The transparency log: adding in memory and durably, memory over a million entries, a proof, checking all of it."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Line, figure_line
from benchmarks._timing import Samples
from hearth.evidence import Checkpoint, GrowingTiles, TransparencyLog, check_log
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["transparency_log"]

_ROUNDS = 7
_BATCH = 1000
_BATCHES = 40
_LARGE = 1_000_000
_MILLION = """
import gc, psutil
from hearth.evidence import GrowingTiles
tiles = GrowingTiles(0, lambda path: b"")
def go(first, last):
    for start in range(first, last, 1000):
        for number in range(start, start + 1000):
            tiles.append(b"%0200d" % number)
        tiles.take_files()
go(0, 20_000)
gc.collect()
before = psutil.Process().memory_info().rss
go(20_000, 1_020_000)
gc.collect()
print(psutil.Process().memory_info().rss - before)
"""


def transparency_log() -> list[Line]:
    """Entries of 200 bytes, a thousand at a time."""
    lines = [_at_least("log in memory, batches of 1,000", [_in_memory() for _ in range(_ROUNDS)], 100_000)]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        log = TransparencyLog.create(
            Path(name) / "log", Path(name) / "signed.json", SigningKey.generate(), origin="example.com/bench"
        )
        durable = [_durable(log) for _ in range(_ROUNDS)]
        lines.append(_at_least("log durable, a signed checkpoint for each 1,000", durable, 5_000))
        size = _to_a_million(log)
        chance = random.Random(1)  # noqa: S311 - no secret
        lines.append(_proofs(log, [chance.randrange(size) for _ in range(101)]))
        checked = [_verified(log, size) for _ in range(3)]
        lines.append(_at_least("log of a million, all hashes, tiles and root anew", checked, 300_000))
    done = subprocess.run([sys.executable, "-c", _MILLION], check=True, capture_output=True, text=True)
    return [*lines, figure_line("log, growth for a million entries", float(done.stdout) / 1e6, 20, "MB")]


def _entries(first: int) -> Iterable[bytes]:
    return [b"%0200d" % number for number in range(first, first + _BATCH)]


def _in_memory() -> float:
    tiles = GrowingTiles(0, lambda path: path.encode())
    batches = [_entries(number * _BATCH) for number in range(_BATCHES)]
    start = time.perf_counter()
    for batch in batches:
        for entry in batch:
            tiles.append(entry)
        tiles.take_files()
        tiles.root()
    return _BATCH * _BATCHES / (time.perf_counter() - start)


def _durable(log: TransparencyLog) -> float:
    batches = [_entries(number * _BATCH) for number in range(_BATCHES)]
    start = time.perf_counter()
    for batch in batches:
        log.append(batch)
    return _BATCH * _BATCHES / (time.perf_counter() - start)


def _to_a_million(log: TransparencyLog) -> int:
    while (size := log.checkpoint().size) < _LARGE:
        log.append(b"%0200d" % number for number in range(size, min(size + 20 * _BATCH, _LARGE)))
    return size


def _verified(log: TransparencyLog, size: int) -> float:
    start = time.perf_counter()
    report = check_log(log.files, lambda note: Checkpoint.parse(note.text))
    if not report.ok:
        raise RuntimeError("the log does not hold")
    return size / (time.perf_counter() - start)


def _proofs(log: TransparencyLog, indexes: Iterable[int]) -> Line:
    taken = []
    for index in indexes:
        start = time.perf_counter()
        log.inclusion(index)
        taken.append((time.perf_counter() - start) * 1000)
    samples = Samples(tuple(taken[1:]))
    low, high = samples.spread
    spread = f"{low:.2f}–{high:.2f}"
    name, kept = "log of a million, a proof of inclusion", samples.median <= 5  # noqa: PLR2004
    return Line(name, f"{samples.median:.2f} ms", spread, "≤ 5 ms", kept)


def _at_least(what: str, rates: list[float], least: float) -> Line:
    """Return a line of entries a second; the budget is a least one."""
    samples = Samples(tuple(rates))
    low, high = samples.spread
    return Line(
        what, f"{samples.median:,.0f}/s", f"{low:,.0f}–{high:,.0f}", f"≥ {least:,.0f}/s", samples.median >= least
    )
