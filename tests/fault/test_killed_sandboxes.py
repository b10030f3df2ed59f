"""What kill -9 of a preview or a sandboxed run leaves is cleared by the next one, and by hearth recover."""

from __future__ import annotations

import os
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

pytestmark = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")
PLAN = """
plan: waits
steps:
  - name: write
    shell: "mkdir -p new/x; echo 1 > new/x/f; chmod 0 new/x; sleep 61.75"
    effects: [{file_system: new}]
"""
SHARED = Path("/dev/shm")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    monkeypatch.chdir(tmp_path)
    initialise(tmp_path / ".hearth")
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "quick.yaml").write_text(PLAN.replace("sleep 61.75", "true").replace("waits", "quick"))
    found = LedgerHome(tmp_path / ".hearth")
    approving.trust(found)
    return found


def folders(home: LedgerHome) -> set[Path]:
    """What lies where sandboxes are: in the ledger, and in shared memory what has such a file as the step makes."""
    return {*home.sandboxes.iterdir(), *(path for path in SHARED.glob("hearth-*") if step_of(home, path))}


def step_of(home: LedgerHome, folder: Path) -> bool:
    """Whether a step of the ledger's folder is under way, or was, in this one."""
    end = Path(*home.root.parent.parts[-2:], "new/x")
    # What others have there may go meanwhile: `walk` passes over it.
    found = (Path(root, name) for root, names, _ in os.walk(folder) for name in names if name == end.name)
    return any("up" in path.parts and path.parts[-len(end.parts) :] == end.parts for path in found)


def words(home: LedgerHome, way: str) -> list[str]:
    if way == "preview":
        return ["preview", "plan.yaml"]
    request = approving.approve(home, load_plan(home.root.parent / "plan.yaml"), load_key(home, Path("ann.pem")))
    return ["run", "plan.yaml", "--mode", "live", "--sandbox", "--approval", request, "-q"]


@pytest.fixture(params=["preview", "run"])
def waiting(home: LedgerHome, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], set[Path]]]:
    """One whose step is under way in its sandbox, and the folders that it made."""
    argv = [sys.executable, "-m", "hearth", *words(home, request.param)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(1000):
                made = folders(home)
                if any(step_of(home, path) for path in made):
                    break
                assert process.poll() is None
                time.sleep(0.02)
            else:
                pytest.fail("its step never began")
            yield process, made
        finally:
            process.kill()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(500):
        found = subprocess.run(["pgrep", "-P", "1", "-f", "sleep 61.75"], capture_output=True, check=False).stdout
        if not found:
            break
        time.sleep(0.01)


def preview() -> None:
    argv = [sys.executable, "-m", "hearth", "preview", "quick.yaml"]
    subprocess.run(argv, check=True, capture_output=True)


def test_the_next_preview_clears_it_and_spares_what_lives(
    home: LedgerHome, waiting: tuple[subprocess.Popen[bytes], set[Path]]
) -> None:
    process, made = waiting
    preview()
    with Records(home) as records:
        recover(records)
    fsck(home, repair=True)
    assert all(path.is_dir() for path in made)
    kill(process)
    # In shared memory any other sandbox of this machine may have cleared it by now.
    assert all(path.is_dir() for path in made if path.is_relative_to(home.root))
    preview()
    assert not folders(home) & made


def test_recover_clears_it(home: LedgerHome, waiting: tuple[subprocess.Popen[bytes], set[Path]]) -> None:
    process, made = waiting
    kill(process)
    told = fsck(home)
    assert {one.where for one in told.findings if one.where.startswith("sandboxes/")} == {
        path.relative_to(home.root).as_posix() for path in made if path.is_relative_to(home.root)
    }
    with Records(home) as records:
        recover(records)
    assert not folders(home) & made
    assert not [one for one in fsck(home).findings if "sandboxes" in one.where]
