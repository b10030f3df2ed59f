"""Runs, purges, backups and checks on one ledger at the same time: nothing that a record needs goes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from hearth.ledger import Ledger
from hearth.operations import fsck, initialise, restore_backup

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 12
# All runs print the same, so each finds the output of others there, and each purge would like to remove it.
RUNNER = """
import logging, sys
from pathlib import Path
from hearth.ledger import LedgerHome
from hearth.operations import run_plan
from hearth.plan import parse_plan
from hearth.security import LiveMode
root, name, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
plan = parse_plan(
    {"plan": name, "steps": [{"name": "Say", "shell": "seq 3000"}, {"name": "Again", "shell": "seq 4000"}]},
    folder=root.parent,
)
for at in range(number):
    run_plan(plan, home=LedgerHome(root), mode=LiveMode.STAGING, execution_id=f"{name}-{at}")
"""
PURGER = """
import sys
from datetime import timedelta
from pathlib import Path
from hearth.ledger import LedgerHome
from hearth.operations import purge
home = LedgerHome(Path(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    report = purge(home, older_than=timedelta(), reason=sys.argv[2])
    assert report.emptied
"""
CHECKER = """
import sys
from pathlib import Path
from hearth.operations import back_up, fsck
from hearth.ledger import LedgerHome
home = LedgerHome(Path(sys.argv[1]))
for at in range(int(sys.argv[3])):
    report = fsck(home)
    assert not report.damaged, report.findings
    back_up(home, home.root.parent / f"{at}.tar")
"""


def test_nothing_that_is_needed_goes(tmp_path: Path) -> None:
    home = initialise(tmp_path / ".hearth").home
    home.policy.write_text('staging: {targets: ["*"]}\nretention: {minimum_age: 1s}\n', encoding="utf-8")
    jobs = [(RUNNER, f"plan-{number}", RUNS) for number in range(4)]
    jobs += [(PURGER, "one", 8), (PURGER, "two", 8), (CHECKER, "", 4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(home.root), name, str(number)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for code, name, number in jobs
    ]
    told = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(jobs), "\n".join(told)
    assert "database is locked" not in "".join(told)
    report = fsck(home)
    assert report.ok, report.findings
    # On a busy machine the purgers may have come before any run was old enough.
    time.sleep(1.1)
    last = [sys.executable, "-W", "ignore", "-c", PURGER, str(home.root), "last", "1"]
    subprocess.run(last, check=True, capture_output=True, timeout=120)
    with Ledger.open(home) as ledger:
        left, gone = set(ledger.iterate_ids()), {one["execution_id"] for one in ledger.retention.tombstones()}
    assert left | gone == {f"plan-{number}-{at}" for number in range(4) for at in range(RUNS)}
    assert not left & gone
    assert gone
    for at in range(4):
        assert restore_backup(tmp_path / f"{at}.tar", tmp_path / f"r{at}").report.ok
    fsck(home, repair=True)
    assert not fsck(home).damaged
