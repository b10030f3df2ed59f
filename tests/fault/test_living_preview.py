"""What is cleared away while a preview is under way is never what it needs, and all of it once it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import LedgerHome
from hearth.observe import probe
from hearth.operations import Records, fsck, initialise, recover

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")
PLAN = """
plan: hearth-uses
inputs: [data.txt, .owner]
steps:
  - {name: Wait, shell: "until ls | grep -qx go; do sleep 0.05; done"}
  - {name: Use, shell: "cat data.txt .owner > out.txt"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    monkeypatch.chdir(tmp_path)
    initialise(tmp_path / ".hearth")
    (tmp_path / "plan.yaml").write_text(PLAN)
    for name in ("data.txt", ".owner"):
        (tmp_path / name).write_text(f"{name}\n")
    return LedgerHome(tmp_path / ".hearth")


@pytest.fixture
def preview(home: LedgerHome) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "hearth", "preview", "--diff", "plan.yaml"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(1000):
                if list(home.runs.rglob("data.txt")):
                    break
                assert process.poll() is None
                time.sleep(0.02)
            else:
                pytest.fail("it made no copies of its inputs")
            yield process
        finally:
            process.kill()


def test_its_copies_of_inputs_are_spared_while_it_lives(home: LedgerHome, preview: subprocess.Popen[str]) -> None:
    with Records(home) as records:
        recover(records)
    told = fsck(home, repair=True)
    assert not [one.where for one in told.findings if one.where.startswith("runs/")]
    (home.root.parent / "go").touch()
    shown = preview.communicate(timeout=60)[0]
    assert "+data.txt" in shown
    assert "+.owner" in shown
    assert preview.returncode == 0
    assert not list(home.runs.iterdir())


def test_they_are_told_and_cleared_once_it_was_killed(home: LedgerHome, preview: subprocess.Popen[str]) -> None:
    preview.send_signal(signal.SIGKILL)
    preview.wait()
    (left,) = home.runs.iterdir()
    told = {one.where: one.what for one in fsck(home).findings}
    assert told[f"runs/{left.name}"] == "private copies of a preview's inputs, of a process that is gone"
    with Records(home) as records:
        recover(records)
    assert not list(home.runs.iterdir())
