"""Asking, deciding, and what an approver is shown: nothing may be signed that was not seen, or could not count."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import ApprovalRefusedError, LedgerError, SigningError
from hearth.ledger import Ledger
from hearth.operations import (
    Approvals,
    TrustedAs,
    emergency_runs,
    keygen,
    load_key,
    purge,
    read_posture,
    review_emergency,
    review_of,
    run_plan,
)
from hearth.operations._review import REVIEW_TYPE
from hearth.plan import ApprovalDecision, ApprovalRequest
from hearth.record import canonical_bytes, format_time, utc_now
from hearth.security import LiveMode, Posture
from hearth.signing import Envelope, SigningKey
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import ApprovalView, RunOutcome
    from hearth.plan import Plan

SECRET = "ghp_" + "a1B2" * 9
STEP: dict[str, Any] = {"name": "Say", "shell": "echo said"}


@pytest.fixture
def signer(home: LedgerHome, key: Path) -> TrustedAs:
    """Ann, who may do everything, also approve her own requests."""
    return load_key(home, key)


@pytest.fixture
def approvals(home: LedgerHome, key: Path) -> Iterator[Approvals]:
    """The ledger's approvals, open."""
    assert key.exists()
    with Ledger.open(home) as ledger:
        yield Approvals(home, ledger)


def add_key(home: LedgerHome, name: str, *roles: str) -> TrustedAs:
    path = home.root.parent / f"{name}.pem"
    public = keygen(path).public
    with home.policy.open("a") as policy:  # the keys are what the policy ends with
        policy.write(f'    {name}: {{key: "{public}", roles: [{", ".join(roles)}]}}\n')
    return load_key(home, path)


def ask(approvals: Approvals, plan: Plan, signer: TrustedAs, **more: Any) -> ApprovalView:
    return approvals.request(plan, signer, requester="ann", **{"reason": "why", **more})


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(ApprovalRefusedError) as caught:
        act()
    return caught.value.code


def wait_for_expiry(approvals: Approvals, monkeypatch: pytest.MonkeyPatch) -> None:
    later = utc_now() + timedelta(days=2)
    here = Approvals._here
    monkeypatch.setattr(Approvals, "_here", lambda self, asked: replace(here(self, asked), now=later))


# What a request and a decision may be


def test_a_blank_reason_is_none(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP)
    view = ask(approvals, plan, signer)
    for reason in ("", " \n "):
        with pytest.raises(SigningError, match="reason"):
            ask(approvals, plan, signer, reason=reason)
        with pytest.raises(SigningError, match="reason"):
            approvals.decide(view.asked.request_id, signer, verdict="deny", reason=reason)
        with pytest.raises(SigningError, match="reason"):
            review_emergency(home, "any", signer, reason=reason)
    assert not approvals.view(view.asked.request_id).decisions


def test_no_reason_keeps_a_secret(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP, variables={"password": "correct horse"})
    reason = f"pushed with {SECRET}"
    view = ask(approvals, plan, signer, reason=f"{reason}, and correct horse")
    approvals.decide(view.asked.request_id, signer, verdict="approve", reason=reason)
    approvals.decide(view.asked.request_id, signer, verdict="deny", reason=reason)
    view = approvals.view(view.asked.request_id)
    assert view.state == "denied"
    for text in (view.asked.reason, view.why, *(one.reason for one in view.decisions)):
        assert SECRET not in text
        assert "[redacted:" in text
    assert "correct horse" not in view.asked.reason
    urgent = approvals.approve_own(
        make_plan(STEP, name="urgent"), signer, requester="ann", reason="fire", mode=LiveMode.LIVE, emergency=True
    )
    run_plan(
        make_plan(STEP, name="urgent"), home=home, mode=LiveMode.LIVE,
        request_id=urgent.asked.request_id, execution_id="urgent-1",
    )  # fmt: skip
    told = review_emergency(home, "urgent-1", add_key(home, "bob", "operator"), reason=reason)
    assert SECRET not in told["reason"]
    for file in home.root.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def forged(document: dict[str, Any], key: SigningKey, kind: str = REVIEW_TYPE) -> bytes:
    return Envelope.sign(canonical_bytes(document), kind, key).to_json()


