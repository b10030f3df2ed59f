"""Keys, requests, approvals and broken glass on the command line: what each party types, and is told."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PLAN = """\
plan: tidy
inputs: [words.txt]
steps:
  - name: Read
    shell: cat words.txt
"""
LIVE = ("--mode", "live", "--yes", "--reason", "a test")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger, a plan and its input; no key yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "words.txt").write_text("hello\n")
    return tmp_path


# Keys


def test_a_key_made_for_one_ledger_is_trusted_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hearth("keygen", "--trust", "ann", code=0)
    key = folder / "settings" / "hearth" / "key.pem"
    before = key.read_bytes()
    second = folder / "second"
    second.mkdir()
    monkeypatch.chdir(second)
    hearth("init", code=0)
    (second / "plan.yaml").write_text("plan: other\nsteps:\n  - name: Say\n    shell: echo hello\n")
    refused = hearth("run", "plan.yaml", *LIVE, code=3)
    assert "`hearth keygen --trust` trusts your key there" in refused.stderr
    told = hearth("keygen", "--trust", "ann", code=0)
    assert "took the key that is there" in told.stdout
    assert "trusts it now" in told.stdout
    assert key.read_bytes() == before
    hearth("run", "plan.yaml", *LIVE, code=0)


def test_trusting_a_key_again_changes_nothing(folder: Path) -> None:
    first = document("keygen", "--trust", "ann")
    policy = (folder / ".hearth" / "policy.yaml").read_bytes()
    again = document("keygen", "--trust", "bob")
    assert (first["made"], again["made"]) == (True, False)
    assert (again["public_key"], again["name"]) == (first["public_key"], "ann")
    assert "already, as ann" in hearth("keygen", "--trust", code=0).stdout
    assert (folder / ".hearth" / "policy.yaml").read_bytes() == policy


def test_a_key_that_is_named_is_trusted_and_none_is_made(folder: Path) -> None:
    made = document("keygen", "--out", "other.pem")
    trusted = document("keygen", "--trust", "--key", "other.pem", "ann")
    assert (trusted["public_key"], trusted["made"]) == (made["public_key"], False)
    assert made["public_key"] in (folder / ".hearth" / "policy.yaml").read_text()
    assert not (folder / "settings").exists()
    hearth("run", "plan.yaml", *LIVE, "--key", "other.pem", code=0)


def test_an_existing_key_is_never_overwritten_and_the_way_on_is_said(folder: Path) -> None:
    hearth("keygen", code=0)
    key = folder / "settings" / "hearth" / "key.pem"
    before = key.read_bytes()
    refused = hearth("keygen", code=2).stderr
    assert "--out FILE" in refused
    assert "--trust" in refused
    hearth("keygen", "--trust", "--out", str(key), code=2)
    hearth("keygen", "--trust", "--passphrase", code=2)
    hearth("keygen", "--key", str(key), code=2)
    hearth("keygen", "--trust", "--key", "nowhere.pem", code=2)
    assert key.read_bytes() == before
    assert (
        not (folder / ".hearth" / "policy.yaml").exists()
        or "keys" not in (folder / ".hearth" / "policy.yaml").read_text()
    )


@pytest.mark.parametrize("alone", [True, False])
def test_a_run_says_that_the_callers_key_is_not_trusted_here(folder: Path, alone: bool) -> None:
    mine = document("keygen")
    hearth("keygen", "--out", "other.pem", code=0)
    hearth("keygen", "--trust", "--key", "other.pem", "bob", code=0)
    policy = folder / ".hearth" / "policy.yaml"
    if not alone:
        policy.write_text(policy.read_text().replace("self_approval: true", "self_approval: false"))
    said = hearth("run", "plan.yaml", *LIVE, code=3).stderr
    assert "is not trusted by" in said
    assert mine["public_key"] in said


# Reading, approving and denying


@pytest.fixture
def people(folder: Path) -> dict[str, str]:
    """Ann approves and breaks the glass, Bob approves, Eve only asks; two must approve, and nobody their own."""
    roles = {"ann": "approver, operator, emergency", "bob": "approver", "eve": "requester"}
    lines = ["approvals:", "  quorum: 2", "  keys:"]
    for name, held in roles.items():
        public = document("keygen", "--out", f"{name}.pem", name)["public_key"]
        lines.append(f'    {name}: {{key: "{public}", roles: [{held}]}}')
    (folder / ".hearth" / "policy.yaml").write_text("\n".join(lines) + "\n")
    return {name: str(folder / f"{name}.pem") for name in roles}


def ask(people: dict[str, str]) -> str:
    return str(document("request", "plan.yaml", "--reason", "why", "--key", people["eve"])["request_id"])


def approve(people: dict[str, str], request: str, who: str, *more: str, code: int = 0) -> Result:
    """Approve a request as somebody, by the digest that it has."""
    digest = document("approvals", request)["approvals"][0]["plan_digest"]
    return hearth("approve", request, "--digest", digest[:8], "--key", people[who], *more, code=code)


def live(request: str, *more: str, code: int = 0) -> Result:
    return hearth("run", "plan.yaml", "--mode", "live", "--approval", request, *more, code=code)


def test_two_people_approve_one_run(people: dict[str, str]) -> None:
    request = ask(people)
    for _ in range(6):
        assert "0 of 2 approvals" in live(request, code=3).stderr
    assert "1 of 2 approvals" in approve(people, request, "ann").stdout
    assert "1 of 2 approvals" in live(request, code=3).stderr
    assert "once is enough" in approve(people, request, "ann", code=3).stderr
    assert "as approver" in approve(people, request, "eve", code=3).stderr
    assert [one["state"] for one in document("approvals", "--open")["approvals"]] == ["waiting"]
    assert "a run may use it until" in approve(people, request, "bob").stdout
    assert document("state")["boundary"] == "NOMINAL", "waiting for approvers is no attack"
    assert "hello" in live(request, "--id", "both").stdout
    told = json.loads(hearth("export", "both", code=0).stdout)
    allowed = told["marks"][0]["details"]["approval"]
    assert (allowed["requester"], sorted(allowed["approvers"])) == ("eve", ["ann", "bob"])
    assert "used by the run both" in live(request, code=3).stderr


def test_an_approver_is_shown_the_plan_its_inputs_and_what_changed(people: dict[str, str], folder: Path) -> None:
    request = ask(people)
    shown = approve(people, request, "ann").stderr
    for part in ("shell: cat words.txt", "Input words.txt", "  hello", "No version of this plan was approved before"):
        assert part in shown, part
    approve(people, request, "bob")
    (folder / "words.txt").write_bytes(b"hello\r\nworld")
    changed = ask(people)
    shown = approve(people, changed, "ann").stderr
    assert f"Against the version that was approved last ({request}, asked for at" in shown
    assert "UTC, not run)" in shown
    for part in (
        "--- words.txt (approved last)",
        "-hello\n",
        "+hello\\r\n",
        "+world\n",
        "\\ No newline at end of file",
    ):
        assert part in shown, part
    assert "  hello\\r\n  world\n" in shown, "the input itself"
    approve(people, changed, "bob")
    live(changed, "--id", "changed")
    shown = approve(people, ask(people), "bob").stderr
    assert f"This very version was approved before ({changed}, " in shown
    assert "run as changed)" in shown
    assert "---" not in shown


def test_what_cannot_be_shown_is_not_approved(people: dict[str, str], folder: Path) -> None:
    request = ask(people)
    for kept in (folder / ".hearth" / "inputs").rglob("*"):
        if kept.is_file():
            kept.unlink()
    assert "give --plan FILE" in approve(people, request, "ann", code=3).stderr
    assert "  hello" in approve(people, request, "ann", "--plan", "plan.yaml").stderr
    (folder / "words.txt").write_text("other\n")
    assert "this is not the plan that was asked for" in approve(
        people, request, "bob", "--plan", "plan.yaml", code=3
    ).stderr  # fmt: skip
    assert len(document("approvals", request)["approvals"][0]["decisions"]) == 1


def test_a_large_text_is_shown_whole(people: dict[str, str], folder: Path) -> None:
    (folder / "words.txt").write_text("".join(f"line {number}\n" for number in range(150_000)))
    request = ask(people)
    approve(people, request, "ann", code=3)
    shown = approve(people, request, "ann", "--plan", "plan.yaml").stderr
    assert "  line 0\n" in shown
    assert "  line 149999\n" in shown


def test_a_binary_input_is_accepted_by_its_own_digest(people: dict[str, str], folder: Path) -> None:
    content = b"\x7fELF\xff\xfe"
    (folder / "words.txt").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    request = ask(people)
    approve(people, request, "ann", "--accept-unseen", digest, code=3)
    refused = approve(people, request, "ann", "--plan", "plan.yaml", code=3).stderr
    assert "6 bytes that are no text: an ELF program or library" in refused
    assert "--accept-unseen with the SHA-256 of each: words.txt (6 bytes that are no text: an ELF" in refused
    approve(people, request, "ann", "--plan", "plan.yaml", "--accept-unseen", "0" * 64, code=3)
    approve(people, request, "ann", "--plan", "plan.yaml", "--accept-unseen", digest[:63], code=3)
    approve(people, request, "ann", "--plan", "plan.yaml", "--accept-unseen", digest.upper())


@pytest.mark.parametrize("typed, code", [("", 3), ("12345678", 3), (None, 0)])
def test_a_person_is_asked_for_each_binary_input(
    people: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None, code: int
) -> None:
    (folder / "words.txt").write_bytes(b"\xff\xfe")
    digest = hashlib.sha256(b"\xff\xfe").hexdigest()
    request = ask(people)
    plan = document("approvals", request)["approvals"][0]["plan_digest"]
    monkeypatch.setattr("hearth.cli._decide.is_terminal", lambda _: True)
    answers = f"{digest[:8] if typed is None else typed}\n{plan[:8]}\n"
    arguments = ["approve", request, "--plan", "plan.yaml", "--key", people["ann"]]
    result = CliRunner().invoke(cli, arguments, input=answers)
    assert result.exit_code == code, result.output
    assert "Type the first 8 digits of the SHA-256 of words.txt to approve it unseen: " in result.stderr
    assert ("approved by ann" in result.stdout) is (code == 0)


def test_what_could_not_count_is_refused_in_words(people: dict[str, str]) -> None:
    denied = ask(people)
    hearth("deny", denied, "--reason", " ", "--key", people["bob"], code=2)
    hearth("deny", denied, "--reason", "not today", "--key", people["bob"], code=0)
    assert "was denied by bob: not today" in approve(people, denied, "ann", code=3).stderr
    used = ask(people)
    for who in ("ann", "bob"):
        approve(people, used, who)
    live(used, "--id", "over")
    assert "was used by the run over" in approve(people, used, "ann", code=3).stderr
    assert "the run over, which is over" in hearth(
        "deny", used, "--reason", "late", "--key", people["bob"], code=3
    ).stderr  # fmt: skip


# Broken glass


def test_an_emergency_needs_a_reason_and_says_so_whatever_else_is_given(people: dict[str, str]) -> None:
    for more in ((), ("--yes",), ("--yes", "--reason", " ")):
        options = ("--emergency", "--key", people["ann"], *more)
        for arguments in (("run", "plan.yaml", "--mode", "live", *options), ("exec", *options, "--", "true")):
            assert "--emergency needs --reason TEXT" in hearth(*arguments, code=2).stderr
    assert not document("approvals")["approvals"]


def test_a_key_without_the_role_breaks_no_glass(people: dict[str, str]) -> None:
    refused = hearth("run", "plan.yaml", *LIVE, "--emergency", "--key", people["bob"], code=3)
    assert "as emergency" in refused.stderr
    assert "breaks the glass" not in refused.output
    assert not document("approvals")["approvals"]


@pytest.fixture
def emergency(people: dict[str, str]) -> Result:
    """A run under broken glass, `urgent-1`, though two should have approved it."""
    return hearth("run", "plan.yaml", *LIVE, "--emergency", "--key", people["ann"], "--id", "urgent-1", code=0)


def test_an_emergency_is_loud_in_every_view(emergency: Result) -> None:
    assert "EMERGENCY: ann breaks the glass" in emergency.stderr
    waiting = "hearth review urgent-1 --reason TEXT"
    assert emergency.stdout.rstrip().endswith(waiting), "the last thing that the run says"
    hearth("export", "urgent-1", "--output", "urgent.json", code=0)
    for name in ("show", "verify", "rollback"):
        assert "EMERGENCY: the glass was broken" in hearth(name, "urgent-1", code=0).stdout, name
    view: tuple[str, ...]
    for view in (("verify", "--all"), ("verify", "urgent.json")):
        assert "EMERGENCY" in hearth(*view, code=0).stdout, view
    assert document("verify", "urgent.json")["emergency"] is True
    assert document("rollback", "urgent-1")["emergency"] is True
    (listed,) = document("list")["executions"]
    assert (listed["emergency"], listed["reviewed"]) == (True, False)
    assert document("state", "--history")["emergencies_without_review"] == ["urgent-1"]
    for view in (("list",), ("approvals",), ("state",), ("state", "--history")):
        shown = hearth(*view, code=0).stdout
        assert "EMERGENCY" in shown, view
        assert waiting in shown, view
    assert document("approvals")["emergencies_without_review"] == ["urgent-1"]
    assert document("state")["emergencies_without_review"] == ["urgent-1"]


def test_an_emergency_is_loud_also_where_little_is_printed(people: dict[str, str]) -> None:
    options = (*LIVE, "--emergency", "--key", people["ann"])
    told = document("run", "plan.yaml", *options, "--id", "one")
    assert told["emergency"] is True
    quiet = hearth("run", "plan.yaml", *options, "--id", "two", "--quiet", code=0)
    assert quiet.stdout == "two\n"
    assert "EMERGENCY RUN WITHOUT A REVIEW: hearth review two" in quiet.stderr
    single = hearth("exec", *options[2:], "--id", "three", "--", "echo", "hello", code=0)
    assert "hearth review three --reason TEXT" in single.stderr
    assert document("run", "plan.yaml", "--id", "dry")["emergency"] is False


def test_somebody_else_reviews_an_emergency_once(people: dict[str, str], emergency: Result) -> None:
    assert emergency.exit_code == 0
    review = ("review", "urgent-1", "--reason")
    assert "somebody else has to review it" in hearth(*review, "fine", "--key", people["ann"], code=3).stderr
    assert "to review an emergency" in hearth(*review, "fine", "--key", people["eve"], code=3).stderr
    hearth(*review, "  ", "--key", people["bob"], code=2)
    reviewed = document(*review, "it was right", "--key", people["bob"])
    assert (reviewed["reviewer"], reviewed["reason"]) == ("bob", "it was right")
    assert "was reviewed before" in hearth(*review, "again", "--key", people["bob"]).stderr
    assert document("state")["emergencies_without_review"] == []
    assert document("list")["executions"][0]["reviewed"] is True
    for view in (("list",), ("approvals",), ("show", "urgent-1")):
        assert "EMERGENCY" in hearth(*view, code=0).stdout, "what was reviewed stays an emergency"
    assert "it was right" in hearth("show", "urgent-1", code=0).stdout


def test_what_was_no_emergency_has_no_review(people: dict[str, str]) -> None:
    hearth("run", "plan.yaml", "--id", "dry", code=0)
    refused = hearth("review", "dry", "--reason", "fine", "--key", people["bob"])
    assert refused.exit_code != 0
    assert "was no emergency run" in refused.stderr
