"""The notifier: never in the way of who reports something, bounded in what it holds and in how long one waits."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import GateRefusedError
from hearth.execution import Notifier, try_hooks
from hearth.execution.notify import Notice
from hearth.execution.notify._line import MOST_WAITING
from hearth.security import EVENTS, Hook, Policy
from tests.unit.execution.notify.receivers import command, keeping, policy, receiver, script, told, webhook

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")


def notifier(*hooks: Hook, folder: Path | None = None, **options: Any) -> Notifier:
    kept = policy(*hooks, folder=folder)
    return Notifier(lambda: kept, **options)


def test_each_hook_is_told_of_what_it_asks_for(tmp_path: Path) -> None:
    with receiver() as there:
        tell = notifier(
            command(*keeping(tmp_path), on=("start", "failure")),
            webhook(there.url, on=("finish",)),
            facts={"ledger_id": "L"},
        )
        for event in EVENTS:
            tell.send(event, {"execution_id": "run-1"})
        assert tell.settle() == ()
        assert [one["told"]["event"] for one in told(tmp_path)] == ["start", "failure"]
        assert [request.json["event"] for request in there.requests] == ["finish"]
        assert {one["told"]["ledger_id"] for one in told(tmp_path)} == {"L"}


def test_200_events_at_once_arrive_in_order_each_once(tmp_path: Path) -> None:
    with receiver() as there:
        tell = notifier(webhook(there.url), command(*keeping(tmp_path)))
        before = time.monotonic()
        for number in range(200):
            tell.send("start", {"number": number})
        assert time.monotonic() - before < 0.5, "sending waits for nobody"
        assert tell.settle(60) == ()
        assert [request.json["number"] for request in there.requests] == list(range(200))
        assert [one["told"]["number"] for one in told(tmp_path)] == list(range(200))
        assert len({request.headers["HEARTH-Id"] for request in there.requests}) == 200


def test_a_hook_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    with receiver(hang=threading.Event()) as stuck, receiver() as there:
        tell = notifier(webhook(stuck.url), command("sleep", "600"), webhook(there.url), command(*keeping(tmp_path)))
        tell.send("start", {})
        there.wait_for(1)
        deadline = time.monotonic() + 10
        while not told(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(told(tmp_path)) == 1
        before = time.monotonic()
        problems = tell.settle(0.3)
        assert time.monotonic() - before < 3
        assert [problem.partition(" was not told")[0] for problem in problems] == [
            "notify[0] (webhook 127.0.0.1)",
            "notify[1] (command sleep)",
        ]
        assert all("HEARTH did not wait for it any longer" in problem for problem in problems)
        assert tell.settle() == (), "once"


def test_the_end_waits_five_seconds_at_most_however_many_hang() -> None:
    tell = notifier(*[command("sleep", "600", timeout=60) for _ in range(4)])
    for _ in range(10):
        tell.send("start", {})
    before = time.monotonic()
    problems = tell.settle()
    assert 4.5 < time.monotonic() - before < 8
    assert len(problems) == 4
    assert "start, start and 8 more" in problems[0]


def test_a_command_that_is_given_up_is_killed(tmp_path: Path) -> None:
    words = script(tmp_path, "import os, sys, time\nopen(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    tell = notifier(command(*words, str(tmp_path / "pid")))
    tell.send("start", {})
    path = tmp_path / "pid"
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    pid = int(path.read_text())
    tell.settle(0)
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_the_alert_does_not_wait_behind_a_hook_that_hangs(tmp_path: Path) -> None:
    words = script(
        tmp_path,
        "import sys, time\n"
        "time.sleep(600) if sys.argv[1] == 'start' else open(sys.argv[2], 'w').write(sys.stdin.read())\n",
    )
    tell = notifier(command(*words, "{event}", str(tmp_path / "alert")))
    tell.send("start", {})
    tell.send("recorder_failure", {"reason": "the disk is full"})
    deadline = time.monotonic() + 10
    while not (tmp_path / "alert").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    tell.settle(0.2)
    assert json.loads((tmp_path / "alert").read_text())["reason"] == "the disk is full"


def test_what_waits_is_bounded_and_what_is_dropped_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tell = notifier(command("sleep", "600"))
    with caplog.at_level(logging.ERROR):
        for _ in range(MOST_WAITING + 5):
            tell.send("start", {})
    problems = tell.settle(0.1)
    assert any("so it was dropped" in problem for problem in problems)
    assert "so it was dropped" in caplog.text


def test_a_failing_hook_is_told_of_once_for_each_kind_of_trouble(caplog: pytest.LogCaptureFixture) -> None:
    tell = notifier(command("false"), command("/nowhere/page"))
    with caplog.at_level(logging.ERROR):
        for event in ("start", "finish", "failure"):
            tell.send(event, {})
        problems = tell.settle()
    assert problems[0] == "notify[0] (command false) was not told of start, finish and 1 more: exit status 1"
    assert problems[1].startswith("notify[1] (command page) was not told of")
    assert len(problems) == 2
    assert len(caplog.records) == 6, "the log has each of them"


@pytest.mark.parametrize("kind", ["env", "file"])
def test_the_secret_is_looked_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """An alert must not need the disk that has failed. A file's path starts at the policy's folder."""
    monkeypatch.setenv("HOOK_KEY", "the key itself")
    (tmp_path / "key").write_text("the key itself\n")
    with receiver() as there:
        secret = "env:HOOK_KEY" if kind == "env" else "file:key"
        tell = notifier(webhook(there.url, secret=secret), folder=tmp_path)
        tell.refresh()
        monkeypatch.delenv("HOOK_KEY")
        (tmp_path / "key").unlink()
        tell.send("finish", {})
        assert tell.settle() == ()
        assert there.requests[0].headers["HEARTH-Signature"].startswith("v1=")


def test_without_its_secret_a_webhook_is_sent_nothing(tmp_path: Path) -> None:
    with receiver() as there:
        tell = notifier(
            webhook(there.url, secret="env:NO_SUCH_KEY"), webhook(there.url, secret="file:none"), folder=tmp_path
        )
        tell.send("finish", {})
        problems = tell.settle()
        assert there.requests == []
    assert "NO_SUCH_KEY" in problems[0]
    assert "none" in problems[1]


def test_a_policy_that_changes_is_followed_one_that_breaks_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with receiver() as first, receiver() as second:
        policies: list[Policy | Exception] = [policy(webhook(first.url)), policy(webhook(second.url))]

        def load() -> Policy:
            now = policies.pop(0) if policies else GateRefusedError("no YAML")
            if isinstance(now, Exception):
                raise now
            return now

        tell = Notifier(load)
        tell.send("start", {})
        tell.send("start", {})
        tell.refresh()
        tell.send("finish", {})
        with caplog.at_level(logging.WARNING):
            tell.refresh()
        tell.send("failure", {})
        assert tell.settle() == ()
        assert [request.json["event"] for request in first.requests] == ["start", "start"]
        assert [request.json["event"] for request in second.requests] == ["finish", "failure"]
        assert "no YAML" in caplog.text


def test_sending_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("odd")

    tell = notifier(command("true"))
    tell.send("start", {"odd": Odd(), "bytes": b"\xff", "surrogate": "\udcff", "self": tell})
    assert tell.settle() == ()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    tell.send("start", {})
    monkeypatch.undo()
    assert "can't start new thread" in tell.settle()[0]


def test_ctrl_c_ends_the_waiting_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = notifier(command("sleep", "600"))
    tell.send("start", {})

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Condition, "wait_for", interrupted)
    problems = tell.settle()
    monkeypatch.undo()
    assert problems == ("notify[0] (command sleep) was not told of start: interrupted",)


def test_a_notice_says_no_secret_and_keeps_its_own_fields() -> None:
    notice = Notice.make(
        "failure",
        {
            "id": "forged",
            "event": "finish",
            "reason": "psql postgresql://ada:hunter22@db/x failed; Authorization: Bearer abcdefghijklmnop0123456789",
            "password": "hunter22",
            "long": "x" * 10_000,
            "none": None,
        },
    )
    told = json.loads(notice.body)
    assert b"hunter22" not in notice.body
    assert b"abcdefghijklmnop0123456789" not in notice.body
    assert told["event"] == "failure"
    assert told["id"] == notice.id != "forged"
    assert told["schema"] == "hearth/notice/v1"
    assert len(told["long"]) == 2000
    assert told["none"] is None


def test_identifiers_and_digests_are_told_as_they_are() -> None:
    payload = {
        "execution_id": "user-import-20261122T141314Z-c75c3929",
        "plan_id": "user-import",
        "execution_hash": "b891ea5916078cc788a3140685f89098545e3324a0d7bc37d7a67a027412eff5",
        "plan_digest": "b891ea5916078cc788a3140685f89098545e3324a0d7bc37d7a67a027412eff5",
        "ledger_id": "ae29fb54e74b3501a79c0c7f204b938c",
        "request_id": "a1b2c3d4e5f60718293a4b5c6d7e8f90",
        "requester": "ada@example",
        "approver": "ada",
    }
    told = json.loads(Notice.make("request", payload).body)
    assert {key: told[key] for key in payload} == payload


def test_trying_hooks_out_calls_each_once(tmp_path: Path) -> None:
    with receiver() as there, receiver(answer=500) as broken:
        hooks = (
            command(*keeping(tmp_path), on=("finish", "start")),
            webhook(there.url, on=("request",)),
            webhook(broken.url, on=("start",)),
            command("sleep", "600", on=("start",), timeout=0.3),
        )
        trials = try_hooks(policy(*hooks), facts={})
        assert [(trial.event, trial.why) for trial in trials] == [
            ("finish", ""),
            ("request", ""),
            ("start", "status 500"),
            ("start", "killed after 0.3 s"),
        ]
        assert told(tmp_path)[0]["told"]["test"] is True
        assert len(there.requests) == len(broken.requests) == 1
        assert [trial.name for trial in try_hooks(policy(*hooks), "request", facts={})] == [
            "notify[1] (webhook 127.0.0.1)"
        ]
        assert try_hooks(policy(*hooks), "denial", facts={}) == ()