def test_a_review_counts_by_who_signed_what(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    """And not by being a row: strangers, the one who broke the glass, other words, no words."""
    plan = make_plan(STEP, name="urgent")
    urgent = approvals.approve_own(plan, signer, requester="ann", reason="fire", mode=LiveMode.LIVE, emergency=True)
    request = urgent.asked.request_id
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="urgent-1")
    bob, dan = add_key(home, "bob", "operator"), add_key(home, "dan", "emergency")
    with Ledger.open(home) as ledger:
        whole = {
            "ledger_id": ledger.ledger_id,
            "execution_id": "urgent-1",
            "request_id": request,
            "reviewer": "bob",
            "reason": "all is well",
            "created": format_time(utc_now()),
        }
        rows = [
            b"\0",
            forged(whole, SigningKey.generate()),
            forged(whole | {"reviewer": "ann"}, signer.key),
            forged(whole | {"reviewer": "dan"}, dan.key),
            forged(whole | {"reviewer": "eve"}, bob.key),
            forged(whole | {"ledger_id": "another"}, bob.key),
            forged(whole | {"execution_id": "urgent-2"}, bob.key),
            forged(whole | {"request_id": "another"}, bob.key),
            forged({name: whole[name] for name in ("reviewer", "reason", "created")}, bob.key),
            forged(whole, bob.key, "application/vnd.hearth.restoration.v1+json"),
        ]
        with closing(sqlite3.connect(home.database)) as connection, connection:
            for row in rows:
                connection.execute(
                    "INSERT INTO reviews (execution_id, reviewer, created, envelope) VALUES ('urgent-1', 'bob', ?, ?)",
                    (whole["created"], row),
                )
        assert emergency_runs(home, ledger) == {"urgent-1": False}
        assert review_of(home, ledger, "urgent-1") is None
        home.policy.write_text(home.policy.read_text() + "retention: {minimum_age: 1s}\n")
        (kept,) = purge(home, executions=["urgent-1"], reason="tidy", now=utc_now() + timedelta(days=1)).records
        assert (kept.outcome, "no review that counts" in kept.why) == ("refused", True)
        with closing(sqlite3.connect(home.database)) as connection, connection:
            connection.execute("UPDATE approval_uses SET emergency = 0")
        (kept,) = purge(home, executions=["urgent-1"], reason="tidy", now=utc_now() + timedelta(days=1)).records
        assert (kept.outcome, "no review that counts" in kept.why) == ("refused", True)
        with closing(sqlite3.connect(home.database)) as connection, connection:
            connection.execute("UPDATE approval_uses SET emergency = 1")
        review_emergency(home, "urgent-1", bob, reason="it was right")
        with closing(sqlite3.connect(home.database)) as connection, connection:
            connection.execute("UPDATE approval_decisions SET request_id = 'elsewhere'")
        assert review_of(home, ledger, "urgent-1") is None  # who broke the glass is not known
        with closing(sqlite3.connect(home.database)) as connection, connection:
            connection.execute("UPDATE approval_decisions SET request_id = ?", (request,))
        told = review_of(home, ledger, "urgent-1")
        assert told is not None
        assert told["reason"] == "it was right"
        with pytest.raises(LedgerError, match="reviewed before"):
            review_emergency(home, "urgent-1", bob, reason="twice")
        # A key that left the policy vouches for nothing any more; somebody else reviews it again.
        home.policy.write_text(home.policy.read_text().replace("    bob:", "    # bob:"))
        assert emergency_runs(home, ledger) == {"urgent-1": False}
        home.policy.write_text("approvals: [")
        assert emergency_runs(home, ledger) == {"urgent-1": False}


def test_a_time_that_is_too_long_is_told_in_days(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    with pytest.raises(SigningError, match="for 1d at most, not 99d 30m"):
        ask(approvals, make_plan(STEP), signer, valid_for=99 * 86_400 + 1_800.0)


def test_an_approval_that_could_let_nothing_run_is_refused(
    home: LedgerHome,
    approvals: Approvals,
    signer: TrustedAs,
    make_plan: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(STEP)
    denied = ask(approvals, plan, signer).asked.request_id
    approvals.decide(denied, signer, verdict="deny", reason="no")
    assert code_of(lambda: approvals.decide(denied, signer, verdict="approve", reason="")) == "denied"
    used = approving.approve(home, plan, signer)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=used)
    assert code_of(lambda: approvals.decide(used, signer, verdict="approve", reason="")) == "spent"
    late = ask(approvals, plan, signer).asked.request_id
    wait_for_expiry(approvals, monkeypatch)
    assert approvals.view(late).state == "expired", "nobody approved it, and nobody could any more"
    assert code_of(lambda: approvals.decide(late, signer, verdict="approve", reason="")) == "expired"
    assert approvals.view(denied).state == "denied"
    assert approvals.view(used).state == "spent"


def test_a_denial_of_a_run_that_is_over_is_refused(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP)
    used = approving.approve(home, plan, signer)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=used, execution_id="over")
    with pytest.raises(ApprovalRefusedError, match="over, which is over") as caught:
        approvals.decide(used, signer, verdict="deny", reason="too late")
    assert caught.value.code == "spent"
    assert [one.verdict for one in approvals.view(used).decisions] == ["approve"]


