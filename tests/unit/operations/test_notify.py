"""What a ledger's hooks are told: of runs, postures, a recorder that failed; and that nobody waits for them."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError, GateRefusedError, RecorderError
from hearth.kernel import HearthKernel
from hearth.operations import RunOutcome, lock_down, notify, probe_hooks, run_plan
from hearth.record import ExecutionStatus
from hearth.security import EVENTS, LiveMode
from tests.unit.execution.executor_support import Note
from tests.unit.execution.executor_support import make_plan as make_notes
from tests.unit.execution.notify.receivers import Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the steps are a POSIX shell's")


@pytest.fixture
def there() -> Iterator[Receiver]:
    """Who is told of everything."""
    with receiver() as kept:
        yield kept


def configure(home: LedgerHome, *hooks: dict[str, Any], **more: Any) -> None:
    home.policy.write_text(json.dumps({"staging": {"targets": ["host:*"]}, "notify": list(hooks), **more}))


def everything(there: Receiver, **more: Any) -> dict[str, Any]:
    return {"on": list(EVENTS), "url": there.url, **more}


def events(there: Receiver) -> list[str]:
    return [request.json["event"] for request in there.requests]


def stage(home: LedgerHome, plan: Plan, **options: Any) -> RunOutcome:
    return run_plan(plan, home=home, mode=LiveMode.STAGING, **options)


def test_a_run_tells_of_its_start_and_its_end(
    home: LedgerHome, make_plan: Callable[..., Plan], there: Receiver
) -> None:
    configure(home, everything(there))
    outcome = stage(home, make_plan({"name": "act", "shell": "true"}), execution_id="run-1")
    assert outcome.notes == ()
    start, finish = (request.json for request in there.requests)
    assert (start["event"], start["execution_id"], start["plan_id"]) == ("start", "run-1", "tidy")
    assert (finish["event"], finish["status"], finish["cause"]) == ("finish", "completed", "completed")
    assert finish["execution_hash"] == outcome.record.get_execution_hash()
    assert (finish["steps_completed"], finish["number_of_steps"], finish["live_mode"]) == (1, 1, "STAGING")
    assert start["ledger_id"] == finish["ledger_id"] == outcome.record.started["ledger_id"]


def test_a_run_that_fails_tells_why_without_secrets(
    home: LedgerHome, make_plan: Callable[..., Plan], there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASS_WORD", "correct horse battery")
    configure(home, everything(there))
    step = {"name": "act", "shell": 'echo "no: $P" >&2; exit 3', "env": {"P": {"secret": "env:PASS_WORD"}}}
    outcome = stage(home, make_plan(step))
    assert outcome.record.status is ExecutionStatus.FAILED
    assert events(there) == ["start", "failure"]
    told = there.requests[1].json
    assert told["reason"] == outcome.record.completion_reason
    assert b"correct horse" not in b"".join(request.body for request in there.requests)


def test_a_posture_s_change_is_told_once_by_who_made_it(home: LedgerHome, there: Receiver) -> None:
    configure(home, everything(there))
    with HearthKernel.open(home) as other, HearthKernel.open(home) as kernel:
        kernel.escalate("DEGRADED", "a sensor", who="falco")
        kernel.escalate("DEGRADED", "the same again")
        assert other.posture.security == "DEGRADED", "noticed, and not told again"
    (told,) = (request.json for request in there.requests)
    assert (told["event"], told["status"], told["before"]) == ("escalation", "DEGRADED", "OPERATIONAL/NOMINAL")
    assert (told["who"], told["reason"]) == ("falco", "a sensor")


def test_a_lockdown_is_told_once_also_where_the_history_cannot_be_read(home: LedgerHome, there: Receiver) -> None:
    configure(home, everything(there))
    assert lock_down(home, who="Ada", why="an intruder").new
    assert not lock_down(home, who="Bob", why="the same again").new
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE postures SET security = 'SUNNY'")
    assert lock_down(home, who="Ada", why="in doubt").new
    first, second = (request.json for request in there.requests)
    assert (first["event"], first["status"], first["before"]) == ("escalation", "LOCKDOWN", "OPERATIONAL/NOMINAL")
    assert (first["who"], first["reason"], first["version"]) == ("Ada", "an intruder", 1)
    assert len(first["ledger_id"]) == 32
    assert (second["boundary_state"], second["before"], second["version"]) == ("LOCKDOWN", "unknown", 2)


def test_an_escalation_stops_a_run_and_both_are_told(
    home: LedgerHome, make_plan: Callable[..., Plan], there: Receiver
) -> None:
    configure(home, everything(there))
    with HearthKernel.open(home) as kernel:
        kernel.arm(LiveMode.STAGING, who="ann", why="a test")
        timer = threading.Timer(0.3, kernel.escalate, ("COMPROMISED", "an intruder"))
        timer.start()
        with pytest.raises(Exception, match="COMPROMISED"):
            kernel.executor().execute(make_plan({"name": "long", "shell": "sleep 30"}), execution_id="run-1")
        timer.join()
    assert sorted(events(there)) == ["escalation", "escalation", "start"]
    told = next(
        request.json for request in there.requests if request.json.get("execution_id") and "cause" in request.json
    )
    assert (told["cause"], told["status"]) == ("escalation", "incomplete")


def test_what_a_step_says_of_an_escalation_is_told_without_its_secrets(
    home: LedgerHome, tmp_path: Path, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASS_WORD", "correct horse battery")
    configure(home, everything(there))

    def leak(_: object) -> None:
        raise ArtemisEscalationError("COMPROMISED", "somebody logged in with correct horse battery")

    task = Note(hooks={"leak": leak})
    plan = make_notes(tmp_path, [{"call": "leak", "text": {"secret": "env:PASS_WORD"}}], task=task)
    with HearthKernel.open(home) as kernel:
        kernel.arm(LiveMode.STAGING, who="ann", why="a test")
        with pytest.raises(ArtemisEscalationError):
            kernel.executor(tasks={"note": task}).execute(plan)
        assert "correct horse" not in kernel.kept_posture.why
    reasons = [request.json["reason"] for request in there.requests if request.json["event"] == "escalation"]
    assert len(reasons) == 2
    assert all("[redacted:" in reason and "correct horse" not in reason for reason in reasons)


def test_a_journal_that_dies_is_alerted_instead_of_an_end(
    home: LedgerHome, make_plan: Callable[..., Plan], there: Receiver
) -> None:
    configure(home, everything(there))
    journal = home.journal_path("run-1")
    plan = make_plan({"name": "one", "shell": f"rm '{journal}'"}, {"name": "two", "shell": "touch two"})
    with pytest.raises(RecorderError, match="is gone"):
        stage(home, plan, execution_id="run-1")
    told = {request.json["event"]: request.json for request in there.requests}
    assert set(told) - {"escalation"} == {"start", "recorder_failure"}
    alert = told["recorder_failure"]
    assert (alert["execution_id"], alert["plan_id"]) == ("run-1", "tidy")
    assert "is gone" in alert["reason"]


def test_too_little_room_is_alerted_and_recorded(
    home: LedgerHome, make_plan: Callable[..., Plan], there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(home, everything(there))
    monkeypatch.setattr("hearth.execution._health._look_at", lambda _: (1, False))
    outcome = stage(home, make_plan({"name": "one", "shell": "true"}))
    assert outcome.record.cause == "recorder_failure"
    assert outcome.error is not None
    assert "recorder_failure" in events(there)


def test_hooks_that_fail_change_no_outcome(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    with receiver(answer=500) as broken:
        configure(
            home,
            everything(broken),
            {"on": ["finish"], "command": ["/nowhere/page"]},
            {"on": ["finish"], "url": broken.url, "secret": "env:NO_SUCH_KEY"},
        )
        outcome = stage(home, make_plan({"name": "act", "shell": "true"}))
    assert outcome.error is None
    assert outcome.record.status is ExecutionStatus.COMPLETED
    assert outcome.record.verify()
    assert [note.partition(" was not told")[0] for note in outcome.notes] == [
        "notify[0] (webhook 127.0.0.1)",
        "notify[1] (command page)",
        "notify[2] (webhook 127.0.0.1)",
    ]


def test_a_run_s_time_does_not_depend_on_a_hook_that_hangs(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    steps = [{"name": f"step {number}", "shell": "true"} for number in range(5)]
    with receiver(hang=threading.Event()) as stuck:
        configure(home, everything(stuck, timeout="30s"), {"on": list(EVENTS), "command": ["sleep", "600"]})
        before = time.monotonic()
        outcome = stage(home, make_plan(*steps))
        assert 4.5 < time.monotonic() - before < 20, "the end waits five seconds, not thirty"
    record = outcome.record
    assert record.timestamp_end is not None
    assert (record.timestamp_end - record.timestamp_start).total_seconds() < 4
    assert record.status is ExecutionStatus.COMPLETED
    assert len(outcome.notes) == 2
    assert all("did not wait for it any longer" in note for note in outcome.notes)


def test_a_policy_without_hooks_starts_no_thread(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    configure(home)
    before = threading.active_count()
    stage(home, make_plan({"name": "act", "shell": "true"}))
    assert threading.active_count() <= before


def test_anybody_may_tell_of_an_event(home: LedgerHome, there: Receiver) -> None:
    configure(home, everything(there, on=["request"]))
    told = {"plan_id": "tidy", "status": "open", "requester": "ann", "reason": "September's users"}
    assert notify(home, "request", told) == ()
    assert notify(home, "denial", told) == (), "nobody asked for it"
    (request,) = there.requests
    assert {key: request.json[key] for key in told} == told
    there.answer = 500
    assert notify(home, "request", told) == ("notify[0] (webhook 127.0.0.1) was not told of request: status 500",)


def test_a_policy_that_cannot_be_read_tells_nobody_and_harms_nothing(home: LedgerHome) -> None:
    home.policy.write_text("notify: [")
    assert notify(home, "request", {}) == ()
    with HearthKernel.open(home) as kernel:
        assert kernel.escalate("DEGRADED", "all the same").security == "DEGRADED"
    with pytest.raises(GateRefusedError, match="nothing is run"):
        probe_hooks(home)


def test_probing_says_which_hooks_were_told(home: LedgerHome, there: Receiver) -> None:
    configure(home, everything(there), {"on": ["failure"], "command": ["false"]})
    assert [(trial.event, trial.why) for trial in probe_hooks(home)] == [("request", ""), ("failure", "exit status 1")]
    assert [trial.name for trial in probe_hooks(home, "start")] == ["notify[0] (webhook 127.0.0.1)"]
    assert all(request.json["test"] for request in there.requests)
    configure(home)
    with pytest.raises(GateRefusedError, match="names nobody under `notify:`"):
        probe_hooks(home)


def test_the_policy_s_key_on_is_a_key(home: LedgerHome, tmp_path: Path) -> None:
    """To YAML 1.1 it would be the boolean true."""
    home.policy.write_text(f"notify:\n  - {{on: [denial], command: [touch, '{tmp_path}/yes']}}\n")
    assert notify(home, "denial", {}) == ()
    assert (tmp_path / "yes").exists()
