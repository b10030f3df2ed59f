"""Purging: what may go, what must stay, what is left, and that nothing of what went can be read any more."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hearth.errors import DuplicateExecutionError, ExecutionPurgedError, GateRefusedError, LedgerError
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import (
    Approvals,
    Records,
    add_hold,
    fsck,
    initialise,
    list_holds,
    load_key,
    purge,
    recover,
    release_hold,
    run_plan,
)
from hearth.record import canonical_bytes
from hearth.security import LiveMode
from tests import approving
from tests.unit.ledger._records import make_sealed_record
from tests.unit.operations._ledgers import edit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

PLANTED = "Zq7-planted-Wörter-4711"


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    home = initialise(tmp_path / ".hearth").home
    home.policy.write_text("retention: {minimum_age: 30d}\n", encoding="utf-8")
    return home


def store(home: LedgerHome, *names: str, days: float = 100, **more: str) -> None:
    with Ledger.open(home) as ledger:
        for name in names:
            ledger.store(make_sealed_record(name, started=datetime.now(UTC) - timedelta(days=days), **more))  # type: ignore[arg-type]


def outcomes(home: LedgerHome, **chosen: object) -> dict[str, str]:
    report = purge(home, reason="too old", **chosen)  # type: ignore[arg-type]
    return {record.execution_id: record.outcome for record in report.records}


def ids(home: LedgerHome) -> set[str]:
    with Ledger.open(home) as ledger:
        return set(ledger.iterate_ids())


def test_age_and_plan_choose_what_goes(home: LedgerHome) -> None:
    store(home, "old-a", "old-b", plan="a")
    store(home, "old-c", plan="c")
    store(home, "young-a", days=40, plan="a")
    assert outcomes(home, plan="a", older_than=timedelta(days=90), dry_run=True) == {"old-a": "would", "old-b": "would"}
    assert ids(home) == {"old-a", "old-b", "old-c", "young-a"}
    assert outcomes(home, plan="a", older_than=timedelta(days=90)) == {"old-a": "purged", "old-b": "purged"}
    assert outcomes(home, executions=["old-c"]) == {"old-c": "purged"}
    assert ids(home) == {"young-a"}
    assert fsck(home).findings == ()


def test_the_minimum_age_holds_whatever_is_asked(home: LedgerHome) -> None:
    store(home, "young", days=29)
    report = purge(home, executions=["young"], reason="now")
    assert [(record.outcome, "keeps records 30 days" in record.why) for record in report.records] == [("refused", True)]
    home.policy.write_text("retention: {minimum_age: 28d}\n", encoding="utf-8")
    assert outcomes(home, executions=["young"]) == {"young": "purged"}


def test_a_policy_that_cannot_be_read_lets_nothing_go(home: LedgerHome) -> None:
    store(home, "old")
    home.policy.write_text("retention: {minimum_age: soon}\n", encoding="utf-8")
    with pytest.raises(GateRefusedError):
        purge(home, executions=["old"], reason="now")
    assert ids(home) == {"old"}


def test_without_a_reason_nothing_goes(home: LedgerHome) -> None:
    store(home, "old")
    with pytest.raises(GateRefusedError, match="reason"):
        purge(home, executions=["old"], reason="  ")


@pytest.mark.parametrize("kind,name", [("execution", "old"), ("plan", "user-import")])
def test_a_hold_stands_until_it_is_released(home: LedgerHome, kind: str, name: str) -> None:
    store(home, "old")
    add_hold(home, kind, name, reason="the court")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="on hold already"):
        add_hold(home, kind, name, reason="again")  # type: ignore[arg-type]
    (record,) = purge(home, executions=["old"], reason="now").records
    assert record.outcome == "refused"
    assert "the court" in record.why
    release_hold(home, kind, name, reason="settled")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="not on hold"):
        release_hold(home, kind, name, reason="twice")  # type: ignore[arg-type]
    assert list_holds(home) == ()
    (hold,) = list_holds(home, released=True)
    assert (hold.name, "settled" in str(hold.released_by)) == (name, True)
    assert outcomes(home, executions=["old"]) == {"old": "purged"}
    assert fsck(home).findings == ()


def test_what_was_purged_a_moment_ago_is_not_held(home: LedgerHome) -> None:
    store(home, "old")
    with Ledger.open(home) as ledger:
        full = ledger.find_id("old")  # and then, before the hold, another process:
    assert outcomes(home, executions=["old"]) == {"old": "purged"}
    with Ledger.open(home) as ledger:
        with pytest.raises(ExecutionPurgedError):
            ledger.retention.hold("execution", full, who="ann", why="the court")
        assert ledger.retention.holds(released=True) == ()


def test_a_hold_that_comes_in_between_is_respected(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    store(home, "old")
    from hearth.operations import _purge

    def note(home: LedgerHome, facts: dict[str, dict[str, object]]) -> None:
        add_hold(home, "execution", "old", reason="just in time")
        for fact in facts.values():
            fact["files"] = {"outputs": [], "plans": [], "inputs": []}

    monkeypatch.setattr(_purge, "_note_files", note)
    assert outcomes(home, executions=["old"]) == {"old": "refused"}
    assert ids(home) == {"old"}


def test_an_emergency_waits_for_its_review(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    home = initialise(tmp_path / ".hearth").home
    key = load_key(home, approving.trust(home))
    key = load_key(home, key.path)
    plan = make_plan({"name": "Act", "shell": "true"})
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).approve_own(
            plan, key, requester="ann", reason="fire", mode=LiveMode.LIVE, emergency=True
        )
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=view.asked.request_id, execution_id="urgent")
    later = datetime.now(UTC) + timedelta(days=365)
    (record,) = purge(home, executions=["urgent"], reason="now", now=later).records
    assert record.outcome == "refused"
    assert "hearth review urgent" in record.why


def test_a_record_that_does_not_verify_stays(home: LedgerHome) -> None:
    store(home, "old")
    edit(home, "UPDATE executions SET record = replace(CAST(record AS TEXT), 'row 17', 'row 18')")
    edit(home, "UPDATE executions SET record = CAST(record AS BLOB)")
    (record,) = purge(home, executions=["old"], reason="now").records
    assert record.outcome == "refused"
    assert "does not verify" in record.why


def test_a_tombstone_says_what_was_there(home: LedgerHome) -> None:
    store(home, "old")
    record = make_sealed_record("other", started=datetime.now(UTC) - timedelta(days=100))
    with Ledger.open(home) as ledger:
        ledger.store(record)
        size = len(ledger.get_bytes("other"))
    purge(home, executions=["old", "other"], reason="the law")
    with Ledger.open(home) as ledger, pytest.raises(ExecutionPurgedError, match="the law") as caught:
        ledger.get("other")
    tombstone = caught.value.tombstone
    assert {
        "execution_hash": record.get_execution_hash(),
        "head_hash": record.entries[-1].event_hash,
        "entries": 5,
        "size": size,
        "status": "failed",
        "live_mode": "LIVE",
        "reason": "the law",
        "row": 2,
    }.items() <= dict(tombstone).items()
    with Ledger.open(home) as ledger:
        second, first = ledger.retention.tombstones()
    assert second["previous"] == hashlib.sha256(b"HEARTH-tombstone-v1\0" + canonical_bytes(first)).hexdigest()


def test_a_purged_id_is_never_given_again(home: LedgerHome) -> None:
    store(home, "run-1", "run-10")
    purge(home, executions=["run-1"], reason="now")
    with Ledger.open(home) as ledger:
        with pytest.raises(ExecutionPurgedError):
            ledger.store(make_sealed_record("run-1", error="another"))
        with pytest.raises(ExecutionPurgedError):
            ledger.find_id("run-1")
        assert ledger.find_id("run-10") == "run-10"
    with HearthKernel.open(home) as kernel, pytest.raises((ExecutionPurgedError, DuplicateExecutionError)):
        kernel.require_new("run-1")
    assert fsck(home).findings == ()


def test_a_journal_that_was_left_is_not_stored_again(home: LedgerHome) -> None:
    store(home, "old")
    with Ledger.open(home) as ledger:
        entries = ledger.get("old").entries
    purge(home, executions=["old"], reason="now")
    lines = [canonical_bytes(entry.to_entry()) for entry in entries]
    path = home.journal_path("old")
    path.touch(mode=0o600)
    path.write_bytes(
        b"".join(b"%b %b\n" % (e.event_hash.encode(), line) for e, line in zip(entries, lines, strict=True))
    )
    assert [(finding.severity, finding.records) for finding in fsck(home).findings] == [("leftover", ("old",))]
    with Records(home) as records:
        (outcome,) = recover(records)
    assert outcome.outcome == "known"
    assert not path.exists()


@pytest.fixture
def planted(home: LedgerHome, make_plan: Callable[..., Plan], tmp_path: Path) -> LedgerHome:
    """Records with a text in every place: steps, errors, effects, outputs, plans, inputs, disclosures."""
    key = approving.trust(home)
    (tmp_path / "work" / "input.txt").write_text(PLANTED, encoding="utf-8")
    for number in range(3):
        steps = [
            {"name": f"{PLANTED} {number}", "shell": f"echo '{PLANTED}'; seq 3000"},
            {"name": "Read", "shell": "cat input.txt; exit 3"},
        ]
        plan = make_plan(*steps, inputs=["input.txt"], name=f"{number}")
        request = approving.approve(home, plan, key)
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id=f"live-{number}")
    store(home, *(f"x-{number}" for number in range(60)), error=PLANTED * 40, effect=PLANTED, step=PLANTED)
    return home


def test_nothing_of_a_purged_record_can_be_read_any_more(planted: LedgerHome) -> None:
    home = planted
    store(home, *(f"y-{number}" for number in range(60)))
    assert found(home)
    for path in (*home.root.glob("plans/*.json"), *home.root.glob("inputs/??/*")):
        os.utime(path, (0, 0))
    later = datetime.now(UTC) + timedelta(days=365)
    names = [name for name in ids(home) if not name.startswith("y")]
    report = purge(home, executions=names, reason="now", now=later)
    assert {record.outcome for record in report.records} == {"purged"}
    assert report.emptied
    assert report.left == ()
    assert found(home) == []
    assert fsck(home).findings == ()
    assert len(ids(home)) == 60


def found(home: LedgerHome) -> list[str]:
    forms = [PLANTED.encode(), json.dumps(PLANTED)[1:-1].encode(), PLANTED.casefold().encode()]
    files = [path for path in home.root.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(form in path.read_bytes() for form in forms)]


def test_what_another_record_refers_to_stays(planted: LedgerHome) -> None:
    home = planted
    later = datetime.now(UTC) + timedelta(days=365)
    outputs = {path: path.read_bytes() for path in home.outputs.rglob("*") if path.is_file()}
    purge(home, executions=["live-0"], reason="now", now=later)
    left = {path for path in home.outputs.rglob("*") if path.is_file()}
    gone = [content for path, content in outputs.items() if path not in left]
    # What was observed of a step names it, so that is its own; as an ordinary user nothing was.
    assert all(b'"way":"in-place"' in content and f"{PLANTED} 0".encode() in content for content in gone)
    assert len(gone) <= 1, "live-1 printed the same"
    report = fsck(home)
    assert not report.damaged
    assert {finding.kind for finding in report.findings} <= {"orphan"}


def test_a_file_that_is_wanted_meanwhile_is_put_back(planted: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home = planted
    from hearth.operations import _unreferenced

    calls = []

    def running(root: Path) -> bool:
        calls.append(root)
        return len(calls) > 1  # a run begins after the first look

    monkeypatch.setattr(_unreferenced, "_running", running)
    later = datetime.now(UTC) + timedelta(days=365)
    outputs = {path for path in home.outputs.rglob("*") if path.is_file()}
    report = purge(home, executions=[f"live-{number}" for number in range(3)], reason="now", now=later)
    assert report.left
    assert outputs == {path for path in home.outputs.rglob("*") if path.is_file()}
    monkeypatch.undo()
    assert fsck(home, repair=True).ok


def test_plans_that_were_just_kept_wait(planted: LedgerHome) -> None:
    later = datetime.now(UTC) + timedelta(days=365)
    report = purge(planted, executions=[f"live-{number}" for number in range(3)], reason="now", now=later)
    assert len([name for name in report.left if name.startswith("plans/")]) == 3
    for path in planted.root.glob("plans/*.json"):
        os.utime(path, (0, 0))
    fsck(planted, repair=True)
    assert fsck(planted, repair=True).findings == ()
    assert found(planted)  # in the records x-…
    assert not list(planted.root.glob("plans/*.json"))
    assert not [path for path in planted.root.glob("inputs/??/*") if path.is_file()]
