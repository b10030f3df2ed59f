"""Many processes do everything at once on one ledger: nothing that was acknowledged is lost, and nobody sees a lock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Approvals, back_up, fsck, initialise, list_holds, posture_history, restore_backup
from hearth.record import StepEventType
from tests import approving
from tests.fault._racers import PLANS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the racers fork, and look after orphans")

PLAN = """\
plan: plan-{number}
concurrency: 50
steps:
  - name: Append
    shell: echo {number} >> log-{number}.txt
"""
POLICY = "retention: {minimum_age: 1s}\nsensors: {refused_approvals: 1000}\n"
# Done; and what a race may come to: refused, stopped by the posture that another worsened.
CODES = {
    "request": {0},
    "approve": {0, 3},
    "deny": {0, 3},
    "run": {0, 3, 4},
    "store": {0, 4},
    "list": {0},
    "purge": {0, 3},
    "hold": {0},
    "release": {0},
    "worsen": {0},
    "better": {0, 3},
    "backup": {0},
}


@dataclass
class Deeds:
    """What all racers did, by kind."""

    all: list[dict[str, Any]] = field(default_factory=list)

    def done(self, what: str) -> list[dict[str, Any]]:
        return [deed for deed in self.all if deed["what"] == what and deed["code"] == 0]

    def subjects(self, what: str, at: int) -> Counter[str]:
        """How often each was named, as the word at this place."""
        return Counter(str(deed["words"][at]) for deed in self.done(what))


def race(folder: Path, repository: Path, processes: int, operations: int, seed: int) -> tuple[LedgerHome, Deeds]:
    home = initialise(folder / ".hearth").home
    approving.trust(home)
    with home.policy.open("a") as policy:
        policy.write(POLICY)
    for number in range(PLANS):
        (folder / f"plan-{number}.yaml").write_text(PLAN.format(number=number))
    command = [sys.executable, "-m", "tests.fault._racers", str(folder), str(processes), str(operations), str(seed)]
    ended = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=3000)
    assert (ended.returncode, ended.stderr) == (0, "")
    deeds = Deeds()
    for path in sorted(folder.glob("*.jsonl")):
        deeds.all += [json.loads(line) for line in path.read_text().splitlines()]
    return home, deeds


def hold_against(home: LedgerHome, deeds: Deeds) -> None:
    """Compare what is in the ledger with what was acknowledged."""
    for deed in deeds.all:
        said = f"{deed['id']} {deed['words']}: {deed['code']}\n{deed['out']}{deed['err']}"
        assert not deed["hung"], said
        assert "Traceback" not in deed["err"], said
        assert "is locked" not in deed["out"] + deed["err"], said
        assert "has been busy" not in deed["out"] + deed["err"], said
        denied = deed["what"] == "run" and deed["code"] == 1 and "was not begun: the request" in deed["err"]
        assert deed["code"] in CODES[deed["what"]] or denied, said

    with Ledger.open(home) as ledger:
        stored = set(ledger.iterate_ids())
        gone = {tombstone["execution_id"] for tombstone in ledger.retention.tombstones()}
        approvals = Approvals(home, ledger)
        asked = {view.asked.request_id: view for view in approvals.listing(limit=100_000)}
        decided = {(name, envelope.payload) for name in asked for envelope in ledger.approvals.decisions(name)}
        records = {name: ledger.get(name) for name in stored}
    assert not stored & gone
    # Runs: each that was acknowledged is there, or purged; each used an approval of its own.
    runs = [deed for deed in deeds.all if deed["what"] in {"run", "store"} and deed["code"] in {0, 4}]
    acknowledged = {deed["id"] for deed in runs if json.loads(deed["out"]).get("stored")}
    assert len(acknowledged) >= len(deeds.done("run")) + len(deeds.done("store"))
    assert acknowledged <= stored | gone
    assert set(deeds.subjects("purge", 1)) == gone
    for record in records.values():
        assert record.verify()
    uses = Counter(
        record.started["approval"]["request_id"] for record in records.values() if record.started["approval"]
    )
    assert not [name for name, times in uses.items() if times > 1], "one approval, two runs"
    spent = {name: view for name, view in asked.items() if view.use is not None}
    assert all(view.state in {"spent", "denied"} for view in spent.values())
    assert set(uses) <= set(spent)
    ran = sum(
        any(event.event_type is StepEventType.STEP_STARTED for event in record.step_events)
        for record in records.values()
        if record.live_mode_state == "LIVE"
    )
    live_gone = len(gone & {deed["id"] for deed in deeds.done("run")})
    lines = sum(len(path.read_text().split()) for path in home.root.parent.glob("log-*.txt"))
    assert len(deeds.done("run")) <= lines <= ran + live_gone
    assert lines <= len(spent)
    # Requests and decisions.
    for deed in deeds.done("request"):
        assert json.loads(deed["out"])["request_id"] in asked
    tags = {json.loads(payload).get("reason"): name for name, payload in decided}
    for deed in (*deeds.done("approve"), *deeds.done("deny")):
        assert tags.get(deed["id"]) == deed["words"][1], f"the decision {deed['id']} is lost"
    # Holds: a racer holds its own records only, and one after the other.
    held = deeds.subjects("hold", 2) - deeds.subjects("release", 2)
    assert {hold.name for hold in list_holds(home)} == set(held)
    # Postures: a history without gaps, with each change that was acknowledged.
    history = posture_history(home)
    assert [entry.kept.version for entry in history] == list(
        range(history[0].kept.version, history[-1].kept.version + 1)
    )
    assert all(entry.ok for entry in history)
    reasons = {entry.kept.why for entry in history}
    for deed in (*deeds.done("worsen"), *deeds.done("better")):
        told = json.loads(deed["out"])
        assert told["why"] in reasons
        assert told["version"] <= history[-1].kept.version
        if deed["what"] == "better":
            assert deed["id"] in reasons, f"the restoration {deed['id']} is lost"


def end_well(home: LedgerHome, deeds: Deeds) -> None:
    report = fsck(home)
    assert report.ok, report.findings
    assert fsck(home, repair=True).ok
    assert fsck(home).findings == ()
    folder = home.root.parent
    for number, deed in enumerate(deeds.done("backup")[:4]):
        restored = restore_backup(folder / deed["words"][1], folder / f"restored-{number}")
        assert restored.report.ok, restored.report.findings
    back_up(home, folder / "last.tar")


def kinds(deeds: Deeds) -> Iterable[str]:
    return {deed["what"] for deed in deeds.all if deed["code"] == 0}


def test_processes_that_do_everything_at_once(tmp_path: Path, repository: Path) -> None:
    home, deeds = race(tmp_path, repository, 8, 12, seed=4711)
    assert len(deeds.all) >= 96
    hold_against(home, deeds)
    end_well(home, deeds)
    # The comparison is worth nothing if it did not see what is missing.
    run = dict(deeds.done("store")[0], id="lost")
    with pytest.raises(AssertionError):
        hold_against(home, Deeds([*deeds.all, run]))
    with pytest.raises(AssertionError, match="the decision lost is lost"):
        hold_against(home, Deeds([*deeds.all, dict(deeds.done("approve")[0], id="lost")]))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2))
def test_twenty_processes_and_fifty_operations_each(seed: int, tmp_path: Path, repository: Path) -> None:
    home, deeds = race(tmp_path, repository, 20, 50, seed=seed)
    assert set(kinds(deeds)) == set(CODES)
    hold_against(home, deeds)
    end_well(home, deeds)
