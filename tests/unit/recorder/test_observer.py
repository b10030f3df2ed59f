"""What Stage 4 gives the observer by keyword, and redaction on the way in; the handoff's tests have the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import RecorderError
from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    Redactor,
    Secret,
    SideEffectCategory,
)
from hearth.recorder import ExecutionObserver, Journal
from tests.unit.recorder._support import Kernel, Plan, Step, document_of, observed

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-hunter2"


def shown(observer: ExecutionObserver) -> str:
    """Everything that the observer would show of an execution."""
    record = observer.get_execution_record()
    return json.dumps(record.to_dict(), ensure_ascii=False) + repr(record) + b"".join(observer._memory).decode()


# --- declared effects -------------------------------------------------------------------------------------------------


def test_where_there_is_a_plan_every_start_has_its_declared_effects() -> None:
    observer = observed()
    for index in (0, 1, 2, 7):
        observer.record_step_started(index, "a")
    events = observer.get_execution_record().step_events
    assert [[effect["pattern"] for effect in event.declared_effects or ()] for event in events] == [
        ["backup.db", "*.log"],
        ["app.db"],
        [],
        [],
    ]
    assert all(event.declared_effects is not None for event in events)


def test_without_a_plan_there_is_no_such_key() -> None:
    observer = ExecutionObserver("run", "plan")
    observer.record_step_started(0, "a")
    assert "declared_effects" not in observer.get_execution_record("LIVE").step_events[0].to_dict()


class Odd:
    """A declared effect with values that encoders write differently."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "category": SideEffectCategory.FILE_SYSTEM,
            "pattern": "\u2028",
            "size": 1e-6,
            "more": {"\ufb33": 1, "\U0001f600": [1.0, 1e16, None]},
            "reversible": True,
        }


def test_declared_effects_are_canonical_whatever_they_hold() -> None:
    observer = observed(plan=Plan((Step(0, "a", (Odd(),)),)))
    observer.record_step_started(0, "a")
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    record = observer.get_execution_record()
    assert record.verify(), record.verify()
    assert record.side_effects_report.side_effects_declared[0]["category"] == "file_system"
    assert ExecutionRecord.from_dict(document_of(record)).verify()


def test_of_a_plan_in_another_style_what_can_be_recorded_is() -> None:
    class Other:
        steps: tuple[Any, ...] = (SimpleNamespace(index=2**60, effects=5), SimpleNamespace(index=0, effects=["text"]))

        def digest(self) -> str:
            return "abc"

    observer = observed(plan=Other())
    observer.mark_failed()
    record = observer.get_execution_record()
    assert record.started["plan_digest"] is None
    assert record.started["number_of_steps"] == 2
    assert record.verify(), record.verify()
    assert ExecutionRecord.from_dict(document_of(record)).verify()


def test_a_plan_may_change_after_the_start() -> None:
    steps = [Step(0, "a")]
    observer = observed(plan=type("Changing", (), {"steps": steps, "digest": None})())
    steps.append(Step(1, "b"))
    observer.record_step_started(0, "a")
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    assert observer.status is ExecutionStatus.COMPLETED
    assert observer.get_execution_record().started["number_of_steps"] == 1


# --- unknown effects --------------------------------------------------------------------------------------------------


def test_what_was_seen_and_what_was_not_is_sealed() -> None:
    observer = observed()
    observer.record_step_started(0, "a")
    observer.set_unknown_effects([(0, "the sensor died"), (None, "no sandbox")])
    observer.mark_failed()
    report = observer.get_execution_record().side_effects_report
    assert report.unknown_effects
    assert report.unknown_effects_why == [
        {"step_index": 0, "why": "the sensor died"},
        {"step_index": None, "why": "no sandbox"},
    ]


def test_everything_seen_is_said_too() -> None:
    observer = observed()
    observer.record_step_started(0, "a")
    observer.set_unknown_effects([])
    observer.mark_failed()
    record = observer.get_execution_record()
    assert not record.side_effects_report.unknown_effects
    assert record.verify()


@pytest.mark.parametrize("why", ["lone \ud800", f"could not read password={SECRET}", "x" * 10_000, ""])
def test_no_reason_keeps_the_run_from_being_sealed_or_shows_a_secret(why: str) -> None:
    observer = observed()
    observer.set_unknown_effects([(0, why)])
    observer.mark_failed()
    record = observer.get_execution_record()
    assert record.verify()
    assert record.side_effects_report.unknown_effects
    assert SECRET not in shown(observer)


