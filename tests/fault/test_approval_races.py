"""One approval is one run, however many processes want it at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import Ledger
from hearth.operations import Records, initialise
from hearth.plan import load_plan
from tests import approving

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """\
plan: append
concurrency: 50
steps:
  - name: Append
    file: {append: log.txt, content: "once\\n"}
"""
RACER = """
import json, sys, time
from pathlib import Path
from hearth.errors import ApprovalRefusedError
from hearth.ledger import LedgerHome
from hearth.operations import run_plan
from hearth.plan import load_plan
from hearth.security import LiveMode

folder, request, go = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
plan = load_plan(folder / "plan.yaml")
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
try:
    outcome = run_plan(plan, home=LedgerHome(folder / ".hearth"), mode=LiveMode.LIVE, request_id=request)
except ApprovalRefusedError as error:
    print(json.dumps({"code": error.code}))
else:
    print(json.dumps({"status": str(outcome.record.status), "error": str(outcome.error)}))
"""


@pytest.mark.parametrize("processes", [20])
def test_twenty_processes_race_for_one_approval_and_one_wins(tmp_path: Path, processes: int) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    home = initialise(tmp_path / ".hearth").home
    request = approving.approve(home, load_plan(tmp_path / "plan.yaml"), approving.trust(home))
    with home.policy.open("a") as policy:  # else so many refusals would worsen the posture, and stop the winner
        policy.write("sensors: {refused_approvals: 1000}\n")
    go = tmp_path / "go"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), request, str(go)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n", racer.stderr.read() if racer.stderr else ""
    go.touch()
    ends = []
    for racer in racers:
        out, err = racer.communicate(timeout=120)
        assert racer.returncode == 0, err
        ends.append(json.loads(out))
    assert sorted(end.get("code", end.get("status")) for end in ends) == ["completed", *["spent"] * (processes - 1)]
    assert (tmp_path / "log.txt").read_text() == "once\n"
    with Records(home) as records:
        (summary,) = records.ledger.list()
        assert records.ledger.get(summary.execution_id).started["approval"]["request_id"] == request
        assert records.journals() == []
    with Ledger.open(home) as ledger:
        assert ledger.approvals.refusals_since(ledger.created) == processes - 1
