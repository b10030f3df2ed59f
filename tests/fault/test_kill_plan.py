"""kill -9 of running plans: no step acts without its intent on disk, every synced entry is there, recovery seals."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.kernel import HearthKernel
from hearth.ledger import LedgerHome
from hearth.record import ExecutionStatus, SealCause, StepEventType
from hearth.recorder._reading import scan_journal

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.record import ExecutionRecord

STEPS = 6
# One process loads everything once and forks a victim for each moment: as good as a new process, and cheap.
DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
import sqlalchemy.dialects.sqlite, sqlalchemy.connectors.asyncio
from hearth.execution import ApprovalExecutor, ContentStore, load_policy
from hearth.execution.tasks import file, shell
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger, LedgerHome
from hearth.plan import InputCopies, load_tasks, parse_plan

folder, seeds, steps = Path(sys.argv[1]), range(int(sys.argv[2])), int(sys.argv[3])
load_tasks()

def victim(seed, ready):
    acted = f"acted-{seed}"
    plan = parse_plan(
        {"plan": f"victim-{seed}", "steps": [
            {"name": f"step {number}", "shell": f"echo {number} >> {acted}"} if number % 2 else
            {"name": f"step {number}", "file": {"append": acted, "content": f"{number}\\n"}}
            for number in range(steps)
        ]},
        folder=folder,
    )
    (folder / acted).touch()
    with HearthKernel.open(folder / ".hearth") as kernel:
        kernel.arm("LIVE", who="test", why="kill -9")
        os.write(ready, b"!")
        kernel.executor().execute(plan, execution_id=f"run-{seed}")

for seed in seeds:
    begun, ready = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            victim(seed, ready)
        finally:
            os._exit(0)
    os.close(ready)
    os.read(begun, 1)
    os.close(begun)
    time.sleep(random.Random(seed).uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def hearth(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hearth", "--home", str(folder / ".hearth"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def intents(record: ExecutionRecord) -> set[int | None]:
    return {event.step_index for event in record.step_events if event.event_type is StepEventType.STEP_STARTED}


def die_at(folder: Path, moments: int) -> None:
    """Kill as many runs, then hold what acted against what is on record, before and after recovery."""
    assert hearth(folder, "init").returncode == 0
    home = LedgerHome(folder / ".hearth")
    driver = [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder), str(moments), str(STEPS)]
    done = subprocess.run(driver, capture_output=True, text=True, check=False, timeout=60 + moments * 2)
    assert done.returncode == 0, done.stderr
    acted = {
        seed: [int(line) for line in (folder / f"acted-{seed}").read_text().split()]
        for seed in range(moments)
        if (folder / f"acted-{seed}").exists()
    }
    before: dict[str, int] = {}
    for seed, steps in acted.items():
        assert steps == sorted(set(steps)), f"run {seed}: a step ran twice, or out of order"
        journal = home.journal_path(f"run-{seed}")
        if journal.exists() and journal.stat().st_size:
            scan = scan_journal(journal, keep=True)
            started = {entry["step_index"] for entry in scan.entries if entry["event_type"] == "step_started"}
            assert set(steps) <= started, f"run {seed}: a step acted without its intent on disk"
            before[f"run-{seed}"] = len(scan.entries)
        elif steps:
            with HearthKernel.open(home) as kernel:
                assert set(steps) <= intents(kernel.ledger.get(f"run-{seed}"))

    assert hearth(folder, "recover", "--json").returncode == 0
    assert not [path for path in home.journals.iterdir() if path.suffix == ".journal"]
    checked = hearth(folder, "verify", "--all", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with HearthKernel.open(home) as kernel:
        for seed, steps in acted.items():
            if f"run-{seed}" not in before and not steps:
                continue  # it died before its journal held a whole line
            record = kernel.ledger.get(f"run-{seed}")
            assert record.verify()
            assert set(steps) <= intents(record)
            assert len(record.entries) >= before.get(f"run-{seed}", 0)
            if record.cause is not SealCause.COMPLETED:
                assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    assert any(before.values()), "no run was killed in its middle: choose other moments"


def test_fifty_moments_of_running_plans(tmp_path: Path) -> None:
    die_at(tmp_path, 50)


@pytest.mark.soak
def test_five_hundred_moments_of_running_plans(tmp_path: Path) -> None:
    die_at(tmp_path, 500)