# --- redaction on the way in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda observer: observer.record_step_started(0, f"run --password {SECRET}"),
        lambda observer: observer.record_step_completed(0, f"TOKEN={SECRET} run"),
        lambda observer: observer.record_step_failed(0, "a", f"login with password={SECRET} refused"),
        lambda observer: observer.record_step_failed(0, "a", ValueError(f"password={SECRET}")),
        lambda observer: observer.record_side_effect("OTHER", f"GET http://ann:{SECRET}@host/"),
        lambda observer: observer.record_step_started(0, "a", {"password": SECRET}),
        lambda observer: observer.record_step_started(0, "a", f"secret: {SECRET}"),
        lambda observer: observer.record_step_started(0, "a", {"script": f"deploy \\\n--password {SECRET}\n"}),
        lambda observer: observer.record_step_started(0, "a", {"script": f"set -e\npwd={SECRET}\n\tpin={SECRET}\n"}),
        lambda observer: observer.record_step_started(0, "a", {"headers": [["X-Api-Key", SECRET], ["Accept", "*"]]}),
        lambda observer: observer.record_step_started(0, "a", {"headers": [("X-Api-Key", SECRET)]}),
        lambda observer: observer.record_step_started(0, "a", Secret(SECRET)),
        lambda observer: observer.record_step_started(0, "a", {"x": f"login {SECRET}", "y": Secret(SECRET)}),
        lambda observer: observer.record_step_failed(0, f"n {SECRET}", f"bad {SECRET}", {"y": Secret(SECRET)}),
        lambda observer: observer.record_side_effect("OTHER", f"sent {SECRET}", details={"y": [Secret(SECRET)]}),
        lambda observer: observer.mark_failed(f"password={SECRET}"),
    ],
)
def test_a_secret_does_not_come_in(act: Any) -> None:
    observer = observed()
    act(observer)
    observer.mark_failed()
    assert SECRET not in shown(observer)
    assert observer.get_execution_record().verify()


@pytest.mark.parametrize("name", ["initiator", "approval", "ledger_id", "plan_id"])
def test_nor_by_what_entry_0_commits(name: str) -> None:
    cases: dict[str, dict[str, Any]] = {
        "initiator": {"initiator": f"ann token={SECRET}"},
        "approval": {"approval": {"signature": "c2ln", "password": SECRET, "note": f"secret: {SECRET}"}},
        "ledger_id": {"ledger_id": "ledger"},
        "plan_id": {},
    }
    given = cases[name]
    plan_id = f"plan password={SECRET}" if name == "plan_id" else "plan"
    observer = ExecutionObserver("run", plan_id, Kernel(), live_mode="LIVE", **given)
    observer.mark_completed()
    assert SECRET not in shown(observer)
    assert observer.get_execution_record().verify()


def test_a_value_known_later_is_taken_out_from_then_on() -> None:
    observer = observed()
    observer.record_step_started(0, "login")
    observer.redactor.add_secret(SECRET)
    observer.record_step_started(0, f"login {SECRET}", {"x": f"-{SECRET}-"})
    observer.record_step_failed(0, "login", SECRET)
    observer.mark_failed(f"because of {SECRET}")
    assert SECRET not in shown(observer)


def test_a_step_name_seen_before_the_value_was_known_is_taken_out_afterwards() -> None:
    """Names are remembered in their encoded form; a secret made known must not slip through that memory."""
    observer = observed()
    for _ in range(3):
        observer.record_step_completed(0, f"login {SECRET}", {"a": f"login {SECRET}"})
    before = shown(observer).count(SECRET)
    observer.redactor.add_secret(SECRET)
    observer.record_step_completed(0, f"login {SECRET}", {"a": f"login {SECRET}"})
    record = observer.get_execution_record()
    assert SECRET not in json.dumps(record.step_events[-1].to_dict())
    assert before > 0


OWN_WORDS = [
    "completed",
    "execution_sealed",
    "OPERATIONAL",
    "NOMINAL",
    "LIVE",
    "operational",
    "0000",
    "5d5d",
    "user-import",
]