# Which approval a run finds


def test_an_approval_is_found_behind_a_thousand_others(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP)
    good = approving.approve(home, plan, signer)
    _add_newer(home, good, 1_000)
    assert approvals.usable(plan, LiveMode.LIVE) == good
    assert [row.request_id for row in approvals.ledger.approvals.each(plan_digest=plan.digest)][-1] == good
    assert len(list(approvals.ledger.approvals.each(plan_id=plan.id, oldest_first=True))) == 1_001


def test_the_mode_of_a_request_behind_many_others_is_found_for_the_refusal(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP)
    waiting = ask(approvals, plan, signer)
    staged = ask(approvals, plan, signer, mode=LiveMode.STAGING)
    _add_newer(home, staged.asked.request_id, 120)
    refusal = approvals.refusal(plan, LiveMode.LIVE)
    assert refusal.code == "waiting"
    assert waiting.asked.request_id in str(refusal)
    assert approvals.refusal(plan, LiveMode.STAGING).code == "waiting"


def _add_newer(home: LedgerHome, request_id: str, number: int) -> None:
    """Put newer requests of the same plan beside one: the same but for the id, and nobody approved them."""
    key = load_key(home, home.root.parent / "ann.pem").key
    with closing(sqlite3.connect(home.database)) as connection, connection:
        (document,) = connection.execute(
            "SELECT document FROM approval_requests WHERE request_id = ?", (request_id,)
        ).fetchone()
        asked = ApprovalRequest.read(Envelope.parse(document))
        for name in (f"copy-{count}" for count in range(number)):
            connection.execute(
                "INSERT INTO approval_requests (request_id, plan_id, plan_digest, created, document) "
                "SELECT ?, plan_id, plan_digest, created, ? FROM approval_requests WHERE request_id = ?",
                (name, replace(asked, request_id=name).sign(key).to_json(), request_id),
            )


def test_looking_whether_the_approvers_have_spoken_is_no_attack(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    with home.policy.open("a") as policy:
        policy.write("sensors: {refused_approvals: 2}\n")
    plan = make_plan(STEP)
    asked = ask(approvals, plan, signer).asked.request_id
    for request_id in (None, asked) * 3:
        assert code_of(partial(_try, home, plan, request_id)) == "waiting"
    assert read_posture(home).entry.kept.posture == Posture()
    approvals.decide(asked, signer, verdict="deny", reason="no")
    for _ in range(2):
        assert code_of(partial(_try, home, plan, asked)) == "denied"
    kept = read_posture(home).entry.kept
    assert kept.posture != Posture()
    assert kept.why == "2 runs were refused for want of an approval within an hour, the last one because it was denied"


def _try(home: LedgerHome, plan: Plan, request_id: str | None) -> RunOutcome:
    return run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request_id)


# What an approver is shown


