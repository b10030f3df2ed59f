"""`hearth run` under signals, from SIGINT to kill -9, and with a reader that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.operations import Records, initialise, recover
from hearth.record import ExecutionStatus, SealCause, StepEventType
from tests import approving

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.ledger import LedgerHome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

PLAN = """\
plan: slow
steps:
  - {name: Begin, file: {write: begun.txt, content: begun}}
  - name: Wait
    shell: |
      trap 'echo had a moment; exit 9' TERM
      echo waiting
      sleep 60 & wait
  - {name: Never, file: {write: never.txt, content: never}}
"""
LIVE = ("--mode", "live", "--yes", "--reason", "a test", "--id", "one")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    """A ledger and a slow plan in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    made = initialise(tmp_path / ".hearth").home
    monkeypatch.setenv("HEARTH_KEY", str(approving.trust(made)))
    return made


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start `hearth` in the current folder; its stdout is read here."""
    return subprocess.Popen(
        [sys.executable, "-m", "hearth", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
    )


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's stdout until a line with the text."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} was not printed: {seen} {process.stderr.read() if process.stderr else ''}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_seals_the_record(home: LedgerHome, tmp_path: Path, number: signal.Signals) -> None:
    with start("run", "plan.yaml", *LIVE) as process:
        until(process, "waiting")
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert errors == ""
    assert f"{number.name}: stopping" in output
    assert "had a moment" in output
    with Records(home) as records:
        record = records.ledger.get("one")
        assert records.journals() == []
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.INTERRUPTED)
    assert number.name in record.completion_reason
    assert record.verify()
    assert (tmp_path / "begun.txt").exists()
    assert not (tmp_path / "never.txt").exists()


def test_exec_under_a_signal_with_its_one_document(home: LedgerHome) -> None:
    command = [
        "exec",
        "--yes",
        "--reason",
        "r",
        "--id",
        "one",
        "--json",
        "--",
        "sh",
        "-c",
        "echo waiting; exec sleep 60",
    ]
    with start(*command) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "interrupted by SIGTERM" in errors
    told = json.loads(output)
    assert (told["status"], told["cause"], told["exit_code"]) == ("incomplete", "interrupted", 143)
    assert told["command_exit_code"] is None
    with Records(home) as records:
        assert records.ledger.get("one").cause is SealCause.INTERRUPTED


def test_after_kill_9_recover_seals_what_was_written(home: LedgerHome, tmp_path: Path) -> None:
    with start("run", "plan.yaml", *LIVE) as process:
        until(process, "waiting")
        with Records(home) as records:
            assert [note.running for note in records.journals()] == [True]
            assert [outcome.outcome for outcome in recover(records)] == ["running"]  # left alone while it lives
        process.kill()
        process.communicate(timeout=20)
    with Records(home) as records:
        assert [note.execution_id for note in records.journals()] == ["one"]
        assert records.find("last").source == "journal"
    recovered = subprocess.run(
        [sys.executable, "-m", "hearth", "recover", "--json"], capture_output=True, text=True, check=True
    )
    (told,) = json.loads(recovered.stdout)["journals"]
    assert (told["outcome"], told["execution_id"]) == ("recovered", "one")
    with Records(home) as records:
        record = records.ledger.get("one")
        assert recover(records) == []
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    assert record.verify()
    kinds = [(event.step_index, event.event_type) for event in record.step_events]
    assert kinds == [
        (0, StepEventType.STEP_STARTED), (0, StepEventType.STEP_COMPLETED), (1, StepEventType.STEP_STARTED),
    ]  # fmt: skip
    assert not (tmp_path / "never.txt").exists()
    assert list(home.runs.iterdir()) == []


def test_a_reader_that_goes_away_stops_neither_the_run_nor_its_record(home: LedgerHome, tmp_path: Path) -> None:
    (tmp_path / "loud.yaml").write_text(
        "plan: loud\nsteps:\n"
        "  - {name: Talk, shell: 'seq 1 20000'}\n"
        "  - {name: Act, file: {write: acted.txt, content: acted}}\n"
    )
    with start("run", "loud.yaml", *LIVE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    assert (tmp_path / "acted.txt").exists()
    with Records(home) as records:
        assert records.ledger.get("one").status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "last"], ["export", "last"], ["list", "--json"], ["plan", "schema"]]
)
def test_reading_commands_are_quiet_when_their_reader_goes_away(home: LedgerHome, arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["run", "plan.yaml", "--in-place", "--id", "one"]).exit_code == 0
    reader, writer = os.pipe()
    os.close(reader)  # before anything is written
    result = subprocess.run(
        [sys.executable, "-m", "hearth", *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert result.stderr == ""
