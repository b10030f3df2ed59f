"""Memory: flat with a journal, and the bytes an event takes without one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._report import Line, figure_line

__all__ = ["memory"]

_WITH_JOURNAL = """
import gc, psutil
from pathlib import Path
from benchmarks._events import EXECUTION_ID, STEP_NAME, flat
from hearth.recorder import ExecutionObserver, Journal
with Journal.create(Path({path!r})) as journal:
    observer = ExecutionObserver(EXECUTION_ID, "plan", journal=journal)
    def go(first, last):
        for number in range(first, last):
            observer.record_step_completed(number, STEP_NAME, flat(number))
    go(0, 20_000)
    gc.collect()
    before = psutil.Process().memory_info().rss
    go(20_000, 1_020_000)
    gc.collect()
    print(psutil.Process().memory_info().rss - before)
"""

_WITHOUT = """
import gc, psutil
from benchmarks._events import EXECUTION_ID, STEP_NAME, flat
from hearth.recorder import ExecutionObserver
observer = ExecutionObserver(EXECUTION_ID, "plan")
def go(first, last):
    for number in range(first, last):
        observer.record_step_completed(number, STEP_NAME, flat(number))
go(0, 20_000)
gc.collect()
before = psutil.Process().memory_info().rss
go(20_000, 220_000)
gc.collect()
print((psutil.Process().memory_info().rss - before) / 200_000)
"""


def memory() -> list[Line]:
    """Resident memory of a fresh process, before and after."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        grown = _figure(_WITH_JOURNAL.format(path=str(Path(name) / "memory.journal")))
    return [
        figure_line("growth for a million events with a journal", grown / 1e6, 20, "MB"),
        figure_line("an event in memory, flat details", _figure(_WITHOUT), 450, "bytes"),
    ]


def _figure(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)
