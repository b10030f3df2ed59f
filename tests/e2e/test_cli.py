"""The command line from end to end, in one process: what a user types, reads, and gets as an exit code."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.kernel import HearthKernel
from hearth.observe import probe
from hearth.record import ExecutionRecord
from hearth.recorder import ExecutionObserver, Journal
from hearth.security import SecurityState
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from collections.abc import Sequence


LIVE = ("--mode", "live", "--yes", "--reason", "a test")
EXEC = ("exec", "--yes", "--reason", "a test")
posix = pytest.mark.skipif(os.name != "posix", reason="commands in process groups of their own")

PLAN = """\
plan: tidy
description: Tidy the reports
variables: {name: report.txt}
steps:
  - name: Write the report
    file: {write: "{{ name }}", content: "hello\\n"}
    effects:
      - {file_system: "{{ name }}", reversible: true}
    rollback: {description: Remove the report, actions: ["rm {{ name }}"], risks: [Somebody may read it]}
  - name: Count it
    shell: "wc -l {{ name }}; echo a warning >&2"
    timeout: 30s
"""
FAILING = (
    PLAN
    + """\
  - name: Delete what is not there
    file: {delete: nothing.txt}
"""
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger and two plans."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARTH_KEY", str(tmp_path / "ann.pem"))
    assert hearth("init").exit_code == 0
    assert hearth("keygen", "--trust", "ann").exit_code == 0
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "failing.yaml").write_text(FAILING)
    return tmp_path


# --- plans ------------------------------------------------------------------------------------------------------------


def test_checking_a_plan() -> None:
    result = hearth("plan", "check", "plan.yaml", code=0)
    digest = hearth("plan", "digest", "plan.yaml", code=0).stdout.strip()
    assert "tidy is valid: 2 steps, no inputs" in result.stdout
    assert digest in result.stdout
    assert document("plan", "check", "plan.yaml")["digest"] == digest
    assert document("plan", "digest", "plan.yaml") == {"plan_id": "tidy", "digest": digest}
    assert hearth("plan", "digest", "plan.yaml", "--var", "name=other.txt", code=0).stdout.strip() != digest


def test_everything_that_is_wrong_with_a_plan_is_named(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "plan: x\nsteps:\n  - {name: a, shel: ls}\n  - {name: b, file: {write: x, mode: 7}}\n"
    )
    result = hearth("plan", "check", "bad.yaml", code=2)
    assert "bad.yaml:3:" in result.stderr
    assert "bad.yaml:4:" in result.stderr
    told = document("plan", "check", "bad.yaml", code=2)
    assert told["ok"] is False
    assert len(told["problems"]) >= 2
    hearth("run", "bad.yaml", code=2)


def test_showing_a_plan() -> None:
    text = hearth("plan", "show", "plan.yaml", code=0).stdout
    for part in (
        "report.txt",
        "wc -l report.txt; echo a warning >&2",
        "file_system: report.txt",
        "rm report.txt",
        "timeout 30 s",
    ):
        assert part in text
    told = document("plan", "show", "plan.yaml", "--var", "name=other.txt")
    assert told["steps"][0]["params"]["write"] == "other.txt"


def test_a_plan_that_says_nothing_of_effects_is_not_one_without(folder: Path) -> None:
    (folder / "said.yaml").write_text(PLAN + "    effects: []\n")
    assert "declares nothing about its effects" in hearth("plan", "show", "plan.yaml", code=0).stdout
    said = hearth("plan", "show", "said.yaml", code=0).stdout
    assert "declares nothing" not in said
    assert "declares that it has no effects" in said


def test_plan_check_warns_of_what_would_not_run_here(folder: Path) -> None:
    (folder / "odd.yaml").write_text(
        "plan: odd\ncwd: not/there\nsteps:\n"
        "  - {name: a, sql: {url: nonsense, statement: SELECT 1}}\n"
        "  - {name: b, sql: {url: 'sqlite:///{secret: env:NAME}.db', statement: SELECT 1}}\n"
    )
    warnings = document("plan", "check", "odd.yaml")["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == ["cwd", "steps[0] (a)"]
    assert "is not a folder here" in warnings[0]
    assert "the database URL cannot be read" in warnings[1]
    assert document("plan", "check", "plan.yaml")["warnings"] == []


def test_a_plans_text_cannot_act_on_the_terminal(folder: Path) -> None:
    (folder / "evil.yaml").write_text('plan: evil\nsteps:\n  - {name: Nice, shell: "true # \\x1b[2K\\rls"}\n')
    text = hearth("plan", "show", "evil.yaml", code=0).stdout
    assert "\x1b" not in text
    assert r"\x1b[2K\rls" in text


def test_the_schema_knows_the_tasks() -> None:
    schema = json.loads(hearth("plan", "schema", code=0).stdout)
    assert {"file", "shell", "sql"} <= set(schema["$defs"]["step"]["properties"])


@pytest.mark.parametrize("given", ["novalue", "=x", "name"])
def test_a_variable_that_is_none(given: str) -> None:
    assert "KEY=VALUE" in hearth("run", "plan.yaml", "--var", given, code=2).stderr


def test_a_variable_given_twice() -> None:
    assert "twice" in hearth("run", "plan.yaml", "--var", "name=a", "--var", "name=b", code=2).stderr


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_acts_on_nothing_and_says_what_it_would_do(folder: Path) -> None:
    result = hearth("run", "plan.yaml", "--in-place", code=0)
    assert not (folder / "report.txt").exists()
    assert "DRY_RUN" in result.stdout
    assert "write report.txt" in result.stdout
    assert "dry run: nothing was acted on" in result.stdout


@pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")
def test_a_dry_run_runs_the_steps_in_sandboxes(folder: Path) -> None:
    result = hearth("run", "plan.yaml", "--id", "one", code=0)
    assert not (folder / "report.txt").exists()
    assert f"    + {folder}/report.txt" in result.stdout.splitlines()
    assert "    1 report.txt" in result.stdout.splitlines(), "the second step saw what the first had written"
    assert "dry run: the steps ran in sandboxes, and the host is as it was" in result.stdout
    shown = hearth("show", "one", code=0).stdout
    assert f"+ {folder}/report.txt" in shown
    assert "in a sandbox" in shown


def test_a_dry_run_acts_on_nothing_so_what_asks_for_the_network_is_only_checked(folder: Path) -> None:
    effects = "effects: [{network: example.org}]"
    (folder / "net.yaml").write_text(f"plan: net\nsteps: [{{name: Send, shell: touch sent, {effects}}}]\n")
    result = hearth("run", "net.yaml", code=0)
    assert "dry run: nothing was acted on" in result.stdout
    assert "did not run: step 0 (Send) asks for the network, where nothing holds it back" in result.stdout
    assert "did not run" in json.loads(hearth("run", "net.yaml", "--json", code=0).stdout)["notes"][0]


@posix
def test_a_live_run(folder: Path) -> None:
    result = hearth("run", "plan.yaml", *LIVE, "--id", "one", code=0)
    assert (folder / "report.txt").read_text() == "hello\n"
    lines = result.stdout.splitlines()
    assert "▸ 0 Write the report  (1 of 2)" in lines
    assert any(line.startswith("✓ 0 Write the report") and "1 effect" in line for line in lines)
    assert "    1 report.txt" in lines
    assert "    a warning" in lines
    assert any("verified" in line and ".hearth" in line for line in lines)
    assert any("hearth show one" in line for line in lines)
    assert "rollback" not in result.stdout


@posix
def test_a_failed_run_says_where_and_what_next() -> None:
    result = hearth("run", "failing.yaml", *LIVE, "--id", "one", code=1)
    lines = result.stdout.splitlines()
    assert any(line.startswith("✗ 2 Delete what is not there") for line in lines)
    assert any("hearth rollback one" in line for line in lines)


@posix
def test_what_a_run_prints_can_be_less() -> None:
    result = hearth("run", "plan.yaml", *LIVE, "--quiet", code=0)
    assert result.stdout.count("\n") == 1
    assert result.stdout.startswith("tidy-")
    assert result.stderr == ""
    assert hearth("show", result.stdout.strip()).exit_code == 0
    failed = hearth("run", "failing.yaml", *LIVE, "--quiet", code=1)
    assert "nothing.txt" in failed.stderr


@posix
def test_a_run_as_json() -> None:
    told = document("run", "failing.yaml", *LIVE, "--id", "one", code=1)
    assert (told["execution_id"], told["status"], told["cause"], told["exit_code"]) == ("one", "failed", "failed", 1)
    assert (told["steps_completed"], told["steps_total"]) == (2, 3)
    assert told["verdict"]["ok"] is True
    assert told["execution_hash"] == document("show", "one")["record"]["execution_hash"]


def test_live_without_a_terminal_needs_yes_and_a_reason(folder: Path) -> None:
    result = hearth("run", "plan.yaml", "--mode", "live", code=3)
    assert "--yes and --reason TEXT" in result.stderr
    assert "--yes needs --reason" in hearth("run", "plan.yaml", "--mode", "live", "--yes", code=2).stderr
    assert (
        "--yes needs --reason" in hearth("run", "plan.yaml", "--mode", "live", "--yes", "--reason", " ", code=2).stderr
    )
    assert not (folder / "report.txt").exists()
    assert document("list")["total"] == 0


def test_staging_acts_on_what_the_policy_lists(folder: Path) -> None:
    (folder / "file.yaml").write_text("plan: f\nsteps:\n  - {name: W, file: {write: made.txt, content: x}}\n")
    result = hearth("run", "file.yaml", "--mode", "staging", code=3)
    assert "policy.yaml" in result.stderr
    assert not (folder / "made.txt").exists()
    (folder / ".hearth" / "policy.yaml").write_text('staging: {targets: ["file:*/made.txt"]}\n')
    hearth("run", "file.yaml", "--mode", "staging", code=0)
    assert (folder / "made.txt").exists()


def test_a_changed_input_refuses_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth import operations

    (folder / "data.csv").write_text("1\n")
    (folder / "with.yaml").write_text(
        "plan: w\ninputs: [data.csv]\nsteps:\n  - {name: W, file: {write: made.txt, content: x}}\n"
    )
    original = operations.run_plan

    def change_then_run(*arguments: Any, **options: Any) -> object:
        (folder / "data.csv").write_text("2\n")  # between the confirmation and the run
        return original(*arguments, **options)

    monkeypatch.setattr(operations, "run_plan", change_then_run)
    result = hearth("run", "with.yaml", *LIVE, code=3)
    assert "data.csv" in result.stderr
    assert not (folder / "made.txt").exists()


def test_an_escalation_ends_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    original = HearthKernel.executor

    def executor(self: HearthKernel, *arguments: Any, **options: Any) -> object:
        listener = options["listener"]
        finished = listener.step_finished

        def escalate(step: Any, result: Any, seconds: float) -> None:
            finished(step, result, seconds)
            self.escalate(SecurityState.LOCKDOWN, "an unknown login")

        listener.step_finished = escalate
        return original(self, *arguments, **options)

    monkeypatch.setattr(HearthKernel, "executor", executor)
    result = hearth("run", "plan.yaml", *LIVE, "--id", "one", code=4)
    assert "incomplete" in result.stdout
    assert "an unknown login" in result.stdout
    assert "the posture worsened" in result.stderr
    assert document("show", "one")["record"]["marks"][1]["details"]["cause"] == "escalation"
    assert "escalation" in hearth("rollback", "one", code=0).stdout


def test_a_missing_secret_is_refused_by_name(folder: Path) -> None:
    (folder / "secret.yaml").write_text(
        "plan: s\nsteps:\n  - {name: S, file: {write: made.txt, content: {secret: env:NOT_SET_ANYWHERE}}}\n"
    )
    result = hearth("run", "secret.yaml", *LIVE, code=3)
    assert "env:NOT_SET_ANYWHERE" in result.stderr
    assert not (folder / "made.txt").exists()


def test_an_id_that_is_used_already() -> None:
    hearth("run", "plan.yaml", "--id", "same", code=0)
    assert "same" in hearth("run", "plan.yaml", "--id", "same", code=3).stderr


# --- single commands --------------------------------------------------------------------------------------------------


@posix
def test_exec_passes_output_through_and_tells_its_own_end_on_stderr() -> None:
    result = hearth(*EXEC, "--id", "one", "--", "sh", "-c", r"printf 'out\033[1m'; printf err >&2", code=0)
    assert result.stdout == "out\x1b[1m"
    assert result.stderr.startswith("err")
    assert "completed  exit code 0" in result.stderr
    assert "one" in result.stderr


@posix
def test_execs_exit_code_is_hearths_and_the_commands_own_is_shown() -> None:
    result = hearth(*EXEC, "--", "sh", "-c", "exit 7", code=1)
    assert "exit code 7" in result.stderr
    told = json.loads(hearth(*EXEC, "--json", "--id", "two", "--", "sh", "-c", "echo out; exit 7", code=1).stdout)
    assert (told["command_exit_code"], told["exit_code"]) == (7, 1)
    assert document("show", "two")["record"]["step_events"][1]["details"]["exit_code"] == 7


@posix
def test_exec_takes_words_as_they_are(folder: Path) -> None:
    result = hearth(*EXEC, "--", "printf", "%s|", "{{.Names}}", "--json", "a  b", "$HOME", code=0)
    assert result.stdout == "{{.Names}}|--json|a  b|$HOME|"


@posix
def test_execs_options_end_at_the_command(folder: Path) -> None:
    assert hearth(*EXEC, "printf", "%s|", "--json", "-q", code=0).stdout == "--json|-q|"


@posix
@posix
def test_what_a_command_left_running_is_said(folder: Path) -> None:
    (folder / "left.yaml").write_text("plan: left\nsteps: [{name: a, shell: 'sleep 60 & sleep 60 &'}]\n")
    said = "2 processes that it left running were ended"
    assert said in hearth("run", "left.yaml", *LIVE, "--id", "one", code=0).stdout
    assert said in hearth("show", "one", code=0).stdout
    assert "a process that it left running was ended" in hearth(*EXEC, "--", "sh", "-c", "sleep 60 &", code=0).stderr


def test_execs_environment() -> None:
    result = hearth(
        *EXEC, "--id", "one", "--env", "TOKEN_X", "--env", "PLAIN=visible",
        "--", "sh", "-c", "echo ${#TOKEN_X} $PLAIN $OTHER.",
        code=0, TOKEN_X="sixteen-letters!", OTHER="not passed on",
    )  # fmt: skip
    assert result.stdout == "16 visible .\n"
    assert "sixteen-letters!" not in hearth("export", "one", code=0).stdout
    assert "NAME" in hearth(*EXEC, "--env", "=x", "--", "true", code=2).stderr


@posix
def test_exec_that_cannot_start_or_runs_too_long() -> None:
    assert "no-such-program" in hearth(*EXEC, "--", "no-such-program", code=1).stderr
    assert "timed out" in hearth(*EXEC, "--timeout", "100ms", "--", "sleep", "9", code=1).stderr


def test_exec_asks_too() -> None:
    assert "--yes and --reason TEXT" in hearth("exec", "--", "true", code=3).stderr
    hearth("exec", code=2)
    hearth(*EXEC, "--name", "not a name", "--", "true", code=2)


@posix
def test_exec_can_be_a_dry_run(folder: Path) -> None:
    hearth("exec", "--mode", "dry-run", "--", "touch", "made.txt", code=0)
    assert not (folder / "made.txt").exists()


def piped(words: Sequence[str], data: bytes | None) -> subprocess.CompletedProcess[bytes]:
    """Run `hearth` in a process of its own, with data in a pipe that is closed; None: a pipe that stays open, idle."""
    reader, writer = os.pipe()
    if data is not None:
        os.write(writer, data)
        os.close(writer)
    try:
        return subprocess.run(
            [sys.executable, "-m", "hearth", *words], stdin=reader, capture_output=True, check=False, timeout=60
        )
    finally:
        os.close(reader)
        if data is None:
            os.close(writer)


@posix
def test_exec_gives_its_command_what_stdin_names(folder: Path) -> None:
    done = piped([*EXEC, "--id", "one", "--stdin", "-", "--", "cat", "-"], b"a\0\xff{{ x }}\r\n")
    assert (done.returncode, done.stdout) == (0, b"a\0\xff{{ x }}\r\n"), done.stderr
    assert b"note:" not in done.stderr
    told = document("show", "one")
    (digest,) = told["plan"]["inputs"].values()
    assert digest == hashlib.sha256(b"a\0\xff{{ x }}\r\n").hexdigest()
    (folder / "lines.txt").write_text("b\na\n")
    done = piped([*EXEC, "--id", "two", "--stdin", "lines.txt", "--", "sh", "-c", "sort; pwd; rm lines.txt"], None)
    assert done.stdout == f"a\nb\n{folder}\n".encode(), done.stderr
    assert not (folder / "lines.txt").exists()  # a word of the command means what it says


@posix
def test_execs_input_decides_on_the_plans_digest() -> None:
    digests = []
    for number, data in enumerate((b"x", b"x", b"y")):
        words = ["exec", "--mode", "dry-run", "--id", str(number), "--json", "--stdin", "-", "--", "cat"]
        digests.append(json.loads(piped(words, data).stdout)["plan_digest"])
    assert digests[0] == digests[1] != digests[2]


@posix
def test_exec_without_stdin_gives_nothing_and_says_what_it_ignores() -> None:
    done = piped([*EXEC, "--", "cat"], b"x")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"hearth: note: there is data on standard input" in done.stderr
    for data in (b"", None):  # None: it must not wait for a pipe that nobody writes to
        done = piped([*EXEC, "--", "cat"], data)
        assert (done.returncode, done.stdout) == (0, b"")
        assert b"note:" not in done.stderr


@posix
def test_execs_input_has_to_be_readable_and_its_command_too() -> None:
    assert "missing.txt: cannot be read" in hearth(*EXEC, "--stdin", "missing.txt", "--", "cat", code=2).stderr
    assert "exit code 127" in hearth(*EXEC, "--stdin", os.devnull, "--", "no-such-program", code=1).stderr
    assert "--yes and --reason" in hearth("exec", "--stdin", "-", "--", "cat", code=3).stderr


# --- records ----------------------------------------------------------------------------------------------------------


@posix
def test_list_and_search() -> None:
    hearth("run", "plan.yaml", *LIVE, "--id", "good", code=0)
    hearth("run", "failing.yaml", *LIVE, "--id", "bad", code=1)
    hearth("run", "plan.yaml", "--id", "dry", code=0)
    assert [line.split()[-1] for line in hearth("list", code=0).stdout.splitlines()] == ["ID", "dry", "bad", "good"]

    def found(*options: str) -> list[str]:
        return [summary["execution_id"] for summary in document("list", *options)["executions"]]

    assert found() == ["dry", "bad", "good"]
    assert found("--status", "failed") == ["bad"]
    assert found("--text", "NOTHING.txt") == ["bad"]
    assert found("--plan", "ti*", "--limit", "2") == ["dry", "bad"]
    assert found("--plan", "other") == []
    assert found("--since", "1h") == ["dry", "bad", "good"]
    assert found("--until", "yesterday") == []
    assert found("--since", "2020-01-01", "--until", "2020-01-02T03:04+02:00") == []
    assert "1 more; --limit 3 lists all" in hearth("list", "--limit", "2", code=0).stdout
    assert hearth("list", "--plan", "other", code=0).stdout == "no execution matches\n"


@pytest.mark.parametrize(
    "options", [["--since", "soon"], ["--limit", "0"], ["--status", "good"], ["--until", "2025-13-01"]]
)
def test_searches_that_make_no_sense(options: list[str]) -> None:
    hearth("list", *options, code=2)


@posix
def test_show() -> None:
    hearth("run", "failing.yaml", *LIVE, "--id", "one", code=1)
    for reference in ("one", "o", "last"):
        text = hearth("show", reference, code=0).stdout
        assert text.startswith("one  failed  LIVE")
    for part in (
        "a test", "+0.000 s", "✓ 1 Count it", "~ file_system: wrote report.txt", "stdout │ 1 report.txt",
        "stderr │ a warning", "OPERATIONAL/NOMINAL before", "verified", "✗ 2 Delete what is not there",
        "Declared effects", "sealed  failed",
    ):  # fmt: skip
        assert part in text, part
    told = document("show", "one")
    assert told["verdict"]["ok"] is True
    assert told["plan"]["document"]["plan"] == "tidy"
    assert ExecutionRecord.from_dict(told["record"]).verify()


@posix
def test_show_has_the_whole_output_on_demand(folder: Path) -> None:
    hearth(*EXEC, "--id", "one", "--", "seq", "1", "5000", code=0)
    text = hearth("show", "one", code=0).stdout
    assert "the end of 23.3 KiB" in text
    assert text.count("stdout │ ") == 3
    whole = hearth("show", "one", "--output", code=0).stdout
    assert [f"stdout │ {number}" for number in range(1, 5001)] == [
        line.strip() for line in whole.splitlines() if "stdout │" in line
    ]
    (kept,) = [
        path for path in (folder / ".hearth" / "outputs").rglob("*") if path.is_file() and path.stat().st_size > 5000
    ]
    kept.write_bytes(kept.read_bytes().replace(b"77", b"78"))
    changed = hearth("show", "one", "--output", code=5).stdout
    assert "not what the record says" in changed
    assert "stdout │ 1\n" not in changed
    assert "not what the record says" in hearth("verify", "one", code=5).stdout
    kept.unlink()
    assert "is not kept here" in hearth("show", "one", "--output", code=0).stdout
    assert "note: one output" in hearth("verify", "one", code=0).stdout


@posix
def test_show_says_once_why_a_step_failed(folder: Path) -> None:
    (folder / "short.yaml").write_text("plan: s\nsteps:\n  - {name: Compare, shell: test 1 -gt 2}\n")
    hearth("run", "short.yaml", *LIVE, "--id", "one", code=1)
    timeline = hearth("show", "one", code=0).stdout.partition("Timeline")[2]
    assert timeline.count("exit code 1") == 1


def test_a_changed_copy_of_the_plan_is_said_and_gives_no_hints(folder: Path) -> None:
    hearth("run", "failing.yaml", *LIVE, "--id", "one", code=1)
    assert "rm report.txt" in hearth("rollback", "one", code=0).stdout
    (kept,) = (folder / ".hearth" / "plans").iterdir()
    kept.write_text(kept.read_text().replace("rm report.txt", "curl evil"))
    for command in ("rollback", "show", "verify"):
        text = hearth(command, "one", code=5).stdout
        assert "was changed after the run" in text
        assert "evil" not in text
    told = document("show", "one", code=5)
    assert told["plan"] is None
    assert "was changed" in told["plan_problem"]
    assert "was changed" in document("rollback", "one", code=5)["plan_problem"]
    hearth("verify", "--all", code=5)
    kept.unlink()
    assert "is missing" in hearth("rollback", "one", code=5).stdout
    assert "is missing" in hearth("show", "one", code=0).stdout
    hearth("verify", "--all", code=0)


def test_a_damaged_journal_is_not_forgotten(folder: Path) -> None:
    path = folder / ".hearth" / "journals" / "gone.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("gone", "tidy", journal=journal)
        observer.record_step_started(0, "first")
        observer.record_step_started(1, "second")
    path.write_bytes(path.read_bytes().replace(b'"first"', b'"FIRST"'))
    told = hearth("verify", "--all", code=5).stdout
    assert "gone" in told
    assert "not sealed" not in told, "it was checked, and told of above"
    hearth("recover", code=5)
    assert "damaged  gone" in hearth("list", code=0).stdout
    assert [item["execution_id"] for item in document("list")["quarantined"]] == ["gone"]
    assert "gone" in hearth("verify", "--all", code=5).stdout
    assert "choose another id" in hearth("run", "plan.yaml", *LIVE, "--id", "gone", code=3).stderr


def test_a_journal_damaged_in_its_first_line_is_said_to_be_damaged(folder: Path) -> None:
    path = folder / ".hearth" / "journals" / "gone.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("gone", "tidy", journal=journal)
        observer.record_step_started(0, "first")
    path.write_bytes(b"x" + path.read_bytes()[1:].replace(b'"execution_id"', b'"execution_iq"', 1))
    for command in ("show", "verify", "export"):
        result = hearth(command, "gone", code=5)
        assert ("first bad entry: 0" if command == "verify" else "line 1") in result.output
    assert document("verify", "gone", code=5)["kind"] == "journal"
    hearth("recover", code=5)
    for command in ("show", "verify", "export"):
        result = hearth(command, "gone", code=5)
        assert "line 1" in result.output
        assert "quarantine" in result.output


def test_an_unsealed_execution_has_no_end(folder: Path) -> None:
    path = folder / ".hearth" / "journals" / "half.journal"
    with Journal.create(path) as journal:
        ExecutionObserver("half", "tidy", journal=journal).record_step_started(0, "first")
    text = hearth("rollback", "half").stdout
    assert "the run has no end in its record" in text
    assert "ended started" not in text


def test_a_database_that_is_none_is_damage(folder: Path) -> None:
    (folder / ".hearth" / "ledger.db").write_bytes(b"garbage" * 1000)
    assert "is not a SQLite database" in hearth("verify", "--all", code=5).stderr
    hearth("show", "last", code=5)


@pytest.mark.parametrize("name", ["last", "", " "])
def test_an_id_that_no_command_could_name_is_refused(name: str) -> None:
    assert "no command could name it" in hearth("run", "plan.yaml", "--id", name, code=2).stderr
    assert "no command could name it" in hearth(*EXEC, "--id", name, "--", "true", code=2).stderr


def test_plan_check_warns_of_a_secret_in_clear(folder: Path) -> None:
    (folder / "clear.yaml").write_text("plan: s\nsteps:\n  - {name: A, shell: 'PGPASSWORD=hunter2abc psql'}\n")
    assert "steps[0].shell: a secret stands here" in hearth("plan", "check", "clear.yaml", code=0).stdout
    assert len(document("plan", "check", "clear.yaml")["warnings"]) == 1
    assert document("plan", "check", "plan.yaml")["warnings"] == []


@posix
def test_what_a_record_says_cannot_act_on_the_terminal() -> None:
    hearth(*EXEC, "--id", "one", "--", "printf", r"\033]0;evil\007\033[2J", code=0)
    for command in (["show", "one"], ["list"], ["rollback", "one"], ["verify", "one"]):
        assert "\x1b" not in hearth(*command, code=0).stdout


def test_ids_that_name_nothing_or_too_much() -> None:
    hearth("show", "last", code=2)
    hearth("run", "plan.yaml", "--id", "alpha-1", code=0)
    hearth("run", "plan.yaml", "--id", "alpha-2", code=0)
    for command in ("show", "rollback", "export", "verify"):
        result = hearth(command, "alpha")
        assert result.exit_code == 2
        assert "alpha-1, alpha-2" in result.stderr
        hearth(command, "beta", code=2)


def test_verify_finds_what_was_changed(folder: Path) -> None:
    hearth("run", "plan.yaml", "--id", "one", code=0)
    hearth("run", "plan.yaml", "--id", "two", code=0)
    assert "2 records verified" in hearth("verify", "--all", code=0).stdout
    hearth("export", "one", "-o", "one.json", code=0)
    result = hearth("verify", "one.json", code=0)
    assert "one.json  verified" in result.stdout
    text = (folder / "one.json").read_text()
    (folder / "one.json").write_text(text.replace("Write the report", "Wrote the report", 1))
    assert "first bad entry: 1" in hearth("verify", "one.json", code=5).stdout
    assert document("verify", "one.json", code=5)["first_bad"] == 1
    (folder / "one.json").write_text(text[:-100])
    hearth("verify", "one.json", code=5)
    hearth("verify", "--quiet", "one", code=0)

    with closing(sqlite3.connect(folder / ".hearth" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE executions SET status = 'failed' WHERE execution_id = 'one'")
    assert "row" in hearth("verify", "one", code=5).stdout
    result = hearth("verify", "--all", "--quiet", code=5)
    assert "1 of 2 records NOT VERIFIED" in result.stdout
    assert "two" not in result.stdout
    told = document("verify", "--all", code=5)
    assert (told["ok"], told["checked"], [item["subject"] for item in told["not_verified"]]) == (False, 2, ["one"])
    hearth("show", "one", code=5)
    hearth("export", "one", code=5)
    hearth("rollback", "one", code=5)


def test_several_are_verified_at_once(folder: Path) -> None:
    for name in ("one", "two"):
        hearth("run", "plan.yaml", "--id", name, code=0)
        hearth("export", name, "-o", f"{name}.json", code=0)
    assert hearth("verify", "one.json", "two.json", "one", code=0).stdout.count("verified") == 3
    (folder / "two.json").write_text((folder / "two.json").read_text().replace("Count it", "Count them", 1))
    result = hearth("verify", "two.json", "one.json", code=5)
    assert "two.json  NOT VERIFIED" in result.stdout
    assert "one.json  verified" in result.stdout
    told = document("verify", "two.json", "one.json", code=5)
    assert told["ok"] is False
    assert [(item["subject"], item["ok"]) for item in told["checked"]] == [("two.json", False), ("one.json", True)]
    hearth("verify", "one.json", "nothing.json", code=2)


def test_a_file_is_verified_without_a_ledger(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearth("run", "plan.yaml", "--id", "one", code=0)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "one.json").write_text(hearth("export", "one", "--indent", code=0).stdout)
    monkeypatch.chdir(elsewhere)
    hearth("list", code=2)
    hearth("verify", "one.json", code=0)


@pytest.mark.parametrize("arguments", [[], ["x", "--all"], ["nothing.json"], ["no/such/file"]])
def test_verify_of_nothing(arguments: list[str]) -> None:
    hearth("verify", *arguments, code=2)


@posix
def test_rollback() -> None:
    hearth("run", "failing.yaml", *LIVE, "--id", "one", code=1)
    text = hearth("rollback", "one", code=0).stdout
    assert "rm report.txt" in text
    assert "Somebody may read it" in text
    told = document("rollback", "one")
    assert told["is_rollback_possible"] is True
    assert [hint["step_index"] for hint in told["rollback_hints"]] == [0]


def test_export() -> None:
    hearth("run", "plan.yaml", "--id", "one", code=0)
    compact = hearth("export", "one", code=0).stdout
    indented = hearth("export", "one", "--indent", code=0).stdout
    assert compact.count("\n") == 1
    assert indented.count("\n") > 50
    assert json.loads(compact) == json.loads(indented)
    result = hearth("export", "one", "-o", "one.json", code=0)
    assert result.stderr == ""
    assert result.stdout.startswith("✓ one → one.json")
    assert Path("one.json").read_text() == compact
    Path("one.json").write_text("mine")
    assert "--force" in hearth("export", "one", "-o", "one.json", code=2).stderr
    assert Path("one.json").read_text() == "mine"
    hearth("export", "one", "-o", "one.json", "--force", code=0)
    assert Path("one.json").read_text() == compact
    assert "No such file" in hearth("export", "one", "-o", "no/such/one.json", code=1).stderr


def test_disclosed_values_are_exported_on_demand(folder: Path) -> None:
    (folder / "names.yaml").write_text(
        "plan: names\ndisclosable: [customer]\nsteps:\n"
        "  - name: Ask\n"
        "    sql: {url: 'sqlite:///x.db', create: true, statement: 'SELECT :x AS customer',"
        " parameters: {x: Ada Lovelace}}\n"
    )
    hearth("run", "names.yaml", *LIVE, "--id", "one", code=0)
    assert "Ada Lovelace" not in hearth("export", "one", code=0).stdout
    told = json.loads(hearth("export", "one", "--disclose", code=0).stdout)
    assert [item["value"] for item in told["disclosures"]] == ["Ada Lovelace"]


# --- recovery and the ledger ------------------------------------------------------------------------------------------


def test_recover_seals_what_was_killed_and_reports_damage(folder: Path) -> None:
    journals = folder / ".hearth" / "journals"
    for name in ("killed", "damaged"):
        with Journal.create(journals / f"{name}.journal") as journal:
            observer = ExecutionObserver(name, "tidy", journal=journal)
            observer.record_step_started(0, "first")
            observer.record_step_completed(0, "first")
    path = journals / "damaged.journal"
    path.write_bytes(path.read_bytes().replace(b'"first"', b'"FIRST"', 1))
    assert "killed   killed" in hearth("list", code=0).stdout
    assert {note["running"] for note in document("list")["not_sealed"]} == {False}
    assert "never: it was killed" in hearth("show", "killed", code=0).stdout
    hearth("verify", "killed", code=5)
    result = hearth("recover", code=5)
    assert "recovered  killed" in result.stdout
    assert "DAMAGED  damaged" in result.stdout
    assert str(folder / ".hearth" / "quarantine") in result.stdout
    hearth("verify", "killed", code=0)
    told = document("recover")
    assert told == {"ok": True, "journals": []}
    assert "nothing to recover" in hearth("recover", code=0).stdout
    hearth("recover", "killed", code=2)


def test_a_home_can_be_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearth("run", "plan.yaml", "--id", "one", code=0)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    home = str(folder / ".hearth")
    assert "hearth init" in hearth("list", code=2).stderr
    assert "one" in hearth("--home", home, "list", code=0).stdout
    assert "one" in hearth("list", code=0, HEARTH_HOME=home).stdout
    assert "init" in hearth("--home", "nowhere", "list", code=2).stderr
    made = json.loads(hearth("init", "sub/folder", "--json", code=0).stdout)
    assert Path(made["home"]) == Path("sub/folder/.hearth").absolute()
    assert made["created"] is True
    hearth("--home", "named", "init", code=0)
    assert Path("named/ledger.db").exists()
    hearth("--home", "named", "init", "folder", code=2)
    assert "already" in hearth("--home", "named", "init", code=0).stdout


def test_completion_of_ids() -> None:
    hearth("run", "plan.yaml", "--id", "alpha-1", code=0)
    words = {"_HEARTH_COMPLETE": "bash_complete", "COMP_WORDS": "hearth show al", "COMP_CWORD": "2"}
    assert "alpha-1" in CliRunner(env=words).invoke(cli, [], prog_name="hearth").stdout


def test_what_a_file_was_before_can_be_had_again(folder: Path) -> None:
    (folder / "config.ini").write_bytes(b"old \xff\n")
    (folder / "edit.yaml").write_text(
        "plan: edit\nsteps:\n- {name: Edit, file: {write: config.ini, content: new}}\n- {name: Fail, shell: 'exit 3'}\n"
    )
    hearth("run", "edit.yaml", *LIVE, "--id", "one", code=1)
    digest = hashlib.sha256(b"old \xff\n").hexdigest()
    said = f"hearth show one --content {digest[:16]}"
    assert said in hearth("show", "one", code=0).stdout
    assert said in " ".join(hearth("rollback", "one", code=0).stdout.replace("\\\n", "").split())
    found = subprocess.run(
        [sys.executable, "-m", "hearth", "show", "one", "--content", digest[:16]], capture_output=True, check=True
    )
    assert found.stdout == b"old \xff\n"
    assert "names no content" in hearth("show", "one", "--content", "0" * 16, code=2).stderr
    assert "at least 6 digits" in hearth("show", "one", "--content", digest[:3], code=2).stderr
    assert "leave out" in hearth("show", "one", "--content", digest, "--json", code=2).stdout