def test_an_input_that_cannot_be_shown_is_not_approved(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    for content in (b"x" * (1 << 20) + b"\n", f"token {SECRET}\n".encode(), b"\x7fELF\xff" * 9):
        (work / "data").write_bytes(content)
        plan = make_plan(STEP, inputs=["data"])
        view = ask(approvals, plan, signer)
        kept = approvals.material(view)
        assert kept.inputs["data"].text is None
        with pytest.raises(ApprovalRefusedError, match="--plan FILE") as caught:
            kept.unseen([kept.inputs["data"].digest])
        assert caught.value.code == "plan"
        there = approvals.material(view, plan)
        if there.inputs["data"].text is not None:
            assert there.inputs["data"].text.encode() == content, "whole, however long it is"
            assert not there.unseen()
        (work / "data").write_bytes(content + b" ")
        with pytest.raises(ApprovalRefusedError, match="has the SHA-256"):
            approvals.material(view, plan).unseen()


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"\x7fELF\x02\x01\x01" + b"\xff" * 40, ": an ELF program or library"),
        (b"PK\x03\x04\xff", ": a ZIP archive (also: JAR, wheel, office document)"),
        (b"name\x00" + b"\xff" * 252 + b"ustar\x00", ": a tar archive"),
        (b"\xff\xfe?", ""),
        (b"text, and half a letter: \xc3", ""),
    ],
)
def test_a_binary_input_is_described_and_accepted_by_its_own_digest(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan], tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "work" / "blob").write_bytes(content)
    plan = make_plan(STEP, inputs=["blob"])
    material = approvals.material(ask(approvals, plan, signer), plan)
    known = material.inputs["blob"]
    assert known.binary == f"{len(content)} bytes that are no text{kind}"
    assert material.unseen() == {"blob": known}
    assert material.unseen(["f" * 64, known.digest[:63]]) == {"blob": known}
    assert material.unseen([known.digest.upper()]) == {}
    assert material.unseen([known.digest]) == {}


