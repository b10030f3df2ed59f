"""How long a step of another process lives after a lockdown was committed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Line
from benchmarks._timing import Samples
from hearth.ledger import Ledger, LedgerHome
from hearth.security import KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lockdown"]

_RUNS = 20
_BUSY_RUNS = 10
_BUSY = 4
_MEDIAN_MS = 200
_WORST_MS = 1000
_PLAN = "plan: sleepy\nsteps:\n  - name: Sleep\n    shell: 'echo $$ > pid.new; mv pid.new pid; sleep 300 & wait'\n"
_POLICY = 'staging:\n  targets: ["host:*"]\n'


def lockdown() -> list[Line]:
    """Real runs by the command `hearth run`, each stopped from another process: on a quiet machine, and under load."""
    with _load(0):
        quiet = Samples(tuple(_stop_one() for _ in range(_RUNS)))
    with _load(_BUSY):
        busy = Samples(tuple(_stop_one() for _ in range(_BUSY_RUNS)))
    return [
        _line("lockdown to the step's death", quiet),
        _line(f"the same beside {_BUSY} processes that compute", busy),
    ]


def _line(what: str, samples: Samples) -> Line:
    low, high = samples.spread
    kept = samples.median <= _MEDIAN_MS and high <= _WORST_MS
    budget = f"≤ {_MEDIAN_MS} ms, worst ≤ {_WORST_MS} ms"
    return Line(what, f"{samples.median:.1f} ms", f"{low:.1f}–{high:.1f}", budget, kept)


def _stop_one() -> float:
    """Return the milliseconds from the commit of a lockdown to the death of the step's processes."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        home = LedgerHome.create(folder / ".hearth")
        (folder / "plan.yaml").write_text(_PLAN, encoding="utf-8")
        home.policy.write_text(_POLICY, encoding="utf-8")
        with Ledger.open(home, create=True) as ledger:
            run = subprocess.Popen(
                [sys.executable, "-m", "hearth", "run", "plan.yaml", "--mode", "staging"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while not (folder / "pid").exists():
                time.sleep(0.01)
            group = int((folder / "pid").read_text(encoding="utf-8"))
            time.sleep(0.1)
            ledger.postures.compare_and_set(0, KeptPosture(Posture(SecurityState.LOCKDOWN), 1, "bench", "bench"))
            committed = time.perf_counter()
            while _lives(group):
                time.sleep(0.0005)
            taken = (time.perf_counter() - committed) * 1000
            run.wait()
    return taken


def _lives(group: int) -> bool:
    """Whether the group's first process is there and no zombie."""
    try:
        status = Path(f"/proc/{group}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


@contextmanager
def _load(processes: int) -> Iterator[None]:
    """Keep the processors busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
