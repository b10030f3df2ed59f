"""`hearth notify test`, and what the command line does while hooks hang, fail, or a signal comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.cli._notify import _EVENTS
from hearth.operations import Records, initialise
from hearth.record import SealCause
from hearth.security import EVENTS
from tests.unit.execution.notify.receivers import receiver

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.ledger import LedgerHome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")

PLAN = """\
plan: tell
steps:
  - {name: Wait, shell: "echo waiting; sleep 60"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    return initialise(tmp_path / ".hearth").home


def configure(home: LedgerHome, *hooks: dict[str, object]) -> None:
    home.policy.write_text(json.dumps({"staging": {"targets": ["host:*"]}, "notify": list(hooks)}))


def hearth(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hearth", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_help_names_every_event() -> None:
    assert _EVENTS == EVENTS


def test_a_test_says_which_hooks_were_told(home: LedgerHome) -> None:
    with receiver() as there:
        configure(
            home, {"on": ["finish"], "url": there.url}, {"on": ["failure", "start"], "command": ["sh", "-c", "exit 4"]}
        )
        result = CliRunner().invoke(cli, ["notify", "test"])
        assert result.exit_code == 1
        assert "notify[0] (webhook 127.0.0.1)  finish, 0." in result.output
        assert "notify[1] (command sh)  failure: exit status 4" in result.output
        assert there.requests[0].json["test"] is True
        result = CliRunner().invoke(cli, ["notify", "test", "--event", "finish", "--json"])
        assert result.exit_code == 0
        (told,) = json.loads(result.stdout)["hooks"]
        assert (told["ok"], told["event"], told["why"]) == (True, "finish", None)


def test_with_nobody_to_tell_a_test_is_refused(home: LedgerHome) -> None:
    result = hearth("notify", "test")
    assert result.returncode == 3
    assert "names nobody under `notify:`" in result.stderr
    configure(home, {"on": ["start"], "command": ["true"]})
    result = hearth("notify", "test", "--event", "denial")
    assert result.returncode == 3
    assert "who is told of denial" in result.stderr


@pytest.mark.parametrize("quiet", [False, True])
def test_a_hook_that_fails_is_a_note_and_the_exit_code_stays(home: LedgerHome, quiet: bool) -> None:
    configure(home, {"on": ["finish"], "command": ["false"]})
    result = hearth("run", "plan.yaml", "--in-place", *(["--quiet"] if quiet else []))
    assert result.returncode == 0
    said = result.stderr if quiet else result.stdout
    assert said.count("notify[0] (command false) was not told of finish: exit status 1") == 1
    assert (result.stderr == "") is not quiet, "said once"


def test_a_signal_in_the_middle_of_hooks_that_hang(home: LedgerHome, tmp_path: Path) -> None:
    """The run ends as ever, the failure is told to who listens, and who hangs is killed after five seconds."""
    pids = tmp_path / "pids"
    with receiver() as there, receiver(hang=threading.Event()) as stuck:
        configure(
            home,
            {
                "on": ["start", "failure"],
                "command": ["sh", "-c", f"echo $$ >>'{pids}'; exec sleep 600"],
                "timeout": "60s",
            },
            {"on": ["start"], "url": stuck.url, "timeout": "60s"},
            {"on": ["failure"], "url": there.url},
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "hearth", "run", "plan.yaml", "--mode", "staging", "--id", "one"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "waiting" in line and "echo" not in line:
                break
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        output, _ = process.communicate(timeout=30)
        assert time.monotonic() - began < 15
        (told,) = there.requests
    assert process.returncode == 128 + signal.SIGTERM, output
    assert (told.json["event"], told.json["cause"]) == ("failure", "interrupted")
    assert "notify[0] (command sh) was not told of start" in output
    with Records(home) as records:
        assert records.read(records.find("one")).cause is SealCause.INTERRUPTED
    for pid in pids.read_text().split():
        assert not os.path.exists(f"/proc/{pid}"), "no hook outlives the command"  # noqa: PTH110


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_run_ends_the_waiting(home: LedgerHome, tmp_path: Path, number: int) -> None:
    there = tmp_path / "there"
    configure(home, {"on": ["finish"], "command": ["sh", "-c", f"touch '{there}'; exec sleep 600"], "timeout": "60s"})
    process = subprocess.Popen(
        [sys.executable, "-m", "hearth", "run", "plan.yaml", "--in-place"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    deadline = time.monotonic() + 20
    while not there.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)  # until then the signal might still be the run's
    began = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 4
    assert process.returncode == 0, output
    assert "completed" in output, "the run was over, and its end is told"
    assert "was not told of finish: interrupted" in output