def test_a_large_text_is_read_in_pieces_that_cut_no_letter(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    text = "a" + "€" * (1 << 20)
    (tmp_path / "work" / "large").write_text(text, encoding="utf-8")
    plan = make_plan(STEP, inputs=["large"])
    assert approvals.material(ask(approvals, plan, signer), plan).inputs["large"].text == text


def test_the_plan_file_is_enough_where_the_kept_plan_is_lost(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(STEP)
    view = ask(approvals, plan, signer)
    (home.root / "plans" / f"{view.asked.plan_copy}.json").unlink()
    assert approvals.material(view, plan).document["plan"] == "tidy"


# What it is compared with


def test_a_version_that_was_approved_and_not_run_counts_too(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan], monkeypatch: Any
) -> None:
    first = ask(approvals, make_plan(STEP), signer)
    assert approvals.last_approved(first) is None
    newer = ask(approvals, make_plan({**STEP, "name": "Other"}), signer)
    assert approvals.last_approved(newer) is None, "nobody approved the other one"
    approvals.decide(first.asked.request_id, signer, verdict="approve", reason="")
    wait_for_expiry(approvals, monkeypatch)
    found = approvals.last_approved(newer)
    assert found is not None
    assert (found.view.asked, found.same, found.view.state) == (first.asked, False, "expired")
    assert found.material is not None
    changes = list(approvals.material(newer).diff(found.material))
    assert changes[:2] == ["--- plan (approved last)", "+++ plan (now)"]
    assert "+- name: Other" in changes


def test_the_order_of_keys_in_the_plan_file_is_no_difference(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    """Of the last version only its canonical form is kept; the new one is read from its file, as --plan does."""
    step = {**STEP, "effects": [{"file_system": "b", "reversible": True, "must": True}]}
    first = ask(approvals, make_plan(step), signer)
    approvals.decide(first.asked.request_id, signer, verdict="approve", reason="")
    plan = make_plan({**step, "timeout": "5s"})
    newer = ask(approvals, plan, signer)
    found = approvals.last_approved(newer)
    assert found is not None
    assert found.material is not None
    changes = [line for line in approvals.material(newer, plan).diff(found.material) if line[:1] in {"+", "-"}]
    assert changes[2:] == ["+  timeout: 5s"]


def test_a_version_that_was_denied_does_not_count(
    approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    first = ask(approvals, make_plan(STEP), signer).asked.request_id
    approvals.decide(first, signer, verdict="approve", reason="")
    approvals.decide(first, signer, verdict="deny", reason="no")
    assert approvals.last_approved(ask(approvals, make_plan({**STEP, "name": "Other"}), signer)) is None


def test_the_very_version_that_was_approved_before_is_named(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    approving.approve(home, make_plan({**STEP, "name": "Old"}), signer)
    again = approving.approve(home, make_plan(STEP), signer)
    found = approvals.last_approved(ask(approvals, make_plan(STEP), signer))
    assert found is not None
    assert (found.view.asked.request_id, found.same, found.material) == (again, True, None)


def test_the_last_approved_version_is_found_behind_many_requests(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    old = approving.approve(home, make_plan({**STEP, "name": "Old"}), signer)
    newest = ask(approvals, make_plan(STEP), signer)
    _add_newer(home, newest.asked.request_id, 150)
    found = approvals.last_approved(newest)
    assert found is not None
    assert found.view.asked.request_id == old


def test_a_version_that_cannot_be_shown_is_named_not_skipped(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    approving.approve(home, make_plan({**STEP, "name": "Oldest"}), signer)
    old = approvals.view(approving.approve(home, make_plan({**STEP, "name": "Old"}), signer))
    (home.root / "plans" / f"{old.asked.plan_copy}.json").unlink()
    found = approvals.last_approved(ask(approvals, make_plan(STEP), signer))
    assert found is not None
    assert (found.view.asked, found.material) == (old.asked, None)
    assert "is missing" in found.why


@pytest.mark.parametrize(
    "before, after, changes",
    [
        ("a\n", "a", ["-a", "+a", "\\ No newline at end of file"]),
        ("a", "a\n", ["-a", "\\ No newline at end of file", "+a"]),
        ("a\nb\n", "a\nb\r\n", [" a", "-b", "+b\r"]),
        ("a\rb\n", "a\nb\n", ["-a\rb", "+a", "+b"]),
        ("a\x0cb\u2028c\n", "a\nb\nc\n", ["-a\x0cb\u2028c", "+a", "+b", "+c"]),
        ("a\n", "", ["-a"]),
        ("--a\n", "++a\n", ["---a", "+++a"]),
    ],
)
def test_no_change_of_a_line_s_end_is_hidden(
    approvals: Approvals,
    signer: TrustedAs,
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    before: str,
    after: str,
    changes: list[str],
) -> None:
    materials = []
    for text in (before, after):
        (tmp_path / "work" / "data").write_bytes(text.encode())
        plan = make_plan(STEP, inputs=["data"])
        materials.append(approvals.material(ask(approvals, plan, signer), plan))
    assert list(materials[1].diff(materials[0]))[3:] == changes


def test_a_request_dated_ahead_is_not_usable(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    """Somebody with a key and a database may sign what they like."""
    plan = make_plan(STEP)
    honest = ask(approvals, plan, signer).asked
    ahead = utc_now() + timedelta(days=300)
    forged = replace(honest, request_id="f" * 16, created=ahead, expires=ahead + timedelta(days=1))
    approvals.ledger.approvals.add_request(
        forged.sign(signer.key),
        request_id=forged.request_id,
        plan_id=forged.plan_id,
        plan_digest=forged.plan_digest,
        created=format_time(ahead),
    )
    approvals.decide(forged.request_id, signer, verdict="approve", reason="")
    assert approvals.view(forged.request_id).state == "not_yet"
    assert approvals.usable(plan, LiveMode.LIVE) is None
    assert ApprovalRequest.read(approvals.ledger.approvals.find(forged.request_id).request) == forged


def test_names_are_those_of_the_keys(
    home: LedgerHome, approvals: Approvals, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    """Whatever name a request or a decision gives itself, what is shown is whose key signed it."""
    plan = make_plan(STEP)
    asked = replace(ask(approvals, plan, signer).asked, requester="the CEO", request_id="c" * 16)
    approvals.ledger.approvals.add_request(
        asked.sign(signer.key), request_id=asked.request_id, plan_id=asked.plan_id, plan_digest=asked.plan_digest,
        created=format_time(asked.created),
    )  # fmt: skip
    view = approvals.view(asked.request_id)
    assert (view.asked.requester, view.requester_key) == ("the CEO", "ann")
    stranger = SigningKey.generate()
    decision = ApprovalDecision.on(asked, approver="ann", verdict="approve", reason="great", now=utc_now())
    approvals.ledger.approvals.add_decision(
        decision.sign(stranger), request_id=asked.request_id, approver="ann", key=str(stranger.public),
        verdict="approve", created=format_time(decision.created),
    )  # fmt: skip
    view = approvals.view(asked.request_id)
    assert (view.state, view.decision_keys) == ("untrusted", (None,))
    shown = CliRunner().invoke(cli, ["--home", str(home.root), "approvals", asked.request_id])
    assert "ann (as the CEO)" in shown.output
    assert "ann? (no key that the policy knows)" in shown.output
    approvals.decide(asked.request_id, signer, verdict="approve", reason="")
    outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=asked.request_id)
    told = outcome.record.started["approval"]
    assert (told["requester"], told["requester_key"], told["approvers"]) == ("the CEO", "ann", ["ann"])
