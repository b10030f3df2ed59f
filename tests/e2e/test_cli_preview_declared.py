"""What a preview and a run say of declared effects: what is not declared, and what is and did not happen."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from pathlib import Path

UNDECLARED = """\
plan: more
steps:
  - name: Silent
    shell: "echo 0 > a.txt"
  - name: More
    shell: "echo 1 > b.txt; echo 2 > c.txt"
    effects: [{file_system: b.txt}]
"""
MISSING = """\
plan: fewer
steps:
  - name: Fewer
    shell: "echo 1 > ma.txt"
    effects: [{file_system: ma.txt}, {file_system: mb.txt}, {data_mutation: users}]
"""

pytestmark = needs_sandbox


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Path:
    """The current folder, with a ledger that trusts one key, and two plans."""
    (ledger_folder / "more.yaml").write_text(UNDECLARED)
    (ledger_folder / "fewer.yaml").write_text(MISSING)
    return ledger_folder


def line_of(shown: str, word: str) -> str:
    return next(line for line in shown.splitlines() if word in line)


def recorded(run: str, name: str) -> list[Any]:
    events = json.loads(hearth("export", run, code=0).stdout)["step_events"]
    return [event["details"][name] for event in events if name in event["details"]]


def test_a_preview_marks_what_is_not_declared() -> None:
    shown = hearth("preview", "more.yaml", code=0).stdout
    assert "not declared" in line_of(shown, "c.txt")
    assert "not declared" not in line_of(shown, "b.txt")
    assert "not declared" not in line_of(shown, "a.txt")  # a step that declares nothing is held to its preview
    assert "a live run would be stopped: step 1" in shown
    assert "hearth request" not in shown
    told = document("preview", "more.yaml")
    assert [one["step_index"] for one in told["undeclared"]] == [1]
    assert told["undeclared"][0]["what"].endswith("c.txt was created")


def test_nothing_is_asked_for_that_a_live_run_would_stop_at() -> None:
    refused = hearth("request", "more.yaml", "--preview", "--reason", "why", code=3)
    assert "a live run would be stopped" in refused.stderr
    assert "c.txt was created" in refused.stderr
    assert document("approvals")["approvals"] == []


def test_nothing_is_applied_that_a_live_run_would_stop_at(folder: Path) -> None:
    hearth("preview", "--apply", "more.yaml", "--yes", "--reason", "t", code=3)
    assert not (folder / "b.txt").exists()


def test_what_must_happen_and_did_not_is_not_asked_for(folder: Path) -> None:
    (folder / "fewer.yaml").write_text(MISSING.replace("mb.txt}", "mb.txt, must: true}"))
    shown = hearth("preview", "fewer.yaml", code=0).stdout
    assert "! declared, and must, did not happen: mb.txt" in shown
    refused = hearth("request", "fewer.yaml", "--preview", "--reason", "why", code=3)
    assert "demands of it (mb.txt)" in refused.stderr


def test_a_dry_run_says_and_records_both(folder: Path) -> None:
    shown = hearth("run", "more.yaml", "--sandbox", "--id", "dry", code=0).output
    assert "not declared: " in line_of(shown, "c.txt was created")
    assert "1 effect not declared: a live run would be stopped" in shown
    assert "c.txt was created" in hearth("show", "dry", code=0).stdout
    assert [[one.rpartition("/")[2] for one in said] for said in recorded("dry", "undeclared")] == [
        ["c.txt was created"]
    ]
    hearth("run", "fewer.yaml", "--sandbox", "--id", "dry2", code=0)
    assert [[one["pattern"] for one in said] for said in recorded("dry2", "missing")] == [["mb.txt", "users"]]
    assert not (folder / "ma.txt").exists()


def test_a_run_says_what_is_declared_and_did_not_happen() -> None:
    live = ("run", "fewer.yaml", "--mode", "live", "--sandbox", "--yes", "--reason", "t", "--id", "run")
    shown = hearth(*live, code=0).output
    told = hearth("show", "run", code=0).stdout
    for text in (shown, told):
        assert "! declared, did not happen: mb.txt" in text
        assert "! declared, did not happen: users" in text
        assert "did not happen: ma.txt" not in text
    assert "2 declared effects did not happen" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_preview_that_is_broken_off_says_so_and_has_no_digest(number: signal.Signals) -> None:
    words = [sys.executable, "-m", "hearth", "preview", "--", "sh", "-c", "echo begun; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "begun" not in process.stderr.readline().rpartition("    ")[2]:
            pass
        process.send_signal(number)
        shown = process.stdout.read()
        assert process.wait(30) == 128 + number
    assert "the preview ended early" in shown
    assert "manifest " not in shown


@pytest.mark.parametrize("copied", [False, True])
def test_an_approver_sees_what_is_declared_of_a_preview(folder: Path, copied: bool) -> None:
    """From the request alone; and not otherwise where the plan is read from a copy that lies elsewhere."""
    asked = document("request", "fewer.yaml", "--preview", "--reason", "why")
    (folder / "copy").mkdir()
    (folder / "copy" / "fewer.yaml").write_text(MISSING)
    more = ("--plan", "copy/fewer.yaml") if copied else ()
    shown = hearth("approve", asked["request_id"], "--digest", asked["plan_digest"][:8], *more, code=0).stderr
    assert "! declared, did not happen: mb.txt" in shown
    assert "not declared" not in shown
    assert "--plan FILE" not in shown


def test_a_very_long_diff_shows_its_beginning(folder: Path) -> None:
    (folder / "long.txt").write_text("".join(f"{number}\n" for number in range(5000)))
    words = ("preview", "--diff", "--", "sed", "-i", "s/^/x/", "long.txt")
    shown = hearth(*words, code=0).stdout
    assert "… and 9801 lines more; --whole shows them all" in shown
    assert shown.count("\n") < 250
    assert hearth(words[0], "--whole", *words[1:], code=0).stdout.count("        +x") == 5000


LIVE = ("--mode", "live", "--sandbox", "--yes", "--reason", "t", "--id", "run")


def test_a_stopped_run_says_why_once_and_what_to_do_next() -> None:
    shown = hearth("run", "more.yaml", *LIVE, code=4).stdout
    assert shown.count("undeclared effects") == 1
    assert "hearth restore" in shown
    assert "hearth rollback" not in shown  # its first step is undeclared: nothing was committed


def test_what_may_have_been_done_can_be_taken_back(folder: Path) -> None:
    (folder / "fewer.yaml").write_text(MISSING + "  - {name: Fails, shell: 'false'}\n")
    assert "hearth rollback run" in hearth("run", "fewer.yaml", *LIVE, code=1).stdout


def test_a_record_of_many_paths_says_where_all_of_them_stand(folder: Path) -> None:
    (folder / "many.yaml").write_text(
        "plan: many\nsteps:\n  - name: Many\n"
        "    shell: for i in $(seq 150); do echo > f$i; done; chmod 600 fewer.yaml\n"
        "    effects: [{file_system: 'f*'}]\n"
    )
    hearth("run", "many.yaml", *LIVE, code=0)
    (line,) = (line for line in hearth("show", "run", code=0).stdout.splitlines() if "all 151 paths stand" in line)
    kept = json.loads(hearth(*line.partition("manifest: hearth ")[2].split(), code=0).stdout)
    assert len(kept["changes"]) == 151


def test_other_permissions_are_said_in_words(folder: Path) -> None:
    (folder / "mode.yaml").write_text(
        "plan: mode\nsteps: [{name: Mode, shell: chmod 600 more.yaml, effects: [{file_system: more.yaml}]}]\n"
    )
    hearth("run", "mode.yaml", *LIVE, code=0)
    assert "more.yaml was given other permissions, owner or attributes" in hearth("show", "run", code=0).stdout


def test_a_request_says_what_its_approval_is_held_to() -> None:
    shown = hearth("request", "fewer.yaml", "--preview", "--reason", "why", code=0).stdout
    assert f"its preview, manifest {document('preview', 'fewer.yaml')['digest']}" in shown


def test_without_a_ledger_nothing_is_said_to_be_applied_there(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    shown = hearth("preview", "--", "touch", "x", code=0).stdout
    assert "--apply" not in shown
    assert "hearth init" in shown


@pytest.mark.parametrize("quiet", [False, True])
def test_why_a_run_was_stopped_is_said_once(quiet: bool) -> None:
    stopped = hearth("run", "more.yaml", *LIVE, *(["--quiet"] if quiet else []), code=4)
    assert "warning: the posture worsened from OPERATIONAL/NOMINAL to OPERATIONAL/ELEVATED\n" in stopped.stderr
    assert stopped.output.count("a.txt was created") == 1
