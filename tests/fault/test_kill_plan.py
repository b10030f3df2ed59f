"""kill -9 of running plans: no step acts without its intent on disk, every synced entry is there, recovery seals.

Each kill ends with fsck, and one approval is one run at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.kernel import HearthKernel
from hearth.ledger import LedgerHome
from hearth.operations import fsck
from hearth.record import ExecutionStatus, SealCause, StepEventType
from hearth.recorder._reading import scan_journal

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.record import ExecutionRecord

STEPS = 6
# One process loads everything once and forks a victim for each moment: as good as a new process, and cheap.
DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path
import sqlalchemy.dialects.sqlite, sqlalchemy.connectors.asyncio
from hearth.execution.tasks import file, shell
from hearth.ledger import LedgerHome
from hearth.operations import fsck, initialise, load_key, run_plan
from hearth.plan import load_tasks, parse_plan
from hearth.security import LiveMode
from tests import approving

folder, seeds, steps = Path(sys.argv[1]), range(int(sys.argv[2])), int(sys.argv[3])
load_tasks()

def plan_of(seed):
    acted = f"acted-{seed}"
    return parse_plan(
        {"plan": f"victim-{seed}", "steps": [
            {"name": f"step {number}", "shell": f"echo {number} >> {acted}"} if number % 2 else
            {"name": f"step {number}", "file": {"append": acted, "content": f"{number}\\n"}}
            for number in range(steps)
        ]},
        folder=folder,
    )

home = initialise(folder / ".hearth").home
key = load_key(home, approving.trust(home))

def victim(name, plan, request):
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id=f"run-{name}")

whole = plan_of("whole")
victim("whole", whole, approving.approve(home, whole, key))  # everything is loaded then
for seed in seeds:
    plan = plan_of(seed)
    request = approving.approve(home, plan, key)
    (folder / f"acted-{seed}").touch()
    begun, ready = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(ready, b"!")
            victim(seed, plan, request)
        finally:
            os._exit(0)
    os.close(ready)
    os.read(begun, 1)
    os.close(begun)
    give_up = time.monotonic() + 30
    while seed % 4 and not (folder / f"acted-{seed}").stat().st_size and time.monotonic() < give_up:
        time.sleep(0.0005)  # how long it takes to begin is the machine's business
    time.sleep(random.Random(seed).uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    report = fsck(home)
    found = [str(finding) for finding in report.findings]
    print(json.dumps({"request": request, "ok": report.ok, "found": found}), flush=True)
"""


def hearth(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hearth", "--home", str(folder / ".hearth"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def intents(record: ExecutionRecord) -> set[int | None]:
    return {event.step_index for event in record.step_events if event.event_type is StepEventType.STEP_STARTED}


def die_at(folder: Path, repository: Path, moments: int) -> None:
    """Kill as many runs, then hold what acted against what is on record, before and after recovery."""
    home = LedgerHome(folder / ".hearth")
    driver = [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder), str(moments), str(STEPS)]
    done = subprocess.run(
        driver, cwd=repository, capture_output=True, text=True, check=False, timeout=120 + moments * 6
    )
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == moments
    assert [kill["found"] for kill in kills if not kill["ok"]] == [], "fsck after a kill"
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
            use = kernel.ledger.approvals.use_by(f"run-{seed}")
            assert use is not None, f"run {seed}: it began without an approval that it used up"
            assert use.request_id == record.started["approval"]["request_id"] == kills[seed]["request"]
            if record.cause is not SealCause.COMPLETED:
                assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    report = fsck(home)
    assert report.ok, report.findings
    fsck(home, repair=True)
    assert fsck(home).findings == ()
    in_the_middle = sum(count > 0 for count in before.values())
    assert in_the_middle > moments / 4, "too few runs were killed in their middle: choose other moments"


def test_fifty_moments_of_running_plans(tmp_path: Path, repository: Path) -> None:
    die_at(tmp_path, repository, 50)


@pytest.mark.soak
def test_five_hundred_moments_of_running_plans(tmp_path: Path, repository: Path) -> None:
    die_at(tmp_path, repository, 500)
