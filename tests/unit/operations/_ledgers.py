"""A ledger that has something of everything, made once; tests damage copies of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from hearth.kernel import HearthKernel
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Approvals, add_hold, initialise, keygen, load_key, purge, restore_posture, run_plan
from hearth.operations._review import review_emergency
from hearth.plan import parse_plan
from hearth.record import Redactor, utc_now
from hearth.recorder import ExecutionObserver, Journal
from hearth.security import LiveMode
from tests import approving
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.operations import Finding, FsckReport
    from hearth.plan import Plan

__all__ = ["connect", "copy_of", "edit", "find", "furnish"]


def furnish(folder: Path) -> LedgerHome:
    """Make the ledger.

    It has two live runs, an emergency with its review, disclosures, postures, holds, tombstones, a denied request, a
    refusal, and the journal of a killed run.
    """
    home = initialise(folder / ".hearth").home
    key = approving.trust(home)
    other = load_key(home, key)
    with home.policy.open("a", encoding="utf-8") as policy:
        policy.write("retention: {minimum_age: 1s}\n")
    work = folder / "work"
    work.mkdir()
    (work / "input.txt").write_text("read me\n")
    for number in (1, 2):
        plan = _plan(work, number)
        request = approving.approve(home, plan, key)
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id=f"run-{number}")
    _emergency(home, work, folder, other)
    with Ledger.open(home) as ledger:
        for number in range(4):
            ledger.store(make_sealed_record(f"made-{number}", reason="it was time"))
        _disclosing(ledger)
        ledger.approvals.add_refusal(plan_digest="a" * 64, code="missing", who="eve", now=utc_now())
        view = Approvals(home, ledger).request(_plan(work, 7), other, requester="ann", reason="no")
        Approvals(home, ledger).decide(view.asked.request_id, other, verdict="deny", reason="not today")
    with HearthKernel.open(home) as kernel:
        kernel.escalate("DEGRADED", "a test")
        kernel.escalate("LOCKDOWN", "another test")
    restore_posture(home, other, why="over")
    add_hold(home, "plan", "held", reason="court")
    purge(home, executions=["made-1", "made-2"], reason="too old")
    with Ledger.open(home) as ledger:
        ledger.retention.hold("execution", "made-3", who="ann", why="court")
        ledger.retention.release("execution", "made-3", who="ann", why="settled")
    _killed(home)
    return home


def copy_of(home: LedgerHome, folder: Path) -> LedgerHome:
    """Copy a ledger's folder, modes included."""
    shutil.copytree(home.root, folder / ".hearth")
    return LedgerHome(folder / ".hearth")


def connect(home: LedgerHome) -> sqlite3.Connection:
    """Open a ledger's database past every check."""
    connection = sqlite3.connect(home.database, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def edit(home: LedgerHome, *statements: str, values: tuple[Any, ...] = ()) -> None:
    """Run SQL on a ledger's database past every check."""
    connection = connect(home)
    for statement in statements:
        connection.execute(statement, values)
    connection.close()


def find(report: FsckReport, kind: str, record: str | None = None) -> Finding:
    """Return the finding of a kind (and of a record); the test fails with all findings where there is none."""
    found = [one for one in report.findings if one.kind == kind and (record is None or record in one.records)]
    assert found, f"no finding {kind!r} of {record!r}, only {report.findings}"
    return found[0]


def _plan(work: Path, number: int) -> Plan:
    return parse_plan(
        {
            "plan": "tidy",
            "inputs": ["input.txt"],
            "steps": [
                {"name": f"Write {number}", "file": {"write": f"{number}.txt", "content": "made\n"}},
                {"name": "Say", "shell": f"echo said {number}; seq 200"},
            ],
        },
        folder=work,
    )


def _emergency(home: LedgerHome, work: Path, folder: Path, signer: Any) -> None:
    plan = parse_plan({"plan": "urgent", "steps": [{"name": "Act", "shell": "true"}]}, folder=work)
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).approve_own(
            plan, signer, requester="ann", reason="fire", mode=LiveMode.LIVE, emergency=True
        )
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=view.asked.request_id, execution_id="urgent-1")
    path = folder / "bob.pem"
    public = keygen(path).public
    text = home.policy.read_text(encoding="utf-8")
    first = text.index("    ann: ")
    home.policy.write_text(f'{text[:first]}    bob: {{key: "{public}", roles: [operator]}}\n{text[first:]}')
    review_emergency(home, "urgent-1", load_key(home, path), reason="it was right")


def _disclosing(ledger: Ledger) -> None:
    observer = ExecutionObserver(
        "told", "p", live_mode="STAGING", redactor=Redactor(disclosable=("customer", "street"))
    )
    observer.record_step_started(0, "Ask", {"customer": "ACME", "street": "Main St 1"})
    observer.record_step_completed(0, "Ask")
    observer.mark_completed()
    ledger.store(observer.get_execution_record("STAGING").with_disclosures(observer.disclosures))
    gone = [one for one in ledger.disclosures("told") if one.pointer.endswith("street")]
    for one in gone:
        ledger.erasures.erase("told", [(one.sequence, one.pointer, one.digest)], by="ann", reason="they asked")


def _killed(home: LedgerHome) -> None:
    journal = Journal.create(home.journal_path("killed"))
    observer = ExecutionObserver("killed", "p", live_mode="STAGING", journal=journal)
    observer.record_step_started(0, "Begin")
    observer.record_side_effect("FILE_SYSTEM", "touched something", step_index=0)
    observer.record_step_completed(0, "Begin")
    observer.record_step_started(1, "Go on")
    journal.close()
    os.utime(home.root)
