"""What Stage 4 adds to a step, what `hearth --help` costs, and how large an exported record is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks._report import Line, budget_line, figure_line, peer_line
from benchmarks._timing import Samples, compare, ratio
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.recorder import ExecutionObserver, Journal

__all__ = ["help_start", "sizes", "stage4"]


@dataclass(frozen=True)
class _Step:
    index: int
    name: str
    task_type: str = "python"


@dataclass(frozen=True)
class _Plan:
    id: str
    steps: tuple[_Step, ...]


def stage4() -> list[Line]:
    """Steps that do nothing, with a journal: checks, records and both syncs are all that is left."""
    steps = 50
    plan = _Plan("bench", tuple(_Step(number, f"step {number}") for number in range(steps)))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)

        def run() -> int:
            executor = ApprovalExecutor(
                HearthKernel(), execute_step=lambda _: None, journal=lambda identity: Journal.create(folder / identity)
            )
            executor.execute(plan)
            return steps

        taken = compare({"HEARTH": run}, rounds=15)["HEARTH"]
    line = peer_line("Stage 4's own cost a step", Samples(tuple(value / 1000 for value in taken.values)), "ms")
    return [Line(line.what, line.figure, line.spread, "≤ 2 ms", taken.median <= 2000)]  # noqa: PLR2004 - the budget


def help_start() -> list[Line]:
    """`hearth --help` in a fresh process, beside importing click and rich."""

    def run(*arguments: str) -> int:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return 1

    taken = compare(
        {
            "hearth --help": lambda: run("-m", "hearth", "--help"),
            "import click, rich.console": lambda: run("-c", "import click, rich.console"),
        },
        rounds=15,
    )
    lines = [
        peer_line(f"start: {who}", Samples(tuple(value / 1000 for value in samples.values)), "ms")
        for who, samples in taken.items()
    ]
    against = ratio(taken["hearth --help"], taken["import click, rich.console"])
    return [*lines, budget_line("start: hearth --help ÷ import click, rich.console", against, 1.5, "≤ 1.5")]


def sizes() -> list[Line]:
    """An exported record, compact, short id, no effects."""
    lines = []
    for steps, most in ((5, 6), (10, 11)):
        observer = ExecutionObserver("run-1", "plan")
        for number in range(steps):
            with observer.step(number, f"step {number}"):
                pass
        observer.mark_completed()
        size = len(orjson.dumps(observer.get_execution_record("LIVE").to_dict()))
        lines.append(figure_line(f"size of a record of {steps} steps", size, most * 1024, "bytes"))
    return lines
