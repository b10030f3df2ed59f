"""The dossier in a real browser, without network, and by `hearth verify`: what holds, what is seen, what cannot act."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from hearth.evidence import COSIGNATURE, KeyHistory, LogProof, NoteKey, make_dossier, verify_dossier
from hearth.evidence import _dossier_page as dossier_page
from hearth.evidence._dossier_show import shown
from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    Origin,
    SealCause,
    SideEffectCategory,
    _structure,
    canonical_bytes,
)
from hearth.recorder import ExecutionObserver
from hearth.rollback import RollbackPlanner
from tests import dossiers
from tests.e2e.command import document as told
from tests.e2e.command import hearth
from tests.e2e.in_browser import in_a_browser

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome
    from tests.e2e.in_browser import Opened

HOSTILE = (
    "</script><script>ran++</script>", "<img src=x onerror='ran++'>", "<svg/onload=ran++>", "]]><!--",
    "--><b>bold</b>", "\u202egnp.exe\u202c", "a\u2028b\u2029c", "javascript:ran++", "{{ 7*7 }} {% raw %}",
    "&lt;b&gt; &amp;", "\u0000\u001b[31m\r\n", "'\" onmouseover=\"ran++\" x='", "http://127.0.0.1:9/x.png",
    "\ufeff\u200b\U000e0041", "__proto__", "<!--<script>", "\U0001f600\ud7ff",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    return dossiers.run(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def whole(home: LedgerHome, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The data of a dossier of which everything can be checked."""
    return dossiers.with_log(tmp_path_factory.mktemp("log"), dossiers.gathered(home))


@pytest.fixture(scope="module")
def intact(whole: dict[str, Any]) -> bytes:
    return dossiers.signed(whole)


def failing(page: bytes, *keys: str) -> set[str]:
    """The names of the checks that fail by `hearth verify`'s own code."""
    return {one.check.id for one in verify_dossier(page, keys).failed}


# --- what is whole


def test_all_holds_by_our_own_code(intact: bytes) -> None:
    finds = verify_dossier(intact).finds
    assert {one.check.id: str(one.finding) for one in finds if one.finding != "holds"} == {}


@in_a_browser
def test_all_holds_in_the_browser(intact: bytes, opened: Callable[..., Opened]) -> None:
    one = opened()
    assert one.show(intact) == "holds"
    assert {name: says for name, (finding, says) in one.findings().items() if finding != "holds"} == {}
    assert [found.check.id for found in verify_dossier(intact).finds] == list(one.findings())
    assert one.page.locator("#verdict-word").text_content() == "Everything holds"
    assert (one.said, one.page.evaluate("violations"), one.requests) == ([], [], [one.file.as_uri()])


@in_a_browser
def test_what_cannot_be_checked_is_said_and_is_no_success(home: LedgerHome, opened: Callable[..., Opened]) -> None:
    page = make_dossier(dossiers.gathered(home))
    one = opened()
    assert one.show(page) == "partly"
    left = {name for name, (finding, _) in one.findings().items() if finding == "unchecked"}
    of_log = {"log.leaf", "log.inclusion", "log.checkpoint", "log.opening", "log.approval", "log.witnesses"}
    assert left == {"data.signature", *of_log}
    assert left == {found.check.id for found in verify_dossier(page).finds if found.finding == "unchecked"}
    assert failing(page) == set()


@in_a_browser
@pytest.mark.parametrize("gone", ["crypto", "Ed25519"])
def test_a_browser_that_cannot_check_never_says_that_it_holds(
    intact: bytes, opened: Callable[..., Opened], gone: str
) -> None:
    one = opened()
    one.context.add_init_script(
        "Object.defineProperty(globalThis, 'crypto', {value: undefined})"
        if gone == "crypto"
        else "const known = SubtleCrypto.prototype.importKey;"
        "SubtleCrypto.prototype.importKey = function (form, key, how, ...rest) { return how.name === 'Ed25519'"
        " ? Promise.reject(new DOMException('no', 'NotSupportedError')) : known.call(this, form, key, how, ...rest); }"
    )
    assert one.show(intact) == ("unchecked" if gone == "crypto" else "partly")
    findings = one.findings()
    for name in ("data.signature", "approval.signatures", "log.checkpoint", "log.witnesses"):
        assert findings[name][0] == "unchecked", name
    assert findings["record.entries"][0] == ("unchecked" if gone == "crypto" else "holds")


# --- what was changed


@in_a_browser
def test_each_changed_byte_is_seen(intact: bytes, opened: Callable[..., Opened]) -> None:
    first, last = dossiers.span(intact)
    chance = random.Random(20260901)  # noqa: S311 - samples
    one = opened()
    for _ in range(50):
        place = chance.randrange(last - first)
        byte = chance.choice([other for other in range(256) if other != intact[first + place]])
        page = dossiers.mutated(intact, place, byte)
        assert failing(page), (place, byte)
        assert one.show(page) == "fails", (place, byte)


