"""The command line on a terminal: the question before a live run, the display, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hearth.observe import probe
from hearth.operations import Records, initialise
from hearth.plan import load_plan
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.record import ExecutionRecord

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

PATIENCE = 30.0
QUESTION = "Type the first 8 digits of the digest to run it: "
PLAN = """\
plan: tidy
description: Tidy the reports
steps:
  - name: Write the report
    file: {write: report.txt, content: "hello\\n"}
    effects:
      - {file_system: report.txt, reversible: true}
  - name: Wait
    shell: |
      echo "begin"
      : a line that is longer than this terminal is wide, and would be cut if anything here cut lines at all, END
      sleep "${SECONDS_TO_WAIT:-0}"
"""


class Terminal:
    """`hearth` on a pseudo-terminal of 80 columns."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "COLUMNS": "80", "PYTHONUTF8": "1", **environment})
            os.execv(sys.executable, [sys.executable, "-m", "hearth", *arguments])  # noqa: S606 - as a user starts it
        self.output = ""

    def until(self, text: str) -> None:
        """Read until the text was printed after what was read before."""
        start = len(self.output)
        deadline = time.monotonic() + PATIENCE
        while text not in self.output[start:]:
            ready, _, _ = select.select([self._descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready or not self._read():
                raise AssertionError(f"{text!r} was not printed:\n{self.output}")

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        os.close(self._descriptor)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux' way to say that the other side is closed
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger and a plan."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARTH_KEY", str(approving.trust(initialise(tmp_path / ".hearth").home)))
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


def last(folder: Path) -> ExecutionRecord:
    with Records(initialise(folder / ".hearth").home) as records:
        return records.ledger.get(records.find("last").execution_id)


def runs(folder: Path) -> int:
    with Records(initialise(folder / ".hearth").home) as records:
        return records.ledger.count()


def talk(terminal: Terminal, answers: Sequence[tuple[str, str]]) -> int:
    """Wait for each question, type its answer, and return the exit code."""
    for question, answer in answers:
        terminal.until(question)
        terminal.type(answer)
    return terminal.end()


def test_a_person_sees_all_of_it_types_the_digest_and_says_why(folder: Path) -> None:
    digest = load_plan(folder / "plan.yaml").digest
    terminal = Terminal("run", "plan.yaml", "--mode", "live")
    assert talk(terminal, [(QUESTION, f"{digest[:8]}\n"), ("Why: ", "the report is late\n")]) == 0
    shown = terminal.output.split(QUESTION)[0]
    for part in (
        "Tidy the reports",
        "Write the report",
        "file_system: report.txt",
        "at all, END",
        "This runs LIVE",
        ".hearth",
    ):
        assert part in shown, part
    record = last(folder)
    assert record.started["plan_digest"] in shown
    assert record.started["host"] in shown
    assert list(record.started["approval"]["approvers"]) == ["ann"]
    assert record.started["approval"]["reason"] == "the report is late"
    assert (folder / "report.txt").exists()


def test_ctrl_c_at_the_question_starts_nothing(folder: Path) -> None:
    terminal = Terminal("exec", "--", "touch", "made.txt")
    assert talk(terminal, [(QUESTION, "\x03")]) == 130
    assert "touch made.txt" in terminal.output
    assert "nothing was started" in terminal.output
    assert "Traceback" not in terminal.output
    assert not (folder / "made.txt").exists()
    assert runs(folder) == 0


def test_ctrl_c_stops_the_run_and_seals_it(folder: Path) -> None:
    plan = PLAN.replace("steps:", "env: {SECONDS_TO_WAIT: '60'}\nsteps:")
    (folder / "plan.yaml").write_text(plan)
    terminal = Terminal("run", "plan.yaml", "--mode", "live", "--yes", "--reason", "r")
    terminal.until("begin")
    terminal.type("\x03")
    terminal.until("stopping, and sealing the record")
    assert terminal.end() == 128 + signal.SIGINT
    record = last(folder)
    assert (record.status.value, str(record.cause)) == ("incomplete", "interrupted")
    assert record.verify()
    assert record.execution_id in terminal.output
    assert "hearth rollback" in terminal.output


@pytest.mark.parametrize("environment, coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_they_are_not_wanted(
    folder: Path, environment: dict[str, str], coloured: bool
) -> None:
    terminal = Terminal("run", "plan.yaml", **environment)
    assert terminal.end() == 0
    assert ("\x1b[32m✓" in terminal.output) is coloured
    assert "0 Write the report  (1 of 2)" in terminal.output


@pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")
def test_what_hearth_does_with_very_many_paths_is_told_meanwhile(folder: Path) -> None:
    """On a terminal, beside the spinner; elsewhere nobody watches."""
    step = {"name": "Make", "shell": "mkdir out; cd out; touch $(seq 4000)", "effects": [{"file_system": "out"}]}
    (folder / "plan.yaml").write_text(json.dumps({"plan": "many", "steps": [step]}))
    preview = Terminal("preview", "plan.yaml")
    assert preview.end() == 0
    assert re.search(r"previewing 0 Make +\(1 of 1\) +reading what it did: \d[\d,]* looked at", preview.output)
    run = Terminal("run", "plan.yaml", "--mode", "live", "--sandbox", "--yes", "--reason", "r")
    assert run.end() == 0
    assert "0 Make  (1 of 1)  reading what it did: " in run.output
    assert re.search(r"preparing its commit: \d[\d,]* of 4,001 paths", run.output)
    assert "committing: 4,001 paths" in run.output
