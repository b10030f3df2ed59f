"""What Stage 4 adds to a step, what `hearth --help` costs, and how large an exported record is."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks._report import Line, budget_line, figure_line, peer_line
from benchmarks._timing import Samples, compare, ratio
from hearth.execution import TaskResult
from hearth.execution.tasks.shell import ShellTask
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import Approvals, PlanArchive, initialise, keygen, load_key, trust_key
from hearth.plan import load_plan, load_tasks
from hearth.recorder import ExecutionObserver
from hearth.security import LiveMode

if TYPE_CHECKING:
    from hearth.execution import TaskContext
    from hearth.ledger import LedgerHome
    from hearth.operations import TrustedAs
    from hearth.plan import Plan

__all__ = ["help_start", "sizes", "stage4"]

_FEW, _MANY = 2, 102
_ROUNDS = 15


class _Nothing(ShellTask):
    """To plan, approval and policy the shell's task, and nothing is done."""

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401, ARG002 - the port prescribes it
        """Be done."""
        return TaskResult()


def stage4() -> list[Line]:
    """Approved LIVE runs on a ledger whose steps do nothing: a long one less a short one, by the steps between them.

    Left are, for each step: the posture that all processes share, the gate, the policy, the signed approval, the plan's
    digest, its inputs and their copies, the disk's room, both entries and their syncs, and their share of storing.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        home = initialise(folder / ".hearth").home
        trust_key(home, "bench", keygen(folder / "bench.pem"), ("approver", "operator"))
        signer = load_key(home, folder / "bench.pem")
        (folder / "data.txt").write_text("some input\n", encoding="utf-8")
        few, many = (_plan(folder, steps) for steps in (_FEW, _MANY))
        taken = []
        for number in range(_ROUNDS + 1):
            order = (few, many) if number % 2 else (many, few)
            seconds = {len(plan.steps): _run_live(home, plan, signer) for plan in order}
            if number:  # the first round warms up
                taken.append((seconds[_MANY] - seconds[_FEW]) * 1000 / (_MANY - _FEW))
    samples = Samples(tuple(taken))
    line = peer_line("Stage 4's own cost a step, all checks on", samples, "ms")
    return [Line(line.what, line.figure, line.spread, "≤ 2 ms", samples.median <= 2)]  # noqa: PLR2004 - the budget


def _plan(folder: Path, steps: int) -> Plan:
    path = folder / f"plan-{steps}.yaml"
    listed = "".join(f"  - {{name: step {number}, shell: 'true'}}\n" for number in range(steps))
    path.write_text(f"plan: bench-{steps}\ninputs: [data.txt]\nsteps:\n{listed}", encoding="utf-8")
    return load_plan(path)


def _run_live(home: LedgerHome, plan: Plan, signer: TrustedAs) -> float:
    """Return the seconds of one run, without those of its approval."""
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).approve_own(
            plan, signer, requester="bench", reason="a benchmark", mode=LiveMode.LIVE
        )
    tasks: dict[str, Any] = {**load_tasks(), "shell": _Nothing()}
    with HearthKernel.open(home) as kernel:
        kernel.arm(LiveMode.LIVE, who="bench", why="a benchmark")
        executor = kernel.executor(
            tasks=tasks,
            approval=kernel.approval(view.asked.request_id),
            plan_copy=PlanArchive(home).keep(plan),
        )
        gc.collect()
        start = time.perf_counter()
        executor.execute(plan, mode=LiveMode.LIVE)
        return time.perf_counter() - start


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
