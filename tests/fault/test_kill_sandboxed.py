"""kill -9 of runs in sandboxes: a step's changes are all on the host or none of them, and nothing is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import LedgerHome
from hearth.observe import probe
from hearth.operations import Records, fsck, initialise, load_key, recover
from hearth.plan import load_plan
from tests import approving
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS, FILES = 3, 25
PLAN = "plan: victim\nsteps:\n" + "".join(
    f"  - name: step {step}\n"
    f'    shell: "for i in $(seq {FILES}); do echo {step} > f$i; done; echo {step} > new-{step}"\n'
    f'    effects: [{{file_system: "f*"}}, {{file_system: "new-*"}}]\n'
    for step in range(STEPS)
)
SEED = 20261122

pytestmark = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a ledger, the plan, and the files that it changes; no sandbox of it runs afterwards."""
    initialise(tmp_path / ".hearth")
    (tmp_path / "plan.yaml").write_text(PLAN)
    approving.trust(LedgerHome(tmp_path / ".hearth"))
    yield tmp_path
    assert not processes_of(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """Every process whose words name the folder, or whose current folder lies in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
            here = str((entry / "cwd").readlink())
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (str(folder) in words or here.startswith(str(folder))):
            found.append(f"{entry.name} {words}")
    return found


def on_host(folder: Path) -> list[set[str]]:
    """What the files hold, and which new ones there are."""
    return [
        {(folder / f"f{number}").read_text().strip() for number in range(1, FILES + 1)},
        {path.name for path in folder.glob("new-*")},
    ]


def die_at(folder: Path, moments: int) -> None:
    home = LedgerHome(folder / ".hearth")
    key = load_key(home, folder / "ann.pem")
    chance = random.Random(SEED)  # noqa: S311 - repeatable
    took = 1.0
    for moment in range(-1, moments):  # the first one runs to its end, and says how long that takes
        for number in range(1, FILES + 1):
            (folder / f"f{number}").write_text("before\n")
        for path in folder.glob("new-*"):
            path.unlink()
        request = approving.approve(home, load_plan(folder / "plan.yaml"), key)
        words = [
            "run",
            "plan.yaml",
            "--mode",
            "live",
            "--sandbox",
            "--approval",
            request,
            "--id",
            f"run-{moment}",
            "-q",
        ]
        began = time.monotonic()
        run = subprocess.Popen([sys.executable, "-m", "hearth", *words], cwd=folder, stdout=subprocess.DEVNULL)
        if moment < 0:
            assert run.wait(60) == 0
            took = time.monotonic() - began
            assert on_host(folder) == [{str(STEPS - 1)}, {f"new-{step}" for step in range(STEPS)}]
            continue
        time.sleep(chance.uniform(took * 0.3, took))
        run.send_signal(signal.SIGKILL)
        run.wait()
        for _ in range(500):
            if not processes_of(folder):
                break
            time.sleep(0.01)
        with Records(home) as records:
            recovered = recover(records)
        assert all(one.ok for one in recovered), recovered
        contents, new = on_host(folder)
        assert len(contents) == 1, f"moment {moment}: a step is half on the host: {contents}"
        (content,) = contents
        done = 0 if content == "before" else int(content) + 1
        assert new == {f"new-{step}" for step in range(done)}, f"moment {moment}: {content}, {new}"
        assert not [path.name for path in folder.iterdir() if path.name.startswith(".hearth-")], moment
        report = fsck(home, repair=True)
        assert report.ok, report.findings
        assert fsck(home).findings == (), moment


def test_sampled_kills(folder: Path) -> None:
    die_at(folder, 4)


@pytest.mark.soak
def test_many_kills(folder: Path) -> None:
    die_at(folder, 150)


def test_a_commit_that_was_cut_off_is_named_by_recover(folder: Path) -> None:
    """A journal without its end is what a crash in the middle leaves; the command says what it did about it."""
    home = LedgerHome(folder / ".hearth")
    (home.commits / "run-x-0.unprepared").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "hearth", "recover", "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert not list(home.commits.iterdir())


# Runs the command line until a commit's journal gets a mark, and dies before that is written, or right after.
DIES = """
import os, sys
from hearth.observe._commit_journal import CommitJournal
from hearth.cli import main
kind, before = sys.argv.pop(1), sys.argv.pop(1) == "before"
mark = CommitJournal.mark
def dying(self, said, **more):
    if said == kind and before:
        os._exit(77)
    mark(self, said, **more)
    if said == kind:
        os._exit(77)
CommitJournal.mark = dying
main()
"""


@pytest.fixture
def begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """What runs the plan until its first step's commit has come so far, and dies there."""
    monkeypatch.chdir(folder)
    home = LedgerHome(folder / ".hearth")
    for number in range(1, FILES + 1):
        (folder / f"f{number}").write_text("before\n")
    request = approving.approve(home, load_plan(folder / "plan.yaml"), load_key(home, folder / "ann.pem"))

    def run_until(kind: str, when: str) -> None:
        words = ["run", "plan.yaml", "--mode", "live", "--sandbox", "--approval", request, "--id", "cut", "-q"]
        died = subprocess.run([sys.executable, "-c", DIES, kind, when, *words], cwd=folder, check=False)
        assert died.returncode == 77

    return run_until


@pytest.mark.parametrize("kind, when", [("committed", "after"), ("done", "after")])
def test_a_step_whose_commit_had_reached_the_host_is_recorded_as_completed(
    folder: Path, begun: Callable[[str, str], None], kind: str, when: str
) -> None:
    begun(kind, when)
    told = hearth("recover", code=0).stdout
    record = document("show", "cut")["record"]
    assert on_host(folder) == [{"0"}, {"new-0"}]
    assert ("finished  cut: a step's changes had all reached the host" in told) == (kind == "committed")
    (end,) = [event for event in record["step_events"] if event["event_type"] == "step_completed"]
    assert end["details"]["committed"]
    assert end["details"]["recovered"]
    effects = record["side_effects_report"]["side_effects_observed"]
    assert len(effects) == FILES + 1
    assert {effect["origin"] for effect in effects} == {"observed"}
    modified = next(effect for effect in effects if effect["description"].endswith("f1 was modified"))
    before = modified["details"]["before"]["sha256"]
    assert hearth("show", "cut", "--content", before, code=0).stdout == "before\n"
    assert modified["details"]["declared"] == "f*"
    assert "its outcome is unknown" not in hearth("rollback", "cut").stdout
    hearth("verify", "cut", code=0)
    report = fsck(LedgerHome(folder / ".hearth"))
    assert report.ok
    assert not [one for one in report.findings if end["details"]["manifest"]["sha256"][2:] in one.where]


def test_a_step_whose_commit_was_taken_back_is_recorded_as_failed(
    folder: Path, begun: Callable[[str, str], None]
) -> None:
    begun("committed", "before")
    told = hearth("recover", code=0).stdout
    record = document("show", "cut")["record"]
    assert on_host(folder) == [{"before"}, set()]
    assert "taken back  cut: what a step had begun to commit to the host was taken back" in told
    (end,) = [event for event in record["step_events"] if event["event_type"] == "step_failed"]
    assert end["details"]["committed"] is False
    assert "what had begun was taken back" in end["error_message"]
    assert record["side_effects_report"]["side_effects_observed"] == []
    hearth("verify", "cut", code=0)


def test_what_somebody_changed_meanwhile_is_named_by_recover(folder: Path, begun: Callable[[str, str], None]) -> None:
    begun("committed", "before")
    (folder / "f1").write_text("somebody else's\n")
    told = " ".join(hearth("recover", "cut", code=1).stdout.split())
    assert "CONFLICT cut: of what a step had begun to commit to the host, not everything could be taken back" in told
    assert "f1: it is neither what it was nor what was committed" in told
    assert (folder / "f1").read_text() == "somebody else's\n"
