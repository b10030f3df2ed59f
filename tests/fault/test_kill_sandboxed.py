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

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    die_at(folder, 8)


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
