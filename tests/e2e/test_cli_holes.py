"""Files of nothing but holes in sandboxed runs: they cost a step no time, and must not cost HEARTH any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox, record, unapproved

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_sandbox
LIVE = ("run", "plan.yaml", "--mode", "live", "--sandbox", "--yes", "--reason", "a test", "--id", "run")


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Iterator[Path]:
    """The current folder, with a ledger that trusts one key."""
    yield ledger_folder
    for path in ledger_folder.glob("hole*"):
        path.unlink()


def plan(script: str) -> None:
    step = {"name": "Make", "shell": script, "effects": [{"file_system": "hole*"}]}
    Path("plan.yaml").write_text(json.dumps({"plan": "holes", "steps": [step]}))


def test_a_hole_of_a_usual_size_is_committed_as_one(folder: Path) -> None:
    plan("truncate -s 64M hole; printf end >> hole")
    unapproved(code=0)
    status = (folder / "hole").stat()
    assert status.st_size == (64 << 20) + 3
    assert status.st_blocks * 512 < 1 << 20


def test_one_too_long_to_be_compared_is_shown_and_never_committed(folder: Path) -> None:
    plan("truncate -s 1T hole")
    shown = hearth("preview", "plan.yaml", code=0)
    assert "most lie in holes" in " ".join(shown.output.split())
    unapproved(code=1)
    assert not (folder / "hole").exists()
    told = record()
    assert told["completion_reason"].endswith("too many to be compared: nothing of the step was committed")
    assert told["side_effects_report"]["unknown_effects"] is True


def test_a_signal_ends_the_reading_of_what_a_step_did(folder: Path) -> None:
    """It is given a moment, and would take far longer."""
    plan("truncate -s 8G hole1 hole2; echo made")
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-m", "hearth", *LIVE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment) as run:
        assert run.stdout is not None
        assert any("made" in line for line in run.stdout)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert list(folder.glob("hole*")) == []
    told = record()
    assert "what the step did was not read to its end: " in json.dumps(
        told
    )  # the step's error, or what is unknown of it