@pytest.mark.parametrize(
    "secret", [*OWN_WORDS, str(datetime.now(UTC).year), "before execution", "reported", "false", "null"]
)
def test_a_secret_that_is_one_of_the_recorders_words_breaks_no_record(secret: str) -> None:
    """A PIN like the present year, a password `completed`: the record still says what happened, and verifies."""
    redactor = Redactor()
    redactor.add_secret(secret)
    observer = observed(redactor=redactor)
    observer.record_step_started(0, "a", {"x": secret})
    observer.record_side_effect("OTHER", secret, step_index=0)
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    record = observer.get_execution_record()
    assert record.verify(), record.verify()
    assert record.status is ExecutionStatus.COMPLETED_PARTIAL
    assert secret not in json.dumps(record.step_events[0].details)
    assert record.side_effects_report.side_effects_observed[0].description != secret


@pytest.mark.parametrize(
    "name",
    [
        "status",
        "cause",
        "reason",
        "number_of_entries",
        "plan_id",
        "plan_digest",
        "host",
        "live_mode",
        "security_snapshot",
        "timestamp",
        "security_state",
        "context",
        "pattern",
        "category",
        "step_index",
        "sequence",
        "details",
        "event_type",
        "initiator",
        "approval",
    ],
)
def test_a_disclosable_key_like_one_of_the_recorders_breaks_no_record(name: str) -> None:
    observer = observed(redactor=Redactor(disclosable=[name]))
    observer.record_step_started(0, "a", {name: "4111"})
    observer.record_step_completed(0, "a")
    observer.mark_failed("because")
    record = observer.get_execution_record().with_disclosures(observer.disclosures)
    assert record.verify(), record.verify()
    assert record.status is ExecutionStatus.FAILED
    assert (record.completion_reason, record.plan_id) == ("because", "user-import")
    assert "4111" in [item.value for item in record.disclosures]
    assert list(record.step_events[0].details[name]) == ["$sha256"]


def test_disclosures_are_kept_beside_and_not_within() -> None:
    observer = observed(redactor=Redactor(disclosable=["card"]))
    observer.record_step_started(0, "a", {"card": "4111-1111"})
    observer.record_side_effect("OTHER", "x", details={"card": "5500-0000"})
    observer.mark_failed()
    assert "4111-1111" not in shown(observer)
    assert [(item.sequence, item.value) for item in observer.disclosures] == [(1, "4111-1111"), (2, "5500-0000")]
    assert observer.get_execution_record().with_disclosures(observer.disclosures).verify()


# --- with a journal ---------------------------------------------------------------------------------------------------


def test_with_a_journal_nothing_is_kept_in_memory(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "a.journal") as journal:
        observer = observed(journal=journal)
        for number in range(100):
            observer.record_side_effect("OTHER", f"effect {number}")
        assert list(observer._memory) == []
        observer.mark_completed()
        assert len(observer.get_execution_record().entries) == 102


def test_a_journal_that_was_changed_meanwhile_is_not_passed_off_as_the_record(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run", "plan", journal=journal)
        observer.record_step_started(0, "a", {"amount": 1})
        observer.record_step_completed(0, "a")
        observer.mark_completed()
        kept = observer.get_execution_record("LIVE")
        with path.open("rb") as file:
            lines = file.readlines()
        other = ExecutionObserver("run", "plan")
        other.record_step_started(0, "a", {"amount": 2})
        other.record_step_completed(0, "a")
        other.mark_completed()
        forged = b"".join(
            entry.event_hash.encode() + b" " + raw + b"\n"
            for entry, raw in zip(other.get_execution_record("LIVE").entries, other._memory, strict=True)
        )
        for content in (forged, lines[0], b"".join(lines[:-1]), b""):
            path.write_bytes(content)
            with suppress(RecorderError):
                record = observer.get_execution_record("LIVE")
                assert not record.verify() or record == kept
        path.write_bytes(b"".join(lines))
        assert observer.get_execution_record("LIVE") == kept


@pytest.mark.parametrize("word, recorded", [(True, True), (False, False), ("no", False), (1, False), (None, False)])
def test_an_effect_is_reversible_only_where_that_is_said(word: Any, recorded: bool) -> None:
    observer = observed()
    observer.record_side_effect("FILE_SYSTEM", "wrote a", word)
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    (effect,) = record.side_effects_report.side_effects_observed
    assert effect.reversible is recorded
    assert record.verify()
