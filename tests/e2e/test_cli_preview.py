"""Previews and sandboxed runs on the command line: what is shown, what is committed, and what stops a run."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution import ContentStore
from hearth.ledger import LedgerHome
from hearth.operations import fsck, purge
from hearth.record import ExecutionRecord, utc_now
from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import approved, live, needs_sandbox, record, unapproved

if TYPE_CHECKING:
    from pathlib import Path


PLAN = """\
plan: tidy
steps:
  - name: Write
    shell: "printf 'one\\ntwo\\n' > a.txt; rm old.txt"
    effects: [{file_system: a.txt, reversible: true}, {file_system: old.txt}]
  - name: Read
    shell: "wc -l < a.txt > lines.txt"
    effects: [{file_system: lines.txt, must: true}]
  - name: Mark
    file: {write: VERSION, content: "9\\n"}
    effects: [{file_system: VERSION}]
"""

pytestmark = needs_sandbox


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Path:
    """The current folder, with a ledger that trusts one key, and a plan."""
    (ledger_folder / "plan.yaml").write_text(PLAN)
    (ledger_folder / "old.txt").write_text("old\n")
    (ledger_folder / "a.txt").write_text("zero\n")
    return ledger_folder


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def changes(step: dict[str, Any]) -> dict[str, str]:
    return {change["path"].rpartition("/")[2]: change["kind"] for change in step["changes"]}


# Previews


def test_a_command_is_previewed_and_changes_nothing(folder: Path) -> None:
    before = files(folder)
    shown = hearth("preview", "--diff", "--", "sh", "-c", "echo one >> a.txt; rm old.txt; mkdir d; ln -s x l", code=0)
    for line in ("~ ", "a.txt", "+one", "old.txt", "l  ", "the host is as it was"):
        assert line in shown.stdout
    assert files(folder) == before
    assert not (folder / "d").exists()


def test_later_steps_see_what_earlier_ones_did(folder: Path) -> None:
    before = files(folder)
    told = document("preview", "plan.yaml")
    assert [changes(step) for step in told["steps"]] == [
        {"a.txt": "modified", "old.txt": "deleted"},
        {"lines.txt": "created"},
        {"VERSION": "created"},
    ]
    assert files(folder) == before
    assert not list((folder / ".hearth" / "sandboxes").iterdir())


def test_a_step_that_fails_ends_the_preview(folder: Path) -> None:
    told = json.loads(hearth("preview", "--json", "--", "sh", "-c", "touch there; exit 7", code=1).stdout)
    assert "exit code 7" in told["error"]
    assert changes(told["steps"][0]) == {"there": "created"}
    assert not (folder / "there").exists()


def test_a_preview_has_no_network() -> None:
    shown = hearth("preview", "--diff", "--", "sh", "-c", "cut -d: -f1 -s /proc/net/dev > n.txt", code=0).stdout
    assert [line.split("+")[1].strip() for line in shown.splitlines() if line.startswith("        +")] == ["lo"]


def test_a_dry_run_in_sandboxes_is_recorded_and_changes_nothing(folder: Path) -> None:
    before = files(folder)
    hearth("run", "plan.yaml", "--sandbox", "--id", "run", code=0)
    told = record()
    assert told["status"] == "completed"
    assert [event["details"].get("ran") for event in told["step_events"]] == [None, "sandbox"] * 3
    assert files(folder) == before


# Approved and run


def test_an_approved_preview_is_committed(folder: Path) -> None:
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    shown = hearth(
        "approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0
    ).output
    assert "What its preview did" in shown
    assert "VERSION" in shown
    live(request["request_id"], code=0)
    assert files(folder)["a.txt"] == "one\ntwo\n"
    assert files(folder)["lines.txt"].strip() == "2"
    assert files(folder)["VERSION"] == "9\n"
    assert "old.txt" not in files(folder)
    told = record()
    assert told["side_effects_report"]["unknown_effects"] is False
    seen = [effect for effect in told["side_effects_report"]["side_effects_observed"] if effect["origin"] == "observed"]
    assert {effect["details"]["path"].rpartition("/")[2] for effect in seen} == {
        "a.txt", "old.txt", "lines.txt", "VERSION",
    }  # fmt: skip
    assert all(effect["details"]["declared"] for effect in seen)
    assert hearth("verify", "run", code=0)
    assert hearth("fsck", code=0)


def stopped(folder: Path, before: dict[str, str], *words: str) -> None:
    told = record()
    assert (told["status"], told["marks"][-1]["details"]["cause"]) == ("incomplete", "escalation")
    for word in words:
        assert word in told["completion_reason"]
    assert files(folder) == before
    assert document("state")["boundary"] == "ELEVATED"
    assert hearth("fsck", code=0)


def test_an_undeclared_effect_stops_the_run_with_the_host_unchanged(folder: Path) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("rm old.txt", "rm old.txt; echo evil > .bashrc"))
    before = files(folder)
    unapproved(code=4)
    stopped(folder, before, "undeclared effects", ".bashrc was created")
    report = ExecutionRecord.from_dict(record()).side_effects_report
    assert [(one["step_index"], one["what"].rpartition("/")[2]) for one in report.undeclared] == [
        (0, ".bashrc was created")
    ]


def test_a_run_that_does_something_else_than_its_preview_stops(folder: Path) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("rm old.txt", "rm old.txt; date +%N >> a.txt"))
    request, before = approved(), files(folder)
    live(request, code=4)
    stopped(folder, before, "not what was approved", "a.txt")


def test_a_base_that_has_drifted_since_the_preview_stops(folder: Path) -> None:
    request = approved()
    (folder / "a.txt").write_text("somebody else's\n")
    before = files(folder)
    live(request, code=4)
    stopped(folder, before, "not what was approved", "before the step")


def test_a_declared_effect_that_did_not_happen_is_missing(folder: Path) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("; rm old.txt", ""))
    live(approved(), code=0)
    report = ExecutionRecord.from_dict(record()).side_effects_report
    assert [(one["step_index"], one["pattern"]) for one in report.missing] == [(0, "old.txt")]
    assert not report.undeclared


def test_an_effect_that_must_be_there_and_is_not_fails_the_step(folder: Path) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("wc -l < a.txt > lines.txt", "true"))
    unapproved(code=1)
    assert "demands of it (lines.txt)" in record()["completion_reason"]


def test_what_a_failed_step_did_is_thrown_away(folder: Path) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("wc -l < a.txt > lines.txt", "touch lines.txt; test -e go"))
    (folder / "go").write_text("")
    request = approved()
    (folder / "go").unlink()
    live(request, code=1)
    told = record()
    assert told["status"] == "failed"
    assert "lines.txt" not in files(folder)
    assert told["step_events"][-1]["details"]["committed"] is False


def test_an_approval_with_a_preview_is_not_for_a_run_in_place(folder: Path) -> None:
    request, before = approved(), files(folder)
    refused = live(request, "--in-place", code=3)
    assert "preview" in refused.output
    assert files(folder) == before
    live(request, code=0)


def test_a_manifest_that_was_changed_lets_nothing_be_approved_or_run(folder: Path) -> None:
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    digest = request["preview_digest"]
    kept = ContentStore(folder / ".hearth" / "outputs").path(digest)
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes().replace(b"lines.txt", b"other.txt"))
    refused = hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], code=3)
    assert "cannot be read" in refused.output


def test_a_policy_that_demands_previews_has_one_made(folder: Path) -> None:
    policy = folder / ".hearth" / "policy.yaml"
    policy.write_text(policy.read_text().replace("approvals:", "approvals:\n  require_preview: true", 1))
    request = document("request", "plan.yaml", "--reason", "why")
    assert request["preview_digest"]
    hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], code=0)
    live(request["request_id"], code=0)


def test_a_policy_may_let_nothing_run_live_on_the_host(folder: Path) -> None:
    policy = folder / ".hearth" / "policy.yaml"
    policy.write_text(policy.read_text() + "sandbox: {require: unprivileged, undeclared: compromised}\n")
    words = ("run", "plan.yaml", "--mode", "live", "--yes", "--reason", "why")
    before = files(folder)
    refused = hearth(*words, "--in-place", code=3)
    assert "lets nothing run LIVE in place" in refused.output
    assert files(folder) == before
    (folder / "plan.yaml").write_text(PLAN.replace("rm old.txt", "rm old.txt; touch more"))
    hearth(*words, "--id", "run", code=4)
    assert record()["step_events"][-1]["details"]["undeclared"] == [f"{folder}/more was created"]
    assert document("state")["boundary"] == "COMPROMISED"
    assert files(folder)["a.txt"] == "zero\n"


def test_doctor_says_what_this_machine_can_see() -> None:
    told = document("doctor")
    assert told["tier"] in ("full", "unprivileged")
    assert "tier " in hearth("doctor", code=0).stdout


# Upkeep


def test_what_an_undo_needs_is_kept_checked_backed_up_and_purged(folder: Path) -> None:
    (folder / "plan.yaml").write_text(
        PLAN.replace("rm old.txt", "rm old.txt; for i in $(seq 150); do rm many-$i; done")
    )
    text = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(
        text.replace("{file_system: old.txt}", "{file_system: old.txt}, {file_system: many-*}")
    )
    for number in range(1, 151):
        (folder / f"many-{number}").write_text(f"content {number}\n")
    live(approved(), code=0)
    home = LedgerHome(folder / ".hearth")
    journals = sorted(path.name for path in home.commits.iterdir())
    assert journals == ["run-0.jsonl", "run-1.jsonl", "run-2.jsonl"]
    assert fsck(home).findings == ()
    stored = ContentStore(home.outputs).path(sha256(b"content 7\n").hexdigest())
    assert stored.exists()
    hearth("backup", "copy.tar", code=0)
    hearth("--home", str(folder / "other"), "restore", "copy.tar", code=0)
    assert fsck(LedgerHome(folder / "other")).findings == ()
    assert (folder / "other" / "commits" / "run-0.jsonl").exists()

    kept = stored.read_bytes()
    stored.unlink()
    assert any("missing" in finding.what for finding in fsck(home).findings)
    stored.write_bytes(kept)
    stored.chmod(0o600)
    journal = home.commits / "run-0.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b"many-7", b"many-8", 1))
    assert [finding.where for finding in fsck(home).findings] == ["commits/run-0.jsonl"]
    journal.write_bytes(data)

    for path in (*home.outputs.rglob("*"), *(home.root / "plans").iterdir()):
        os.utime(path, (0, 0))  # what was kept just now stays a while
    (purged,) = purge(home, reason="old", executions=["run"], now=utc_now() + timedelta(days=400)).records
    assert purged.outcome == "purged"
    assert list(home.commits.iterdir()) == []
    assert not stored.exists()
    assert fsck(home).findings == ()


# Applying


def test_what_was_shown_is_applied_and_recorded(folder: Path) -> None:
    words = ("preview", "--apply", "--yes", "--reason", "why", "--", "sh", "-c", "echo new > a.txt; rm old.txt")
    shown = hearth(*words, code=0).stdout
    assert "the host is as it was" in shown
    assert "completed" in shown
    assert files(folder)["a.txt"] == "new\n"
    assert "old.txt" not in files(folder)
    told = json.loads(hearth("export", "last", code=0).stdout)
    assert told["live_mode_state"] == "LIVE"
    assert told["marks"][0]["details"]["approval"]["preview_digest"] in shown


def test_what_turns_out_otherwise_is_not_applied(folder: Path) -> None:
    before = files(folder)
    hearth("preview", "--apply", "--yes", "--reason", "why", "--", "sh", "-c", "date +%N > a.txt", code=4)
    assert files(folder) == before


def test_nothing_is_applied_that_nobody_confirmed(folder: Path) -> None:
    before = files(folder)
    refused = hearth("preview", "--apply", "--", "sh", "-c", "rm old.txt", code=3)
    assert "somebody has to confirm it" in refused.output
    hearth("preview", "--apply", "--yes", "--", "true", code=2)
    hearth("preview", "--apply", "--yes", "--reason", "why", "--", "sh", "-c", "rm old.txt; exit 3", code=1)
    assert files(folder) == before
    policy = folder / ".hearth" / "policy.yaml"
    policy.write_text(policy.read_text().replace("self_approval: true", "self_approval: false"))
    hearth("preview", "--apply", "--yes", "--reason", "why", "--", "sh", "-c", "rm old.txt", code=3)
    assert files(folder) == before


def test_what_a_previewed_command_writes_is_shown_beside_the_manifest() -> None:
    shown = hearth("preview", "--", "sh", "-c", "echo working; echo problem >&2; touch new.txt", code=0)
    assert "    working" in shown.stderr.splitlines()
    assert "    problem" in shown.stderr.splitlines()
    assert "working\n" not in shown.stdout
    assert "    $ started sh, touch" in shown.stdout.splitlines()
    assert shown.stdout.splitlines()[-1].startswith("to have it done, as shown: hearth preview --apply -- sh -c ")
    assert "to have it" not in hearth("preview", "--", "true", code=0).stdout


def test_two_previews_that_show_the_same_have_the_same_digest() -> None:
    assert document("preview", "plan.yaml")["digest"] == document("preview", "plan.yaml")["digest"]


def test_a_diff_has_no_line_that_no_file_has(folder: Path) -> None:
    (folder / "cut.txt").write_text("one\ntwo")
    shown = hearth("preview", "--diff", "--", "sh", "-c", "echo 3 >> cut.txt; echo new > new.txt", code=0).stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[2:6] == ["@@ -1,2 +1,2 @@", "one", "-two  (no newline at its end)", "+two3"]
    assert lines[7:9] == ["@@ -0,0 +1 @@", "+new"]


def test_the_line_of_a_program_can_be_copied(folder: Path) -> None:
    script = "printf '%s|' one \"it's\" 'a\\tb'\necho \"$1\" >> out.txt"
    shown = hearth("preview", "--whole", "--", "sh", "-c", script, "sh", "last $ one", code=0).stdout
    (line,) = (line.strip() for line in shown.splitlines() if line.startswith("    $ sh"))
    ran = subprocess.run(["bash", "-c", line[2:]], cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout == "one|it's|a\\tb|"
    assert (folder / "out.txt").read_text() == "last $ one\n"
