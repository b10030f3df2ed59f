"""How long a step of another process lives after a lockdown was committed.

Timed are the step's own process and one that got away from its group: forked twice, in a session of its own.
"""

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
_OWN, _STRAY = "pid", "stray"  # files with the ids of the two
_PLAN = """\
plan: sleepy
steps:
  - name: Sleep
    shell: |
      (setsid sh -c 'echo $$ > stray.new; mv stray.new stray; exec sleep 300' &)
      echo $$ > pid.new; mv pid.new pid; sleep 300 & wait
"""
_POLICY = 'staging:\n  targets: ["host:*"]\n'


def lockdown() -> list[Line]:
    """Real runs by the command `hearth run`, each stopped from another process: on a quiet machine, and under load."""
    with _load(0):
        quiet = [_stop_one() for _ in range(_RUNS)]
    with _load(_BUSY):
        busy = [_stop_one() for _ in range(_BUSY_RUNS)]
    stray = "lockdown to the death of its child in another session"
    beside = f"beside {_BUSY} processes that compute"
    return [
        _line("lockdown to the step's death", quiet, _OWN),
        _line(stray, quiet, _STRAY),
        _line(f"lockdown to the step's death, {beside}", busy, _OWN),
        _line(f"{stray}, {beside}", busy, _STRAY),
    ]


def _line(what: str, taken: list[dict[str, float]], which: str) -> Line:
    samples = Samples(tuple(one[which] for one in taken))
    low, high = samples.spread
    kept = samples.median <= _MEDIAN_MS and high <= _WORST_MS
    budget = f"≤ {_MEDIAN_MS} ms, worst ≤ {_WORST_MS} ms"
    return Line(what, f"{samples.median:.1f} ms", f"{low:.1f}–{high:.1f}", budget, kept)


def _stop_one() -> dict[str, float]:
    """Return, for each of the two, the milliseconds from the commit of a lockdown to its death."""
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
            while not all((folder / which).exists() for which in (_OWN, _STRAY)):
                if run.poll() is not None:
                    message = f"the run ended with {run.returncode} before there was anything to stop"
                    raise RuntimeError(message)
                time.sleep(0.01)
            living = {which: int((folder / which).read_text(encoding="utf-8")) for which in (_OWN, _STRAY)}
            time.sleep(0.1)
            ledger.postures.compare_and_set(0, KeptPosture(Posture(SecurityState.LOCKDOWN), 1, "bench", "bench"))
            committed = time.perf_counter()
            taken: dict[str, float] = {}
            while living:
                for which in [which for which, process in living.items() if not _lives(process)]:
                    taken[which] = (time.perf_counter() - committed) * 1000
                    del living[which]
                time.sleep(0.0005)
            run.wait()
    return taken


def _lives(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
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