def test_each_changed_byte_of_the_page_is_seen_by_our_own_code(intact: bytes) -> None:
    chance = random.Random(7)  # noqa: S311 - samples
    for _ in range(60):
        place = chance.randrange(len(intact))
        page = intact[:place] + bytes([(intact[place] + chance.randrange(1, 256)) % 256]) + intact[place + 1 :]
        assert failing(page), place


def _forged(whole: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Data that somebody changed with care, and the check that has to see it."""
    fold, steps = dossiers.fold, whole["record"]["step_events"]
    proof, other = whole["proof"], NoteKey(dossiers.ORIGIN, dossiers.KEYS["stranger"].public)
    without = [event for event in steps if event["event_type"] != "step_failed"]
    said = ("approval", "decisions", 0, "says", "reason")
    opening = ("proof", "more", 0, "leaf")
    envelope = ("approval", "request", "envelope")
    another_time = re.sub('"at":"[0-9]{4}', '"at":"2001', proof["more"][0]["leaf"])
    signature = {"keyid": "somebody", "sig": "QUJD"}
    decisions, early, late = ("approval", "decisions"), "2020-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"
    other_state = proof["more"][0]["proof"].replace("\n17\n", "\n18\n")
    made_up = dossiers.approved_anew(whole)
    other_leaf = proof["more"][0]["leaf"].replace("execution_opened", "posture_changed")

    def in_proof(was: str, is_now: str) -> dict[str, Any]:
        return fold(whole, "proof", "proof", value=proof["proof"].replace(was, is_now))

    def entry(name: str, value: object) -> dict[str, Any]:
        return dossiers.chained_anew(fold(whole, "record", "step_events", 1, name, value=value))

    return {
        "words": (entry("event_type", "step_skipped"), "record.chain"),
        "types": (entry("step_name", []), "record.chain"),
        "times": (entry("timestamp", "2026-02-30T10:00:00.000000Z"), "record.chain"),
        "a truth": (fold(whole, "manifests", 0, "step_index", value=False), "manifests"),
        "a truth in a hint": (fold(whole, "rollback", "rollback_hints", 0, "step_index", value=False), "rollback.plan"),
        "a mark": (dossiers.approved_anew(whole, mark=b"\xef\xbb\xbf"), "approval.signatures"),
        "no text": (fold(whole, *envelope, "signatures", 0, "keyid", value=None), "approval.signatures"),
        "no reviews": (fold(whole, "approval", "reviews", value={}), "approval.binding"),
        "status": (fold(whole, "record", "status", value="completed"), "record.fields"),
        "error": (fold(whole, "record", "step_events", len(steps) - 1, "error_message", value=""), "record.entries"),
        "entry": (fold(whole, "record", "step_events", value=without), "record.chain"),
        "a signature": (fold(whole, "record", "signatures", value=[signature]), "record.hash"),
        "no signatures": (fold(whole, "record", "signatures", value={}), "record.hash"),
        "disclosed": (fold(whole, "record", "disclosures", value=[]), "record.hash"),
        "erased": (fold(whole, "record", "erasures", value=None), "record.hash"),
        "hash": (fold(whole, "record", "execution_hash", value="0" * 64), "record.hash"),
        "plan": (fold(whole, "plan", "plan", "description", value="harmless"), "plan.copy"),
        "approval": (fold(whole, *said, value="read with care"), "approval.signatures"),
        "run": (fold(whole, "approval", "use", "execution_id", value="another"), "approval.binding"),
        "guidance": (fold(whole, "rollback", "rollback_hints", 0, "actions", 0, value="rm -rf /"), "rollback.plan"),
        "leaf": (fold(whole, "proof", "leaf", value=proof["leaf"].replace("failed", "completed")), "log.leaf"),
        "index": (in_proof("index 11", "index 10"), "log.inclusion"),
        "size": (in_proof("\n17\n", "\n18\n"), "log.checkpoint"),
        "log key": (fold(whole, "proof", "log_key", value=str(other)), "log.checkpoint"),
        "opening": (fold(whole, *opening, value=another_time), "log.opening"),
        "opened later": (fold(whole, "proof", "more", 0, value=proof["more"][1]), "log.approval"),
        "another use": (fold(whole, "proof", "more", 1, "leaf", value=proof["more"][0]["leaf"]), "log.opening"),
        "approvers": (made_up, "log.approval"),
        "when it was used": (fold(whole, "approval", "use", "used", value="2026-01-01T00:00:00Z"), "log.approval"),
        "said to be missing": (fold(whole, "plan_missing", value="somebody has it"), "plan.copy"),
        "left away": (fold(made_up, "proof", "more", value=[]), "log.approval"),
        "a voice twice": (dossiers.approved_anew(whole, "ann", "bob"), "approval.signatures"),
        "made up more": (dossiers.decided_by(whole, "ceo", "2020-01-01T00:00:00.000000Z"), "log.approval"),
        "another request": (dossiers.decided_by(whole, "eve", late, request_digest="0" * 64), "approval.binding"),
        "denied": (dossiers.decided_by(whole, "eve", early, verdict="deny"), "approval.binding"),
        "expired": (dossiers.decided_by(whole, "eve", late, expires=early), "approval.binding"),
        "another state": (fold(whole, "proof", "more", 0, "proof", value=other_state), "log.opening"),
        "a decision twice": (fold(whole, *decisions, value=whole["approval"]["decisions"] * 2), "log.approval"),
        "a review": (fold(whole, "approval", "reviews", value=[dossiers.review_of(whole)]), "approval.binding"),
        "another leaf": (fold(whole, "proof", "more", 0, "leaf", value=other_leaf), "log.inclusion"),
        "quorum": (fold(whole, "witnesses", "quorum", value=2), "log.witnesses"),
        "no quorum": (fold(whole, "witnesses", "quorum", value=None), "log.witnesses"),
        "no list": (fold(whole, "erasures", value={}), "erasures"),
        "when": (fold(whole, "made_at", value="2020-01-01T00:00:00.000000Z"), "data.signature"),
    }  # fmt: skip


@in_a_browser
def test_what_was_changed_with_care_is_seen_by_the_check_for_it(
    whole: dict[str, Any], intact: bytes, opened: Callable[..., Opened]
) -> None:
    one = opened()
    for name, (forged, check) in _forged(whole).items():
        forged = {**forged, "page": dossier_page.frame()}  # noqa: PLW2901 - as make_dossier does
        # The page is made anew, too, and the data's SHA-256: only the maker's signature cannot be.
        page = dossiers.resealed(dossiers.signed(forged), forged)
        unsigned = make_dossier(forged)
        if check != "data.signature":
            assert check in failing(unsigned), name
            assert one.show(unsigned) == "fails", name
            assert one.findings()[check][0] == "fails", (name, one.findings()[check])
        else:
            assert failing(unsigned) == set(), "nothing covers it but a signature"
            taken = re.search(rb'id="dossier-seal">([^\n]*?)</script>', intact)
            assert taken is not None
            page = re.sub(rb'(?<=id="dossier-seal">)[^\n]*?(?=</script>)', lambda _: taken[1], page)  # noqa: B023
            assert {"data.bytes", "data.signature"} <= failing(page)
            assert "data.signature" in failing(dossiers.resealed(page, forged))
            assert one.show(dossiers.resealed(page, forged)) == "fails"
            assert one.findings()["data.signature"][0] == "fails"


@in_a_browser
def test_what_programs_would_read_otherwise_is_refused(
    whole: dict[str, Any], intact: bytes, opened: Callable[..., Opened]
) -> None:
    first, last = dossiers.span(intact)
    data, one = intact[first:last], opened()
    quorum = b'"quorum":1}}'
    assert data.count(quorum) == 1
    for number in (b"1.0", b"1e0", b"-0", b"9007199254740993", b"9007199254740992", b"100000000000000000000", b"1e999"):
        page = dossiers.with_data(intact, data.replace(quorum, b'"quorum":%s}}' % number))
        assert "data.canonical" in failing(page), number
        assert one.show(page) == "fails", number
        assert one.findings()["data.canonical"][0] == "fails", number
    version = whole["made_by"].encode()
    for text in (rb"\ud800", rb"\\\udfff", rb"\ud83d\ude00", rb"\u0041", rb"\uD800"):
        page = dossiers.with_data(intact, data.replace(b'"made_by":"', b'"made_by":"' + text))
        assert "data.canonical" in failing(page), text
        assert one.show(page) == "fails", text
        assert one.findings()["data.canonical"][0] == "fails", text
    page = dossiers.with_data(intact, data.replace(version, rb"\\ud800"))
    assert "data.canonical" not in failing(page), "a text of a backslash and letters"
    one.show(page)
    assert one.findings()["data.canonical"][0] == "holds"
    twice = dossiers.with_data(intact, data.replace(quorum, b'"quorum":1,"quorum":1}}'))
    assert {"data.canonical"} <= failing(twice)
    assert one.show(twice) == "fails"


@in_a_browser
@pytest.mark.parametrize(
    "was, is_now",
    [
        (b'data-as="word">failed<', b'data-as="word">completed<'),
        (b"exit code 3", b"exit code 0"),
        (b'<li class="step" data-outcome="failed">', b'<li class="step" data-outcome="completed">'),
        (b'<tr data-entry="3"', b'<tr data-entry="4"'),
    ],
)
def test_a_page_that_shows_something_else_is_seen(
    intact: bytes, opened: Callable[..., Opened], was: bytes, is_now: bytes
) -> None:
    body, mark, rest = intact.partition(b'<script type="application/json"')
    assert was in body
    page = body.replace(was, is_now, 1) + mark + rest
    assert failing(page) == {"page.values"}
    one = opened()
    assert one.show(page) == "fails"
    assert one.findings()["page.values"][0] == "fails"


def test_approvals_that_were_made_up_whole_only_the_log_tells(whole: dict[str, Any]) -> None:
    """Whoever makes up keys can sign anything with them: what was approved the log has."""
    made_up = dossiers.approved_anew(whole)
    assert failing(make_dossier(made_up)) == {"log.approval"}
    assert failing(make_dossier({**made_up, "proof": None})) == set()  # as it says of each signature: a key in the file


def test_a_page_of_another_version_is_not_believed_and_made_anew(whole: dict[str, Any], tmp_path: Path) -> None:
    """What it shows may be anything: nothing says that it is what another version makes of the data."""
    page = make_dossier(whole)
    was = dossiers.fold(whole, "page", value="0" * 64)
    other = dossiers.resealed(page, was).replace(b'data-as="word">failed<', b'data-as="word">completed<')
    file, anew = tmp_path / "other.html", tmp_path / "anew.html"
    file.write_bytes(other)
    assert failing(other) == {"page.values"}
    refused = " ".join(hearth("verify", str(file), code=5).output.split())
    assert "made by another version of HEARTH" in refused
    assert "--anew NEW.html" in refused
    hearth("verify", str(file), "--anew", str(anew), code=0)
    assert b'data-as="word">failed<' in anew.read_bytes()
    hearth("verify", str(anew), code=0)
    assert "is there already" in hearth("verify", str(file), "--anew", str(anew), code=2).output
    record = tmp_path / "record.json"
    record.write_bytes(canonical_bytes(whole["record"]))
    answer = hearth("verify", str(record), "--anew", str(tmp_path / "none"), code=2)
    assert "is no dossier" in " ".join(answer.output.split())
    file.write_bytes(b"<!doctype html>\n<p>Verified")
    hearth("verify", str(file), "--anew", str(tmp_path / "none"), code=5)
    assert not (tmp_path / "none").exists()


def test_the_page_knows_the_members_and_words_of_a_record_as_python_does() -> None:
    """The two verifiers are to refuse the same, so that neither says of a record what the other does not."""
    text = (Path(dossier_page.__file__).parent / "dossier/forms.js").read_text("utf-8")

    def listed(name: str) -> set[str]:
        found = re.search(rf"\b{name}(?: =|:) (\[[^\]]*\])", text)
        assert found is not None, name
        return set(json.loads(found[1]))

    assert listed("RECORD") == _structure._RECORD
    assert listed("REPORT") == _structure._REPORT
    assert listed("SNAPSHOT") == _structure._SNAPSHOT
    assert listed("BASE") == _structure._BASE
    assert listed("CAUSES") == set(SealCause)
    for name, words in {"category": SideEffectCategory, "origin": Origin, "status": ExecutionStatus}.items():
        assert listed(name) == set(words)
    for kind, allowed in _structure._KEYS.items():
        where, *more = re.search(rf"\b{kind}: (\[[^\]]*\])", text)[1].strip("[]").replace('"', "").split(", ")  # type: ignore[index]
        assert (where == "marks") == (kind in _structure._MARK_TYPES)
        assert _structure._BASE | set(more) == allowed[0]


def test_guidance_is_worked_out_anew(whole: dict[str, Any], tmp_path: Path) -> None:
    """No signature covers it here; but it follows from the record and the plan, which are covered."""
    file = tmp_path / "run.html"
    file.write_bytes(make_dossier(whole))
    assert "worked out anew from record and plan" in " ".join(hearth("verify", str(file), code=0).output.split())
    guidance = ("rollback", "executed_steps", 0)
    for path, value in {
        (*guidance, "outcome"): "completed",
        (*guidance, "error_message"): "nothing",
        ("rollback", "warnings"): [],
        ("rollback", "irreversible_steps"): [],
        ("rollback", "manual_steps"): [],
        ("rollback", "reason"): "All is well.",
        ("rollback", "rollback_hints"): [],
    }.items():
        forged = dossiers.fold(whole, *path, value=value)
        if forged == whole:
            continue
        file.write_bytes(make_dossier(forged))
        answer = hearth("verify", str(file), code=5)
        assert f"is not what follows from record and plan: {path[1]}" in " ".join(answer.output.split())
    other = dossiers.fold(dossiers.fold(whole, "rollback", "warnings", value=[]), "page", value="0" * 64)
    file.write_bytes(dossiers.resealed(make_dossier(whole), other))
    answer = hearth("verify", str(file), "--anew", str(tmp_path / "anew.html"), code=0)
    assert "another version worked it out" in " ".join(answer.output.split())


def test_a_decision_that_came_later_is_said_to_count_for_nothing(whole: dict[str, Any]) -> None:
    """A request can be decided on after it was used; but anybody can make up a decision and a key."""
    page = make_dossier(dossiers.decided_by(whole, "ceo", "2099-01-01T00:00:00.000000Z"))
    says = {one.check.id: one.says for one in verify_dossier(page).finds}
    assert says["approval.binding"].endswith("used by this run alone; what ceo signed, too, counted for nothing")
    assert says["log.approval"].endswith("what ceo signed came after it was used, and the log does not have it")


def test_an_opening_after_the_seal_is_none(home: LedgerHome, tmp_path: Path) -> None:
    late = dossiers.with_log(tmp_path, dossiers.gathered(home), told_late=True)
    assert failing(make_dossier(late)) == {"log.opening"}


@in_a_browser
def test_a_log_that_has_another_use_of_the_approval(
    home: LedgerHome, tmp_path: Path, opened: Callable[..., Opened]
) -> None:
    document = dossiers.gathered(home)
    (approver,) = {one["says"]["approver"] for one in document["approval"]["decisions"]}
    later = dossiers.decided_by(document, approver, "2099-01-01T00:00:00.000000Z")
    del later["approval"]["decisions"][0]
    one = opened()
    changes: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (document, {"ledger_id": "0" * 32}, "is of another ledger"),
        (later, {"decisions": []}, f"the log has no approval by {approver} that was used"),
    ]
    for place, (data, leaf, why) in enumerate(changes):
        page = make_dossier(dossiers.with_log(tmp_path / str(place), data, of_approval=leaf))
        (found,) = (find.says for find in verify_dossier(page).failed if find.check.id == "log.approval")
        assert why in found
        assert one.show(page) == "fails"
        assert why in one.findings()["log.approval"][1]


def test_guidance_without_the_plan_is_the_files_own_word(whole: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    without = {**whole, "plan": None, "plan_missing": "nobody knows"}
    for warnings in (["Undo it with rm -rf /."], ["The plan's hints are not given, for they are secret."]):
        rollback = RollbackPlanner.plan_rollback(ExecutionRecord.from_dict(whole["record"])).to_dict()
        for document in (without, whole):
            made_up = {**document, "rollback": {**rollback, "warnings": [*warnings, *rollback["warnings"]]}}
            file.write_bytes(make_dossier(made_up))
            found = {one["check"]: one["finding"] for one in told("verify", str(file))["checks"]}
            assert found["rollback.plan"] == "unchecked"
    file.write_bytes(make_dossier({**without, "rollback": {**rollback, "warnings": warnings, "reason": "none"}}))
    assert "is not what follows" in " ".join(hearth("verify", str(file), code=5).output.split())


def test_what_is_given_of_the_log_is_asked_of_a_dossier_as_of_a_proof(whole: dict[str, Any], tmp_path: Path) -> None:
    """Key, witnesses, quorum, policy, and a history of the keys that was kept."""
    file = tmp_path / "run.html"
    file.write_bytes(make_dossier(whole))
    log, witness = whole["proof"]["log_key"], whole["witnesses"]["keys"][0]
    other = str(NoteKey("other.example", dossiers.KEYS["stranger"].public, COSIGNATURE))
    given = ("--log-key", log)
    hearth("verify", str(file), *given, "--witness", witness, code=0)
    hearth("verify", str(file), *given, "--witness", witness, "--witness", other, "--quorum", "1", code=0)
    assert "and 2 are needed" in hearth("verify", str(file), *given, "--witness", witness, "--witness", other).output
    hearth("verify", str(file), *given, "--quorum", "1", code=2)
    hearth("verify", str(file), "--witness", witness, code=2)
    policy = tmp_path / "policy"
    policy.write_text(f"log {log}\nwitness one {witness}\nwitness two {other}\ngroup any 1 one two\nquorum any\n")
    hearth("verify", str(file), "--policy", str(policy), code=0)
    kept = tmp_path / "kept-keys"
    first = NoteKey.parse(log)
    kept.write_bytes(KeyHistory(first).rotated(dossiers.KEYS["log"], dossiers.KEYS["stranger"], 5).to_bytes())
    refused = hearth("verify", str(file), "--log-key", str(kept), code=5)
    assert "ended at size 5" in " ".join(refused.output.split())
    record = tmp_path / "record.json"
    record.write_bytes(canonical_bytes(whole["record"]))
    assert "are for a dossier, or with --proof" in " ".join(
        hearth("verify", str(record), *given, code=2).output.split()
    )
    file.write_bytes(make_dossier({**whole, "proof": None, "proof_missing": "lost"}))
    assert "a log's key was given" in " ".join(hearth("verify", str(file), *given, code=5).output.split())


def test_the_key_in_the_file_is_one_of_the_logs_history(whole: dict[str, Any]) -> None:
    """A stranger signs the log's checkpoint, too, and is named as its key."""
    stranger = dossiers.KEYS["stranger"]
    proof = LogProof.parse(whole["proof"]["proof"].encode())
    history = KeyHistory(NoteKey.parse(whole["proof"]["log_key"])).to_bytes()
    both = replace(proof, note=proof.note.signed(dossiers.ORIGIN, stranger), extra=history)
    made = dossiers.fold(whole, "proof", "proof", value=both.to_bytes().decode())
    assert failing(make_dossier(made)) == set()
    made = dossiers.fold(made, "proof", "log_key", value=str(NoteKey(dossiers.ORIGIN, stranger.public)))
    (found,) = verify_dossier(make_dossier(made)).failed
    assert "is none of its history" in found.says


@in_a_browser
def test_who_signed_an_approval_is_not_known_without_the_key(
    whole: dict[str, Any], opened: Callable[..., Opened]
) -> None:
    key = str(dossiers.KEYS["stranger"].public)
    page = make_dossier(dossiers.fold(whole, "policy", "keys", 0, "key", value=key))
    assert {one.check.id: str(one.finding) for one in verify_dossier(page).finds}["approval.signatures"] == "unchecked"
    one = opened()
    assert one.show(page) == "partly"
    assert one.findings()["approval.signatures"][0] == "unchecked"


def test_a_key_that_is_given_has_to_have_signed(intact: bytes) -> None:
    for key in (KEY_OF["maker"], str(NoteKey(dossiers.ORIGIN, dossiers.KEYS["log"].public))):
        verdict = verify_dossier(intact, [key])
        assert verdict
        assert any("(a key that was given)" in one.says for one in verdict.finds)
    assert failing(intact, KEY_OF["stranger"]) == {"key.given"}


KEY_OF = {name: str(key.public) for name, key in dossiers.KEYS.items()}


# --- what must not act


@in_a_browser
def test_nothing_in_a_record_acts(opened: Callable[..., Opened]) -> None:
    everything = " ".join(HOSTILE)
    observer = ExecutionObserver(f"id {everything}", f"plan {everything}", live_mode="DRY_RUN", initiator=HOSTILE[0])
    for index, text in enumerate(HOSTILE):
        observer.record_step_started(index, text, {"summary": text, text: [text, {text: text}], "values": 1.5e300})
        observer.record_side_effect("FILE_SYSTEM", text, step_index=index, details={"declared": text, "path": text})
        told_of = {"ran": text, "undeclared": [text], "missing": [{text: text}], "stdout": {"tail": text, "bytes": 9}}
        if index % 2:
            observer.record_step_completed(index, text, told_of)
        else:
            observer.record_step_failed(index, text, text, told_of)
    observer.mark_failed(everything)
    page = make_dossier(dossiers.bare(observer.get_execution_record("DRY_RUN")))
    assert failing(page) == set()
    one = opened()
    assert one.show(page) == "partly", {name: said for name, said in one.findings().items() if said[0] == "fails"}
    for name in range(one.page.locator("summary").count()):
        one.page.evaluate("n => { document.querySelectorAll('details')[n].open = true }", name)
    one.page.mouse.move(300, 300)
    assert one.page.evaluate("[ran, violations, document.images.length]") == [0, [], 0]
    assert (one.said, one.requests) == ([], [one.file.as_uri()])
    assert one.page.locator("script").count() == 3
    assert one.page.evaluate("[...document.links].every(one => one.getAttribute('href').startsWith('#'))")
    assert "\u202e" not in str(one.page.locator("body").inner_text())


@in_a_browser
def test_the_policy_lets_nothing_else_act(intact: bytes, opened: Callable[..., Opened]) -> None:
    inside = (
        b'<p id="x" onclick="ran++" style="color:red"></p><img src="http://127.0.0.1:9/"><script>ran++</script></main>'
    )
    one = opened()
    one.show(intact.replace(b"</main>", inside, 1))
    one.page.evaluate("document.getElementById('x').click()")
    assert one.page.evaluate("ran") == 0
    assert set(one.page.evaluate("violations")) >= {"script-src-elem", "script-src-attr", "img-src", "style-src-attr"}


floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda one: not one.is_integer() or abs(one) < 2**53)
texts = st.text(st.characters(exclude_categories=["Cs"]))
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | floats
    | texts | st.sampled_from(HOSTILE) | st.datetimes().map(lambda t: f"{t:%Y-%m-%dT%H:%M:%S.%f}Z"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
HOW = ("text", "block", "word", "short", "time", "offset", "span", "count", "size", "json")
START = "2026-09-01T10:00:00.000000Z"


@in_a_browser
def test_the_page_and_we_say_values_in_the_same_words(opened: Callable[..., Opened]) -> None:
    cases: list[tuple[Any, str]] = [(text, how) for text in HOSTILE for how in HOW]
    cases += [(number, how) for number in (0, 1, 999, 1000, 59_999_999, 60_000_000, 3_600_000_001, -5) for how in HOW]

    @given(trees, st.sampled_from(HOW))
    def collect(tree: Any, how: str) -> None:
        cases.append((json.loads(canonical_bytes(tree)), how))

    collect()
    wanted = [shown(value, how, start=START) for value, how in cases]
    one = opened()
    source = (dossier_page._FOLDER / "reading.js").read_text("utf-8")
    found = one.page.evaluate(
        f"(given) => {{ {source}\n return JSON.parse(given).map(([value, how]) => shown(value, how, {START!r})); }}",
        json.dumps(cases),
    )
    differ = [(case, ours, theirs) for case, ours, theirs in zip(cases, wanted, found, strict=True) if ours != theirs]
    assert differ == []


# --- what it is to read


@in_a_browser
def test_it_is_read_on_a_phone_and_on_paper(intact: bytes, opened: Callable[..., Opened]) -> None:
    one = opened(viewport={"width": 360, "height": 740})
    one.show(intact)
    one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = one.page.pdf()
    assert paper.startswith(b"%PDF-")
    assert len(paper) > 20_000


@in_a_browser
def test_no_rule_for_accessibility_is_broken_in_the_light_or_in_the_dark(
    intact: bytes, opened: Callable[..., Opened]
) -> None:
    """The rules are those of axe-core: WCAG 2.2, levels A and AA (contrast among them), and good practice."""
    backgrounds = set()
    for scheme in ("light", "dark"):
        one = opened(color_scheme=scheme)
        for page in (intact, dossiers.mutated(intact, 40, 0x78)):
            one.show(page)
            one.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            found = Axe().run(one.page).response
            assert {rule["id"] for rule in found["passes"]} >= {"color-contrast", "scrollable-region-focusable"}
            assert found["violations"] == []
        backgrounds.add(one.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(backgrounds) == 2


@in_a_browser
def test_the_keyboard_reaches_everything_and_a_reader_finds_its_way(
    intact: bytes, opened: Callable[..., Opened]
) -> None:
    one = opened()
    one.show(intact)
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("document.activeElement.className") == "skip"
    reached = one.page.evaluate("[...document.querySelectorAll('summary')].filter(one => one.checkVisibility()).length")
    found = set()
    for _ in range(400):
        place = one.page.evaluate("[...document.querySelectorAll('summary')].indexOf(document.activeElement)")
        if place >= 0:
            found.add(place)
        if one.page.evaluate("document.activeElement === document.body"):
            break
        one.page.keyboard.press("Tab")
    assert len(found) == reached > 20
    summary = one.page.locator(".step summary").first
    summary.focus()
    one.page.keyboard.press("Enter")
    assert summary.evaluate("one => one.parentElement.open")
    headings = one.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later - former <= 1 for former, later in pairwise(headings))
    assert one.page.locator("main, header, nav, footer").count() == 4
    assert one.page.locator("th:not([scope])").count() == one.page.locator("table:not(:has(caption))").count() == 0
    assert one.page.locator("[aria-live=polite]").inner_text().startswith("Everything holds")


@in_a_browser
def test_the_data_can_be_taken_out(intact: bytes, opened: Callable[..., Opened]) -> None:
    one = opened(accept_downloads=True)
    one.show(intact)
    with one.page.expect_download(timeout=10_000) as waiting:
        one.page.locator("#save").click()
    first, last = dossiers.span(intact)
    assert waiting.value.path().read_bytes() == intact[first:last]
    one.page.locator("#raw > summary").click()
    for _ in range(200):
        if len(str(one.page.locator("#raw-text").text_content())) > 1000:
            break
        one.page.wait_for_timeout(50)
    assert str(one.page.locator("#raw-text").text_content()).encode() == intact[first:last]
    assert one.page.evaluate("violations") == []


@in_a_browser
def test_very_many_effects_are_folded_and_checked_all_the_same(opened: Callable[..., Opened]) -> None:
    observer = ExecutionObserver("many", "plan", live_mode="STAGING")
    observer.record_step_started(0, "Write")
    for number in range(5_000):
        observer.record_side_effect("FILE_SYSTEM", f"wrote {number}", step_index=0)
    observer.record_step_completed(0, "Write")
    observer.mark_completed()
    document = dossiers.bare(observer.get_execution_record("STAGING"))
    page = make_dossier(document)
    assert len(page) < 6_000_000
    one = opened()
    assert one.show(page) == "partly"
    assert one.page.locator("tr[data-entry]").count() == 1000
    assert one.findings()["record.entries"] == ("holds", "5004 entries")
    effects = ("record", "side_effects_report", "side_effects_observed")
    forged = dossiers.fold(document, *effects, 2500, "description", value="wrote nothing")
    assert one.show(make_dossier(forged)) == "fails"


# --- the command


def test_the_command_writes_signs_and_checks(home: LedgerHome, tmp_path: Path) -> None:
    file, key = tmp_path / "run.html", str(home.root.parent / "ann.pem")
    at_home = ("--home", str(home.root))
    made = hearth(*at_home, "dossier", "the-run", "-o", str(file), "--key", key, code=0)
    assert "14 checks hold" in made.output
    assert "not checked: the leaf of the log is that of this record" in " ".join(made.output.split())
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert "is there already" in hearth(*at_home, "dossier", "the-run", "-o", str(file), code=2).output
    hearth(*at_home, "dossier", "the-run", "-o", str(file), "--force", code=0)
    hearth(*at_home, "dossier", "the-run", "-o", str(file), "--force", "--key", key, code=0)
    made = json.loads(hearth(*at_home, "dossier", "the-run", "-o", f"{file}.2", "--json", code=0).stdout)
    assert (made["ok"], made["file"], made["execution_id"]) == (True, f"{file}.2", "the-run")
    hearth(*at_home, "dossier", "the-run", "-o", "-", "--json", code=2)
    found = told("verify", str(file))
    assert (found["kind"], found["execution_id"], found["ok"]) == ("dossier", "the-run", True)
    assert {one["check"]: one["finding"] for one in found["checks"]}["data.signature"] == "holds"
    public = dossiers.gathered(home)["policy"]["keys"][0]["key"]
    hearth("verify", str(file), "--key", public, code=0)
    refused = hearth("verify", str(file), "--key", KEY_OF["stranger"], code=5)
    assert "no signature here is by the key" in " ".join(refused.output.split())
    file.write_bytes(dossiers.mutated(file.read_bytes(), 2000, 0x01))
    assert "NOT VERIFIED" in hearth("verify", str(file), code=5).output


def test_of_what_is_not_sealed_there_is_none(tmp_path: Path) -> None:
    from hearth.operations import initialise
    from hearth.recorder import Journal

    home = initialise(tmp_path / ".hearth").home
    journal = Journal.create(home.journal_path("open"))
    ExecutionObserver("open", "plan", live_mode="STAGING", journal=journal)
    journal.close()
    answer = hearth("--home", str(home.root), "dossier", "open", "-o", str(tmp_path / "x.html"))
    assert answer.exit_code == 1
    assert "not sealed" in answer.output
    assert not (tmp_path / "x.html").exists()


def test_with_a_log_its_key_from_elsewhere_is_enough(tmp_path: Path) -> None:
    home = dossiers.run(tmp_path)
    at_home, file = ("--home", str(home.root)), str(tmp_path / "run.html")
    hearth(*at_home, "log", "init", "--origin", dossiers.ORIGIN, code=0)
    first = json.loads(hearth(*at_home, "log", "status", "--json", code=0).stdout)["keys"][0]
    hearth(*at_home, "log", "rotate", code=0)
    witness = str(NoteKey("witness.example", dossiers.KEYS["witness"].public, COSIGNATURE))
    missing = hearth(*at_home, "dossier", "the-run", "-o", file, "--witness", witness, code=5)
    assert "0 of the 1 cosignatures that are needed are there" in " ".join(missing.output.split())
    hearth(*at_home, "dossier", "the-run", "-o", file, "--force", code=0)
    found = {one["check"]: (one["finding"], one["says"]) for one in told("verify", file, "--log-key", first)["checks"]}
    # It ran before there was a log, which took it up as it was.
    left = {"data.signature", "log.witnesses", "log.opening"}
    assert {name for name, (finding, _) in found.items() if finding != "holds"} == left
    assert "it follows from the log's first key" in found["log.checkpoint"][1]
    assert "(a key that was given)" in found["log.checkpoint"][1]
    hearth(*at_home, "log", "rotate", code=0)
    hearth(*at_home, "dossier", "the-run", "-o", file, "--force", code=0)
    keys = json.loads(hearth(*at_home, "log", "status", "--json", code=0).stdout)["keys"]
    for number, key in enumerate(keys):  # whichever a verifier has; the later ones say nothing of states before them
        checks = {one["check"]: one["says"] for one in told("verify", file, "--log-key", key)["checks"]}
        assert (
            f"it follows from the log's {'key' if number else 'first key'} {key.split('+')[1]}"
            in checks["log.checkpoint"]
        )
    other = str(NoteKey(dossiers.ORIGIN, dossiers.KEYS["stranger"].public))
    assert "has none of the keys that were given" in " ".join(
        hearth("verify", file, "--log-key", other, code=5).output.split()
    )
