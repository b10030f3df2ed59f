"""The handoff's observability API, to the letter (design, section 4)."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import decimal
import enum
import hashlib
import inspect
import json
import logging
import math
import pathlib
import pickle
import re
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

import hearth
from artemis.execution_observability import (
    ExecutionObserver,
    ExecutionRecord,
    ExecutionStatus,
    RollbackHint,
    RollbackPlanner,
    RollbackScaffold,
    SecuritySnapshot,
    SideEffect,
    SideEffectCategory,
    SideEffectReport,
    StepEvent,
    StepEventType,
)
from core.kernel import HearthKernel
from hearth.errors import ExecutionSealedError, LiveModeMismatchError
from hearth.record import SealCause
from hearth.security import BoundaryState, LiveMode, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
ZEROS = "0" * 64
TERMINAL = {
    ExecutionStatus.COMPLETED,
    ExecutionStatus.COMPLETED_PARTIAL,
    ExecutionStatus.FAILED,
    ExecutionStatus.INCOMPLETE,
}


def started(kernel: object | None = None) -> ExecutionObserver:
    return ExecutionObserver("exec-001", "plan-001", kernel)


def recorded(details: Any = None) -> ExecutionRecord:
    """A completed execution of one step that has `details`."""
    observer = started()
    observer.record_step_started(0, "Configure", details)
    observer.record_step_completed(0, "Configure")
    observer.mark_completed()
    return observer.get_execution_record("DRY_RUN")


def details_of(details: Any) -> Any:
    """What is recorded for `details`, after a check that the record with it holds."""
    record = recorded(details)
    assert record.verify(), record.verify()
    assert ExecutionRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    return record.step_events[0].details


def value_of(value: Any) -> Any:
    """What is recorded for one value within details."""
    return details_of({"value": value})["value"]


# --- names and signatures ---------------------------------------------------------------------------------------------


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Names and defaults of the parameters that may be given by position, without self."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        (parameter.name, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in positional and parameter.name != "self"
    ]


NONE = inspect.Parameter.empty


@pytest.mark.parametrize(
    "function, expected",
    [
        (ExecutionObserver, [("execution_id", NONE), ("plan_id", NONE), ("kernel", None)]),
        (ExecutionObserver.record_step_started, [("step_index", NONE), ("step_name", NONE), ("details", None)]),
        (ExecutionObserver.record_step_completed, [("step_index", NONE), ("step_name", NONE), ("details", None)]),
        (
            ExecutionObserver.record_step_failed,
            [("step_index", NONE), ("step_name", NONE), ("error_message", NONE), ("details", None)],
        ),
        (
            ExecutionObserver.record_side_effect,
            [("category", NONE), ("description", NONE), ("reversible", False), ("step_index", None), ("details", None)],
        ),
        (ExecutionObserver.mark_completed, [("reason", "")]),
        (ExecutionObserver.mark_failed, [("reason", "")]),
        (ExecutionObserver.mark_incomplete_security_escalation, [("reason", "")]),
        (SecuritySnapshot.from_kernel, [("kernel", NONE), ("context", "")]),
    ],
)
def test_the_signatures_are_the_handoffs(function: Callable[..., Any], expected: list[tuple[str, Any]]) -> None:
    assert parameters(function) == expected


def test_retrieval_takes_the_live_mode_first() -> None:
    assert parameters(ExecutionObserver.get_execution_record)[0][0] == "live_mode_state"


def test_every_other_argument_of_the_observer_is_by_keyword() -> None:
    rest = list(inspect.signature(ExecutionObserver).parameters.values())[3:]
    assert {parameter.kind for parameter in rest} == {inspect.Parameter.KEYWORD_ONLY}
    assert {"journal", "plan", "live_mode", "initiator"} <= {parameter.name for parameter in rest}
    assert all(parameter.default is None for parameter in rest)


@pytest.mark.parametrize(
    "kind, names",
    [
        (
            ExecutionRecord,
            """execution_id plan_id live_mode_state status step_events side_effects_report security_snapshot_pre
            security_snapshot_post timestamp_start timestamp_end completion_reason""",
        ),
        (StepEvent, "timestamp step_index step_name event_type details error_message previous_event_hash"),
        (SecuritySnapshot, "timestamp security_state boundary_state context"),
        (
            RollbackScaffold,
            "execution_id is_rollback_possible reason rollback_hints warnings irreversible_steps manual_steps",
        ),
        (RollbackHint, "step_index description actions required_inputs risks estimated_duration"),
    ],
)
def test_the_data_classes_are_frozen_and_have_the_handoffs_fields(kind: type, names: str) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert [field.name for field in dataclasses.fields(kind)][: len(names.split())] == names.split()


@pytest.mark.parametrize(
    "kind, names, value",
    [
        (SideEffectCategory, "FILE_SYSTEM NETWORK DATA_MUTATION CONFIGURATION SYSTEM OTHER", str.lower),
        (ExecutionStatus, "STARTED COMPLETED COMPLETED_PARTIAL FAILED INCOMPLETE", str.lower),
        (SealCause, "COMPLETED FAILED ESCALATION INTERRUPTED RECOVERED RECORDER_FAILURE", str.lower),
        (
            StepEventType,
            "EXECUTION_STARTED STEP_STARTED STEP_COMPLETED STEP_FAILED SIDE_EFFECT EXECUTION_SEALED",
            str.lower,
        ),
        (SecurityState, "OPERATIONAL DEGRADED COMPROMISED LOCKDOWN", str.upper),
        (BoundaryState, "NOMINAL ELEVATED COMPROMISED LOCKDOWN", str.upper),
        (LiveMode, "DRY_RUN STAGING LIVE", str.upper),
    ],
)
def test_the_enums_have_these_members_and_values(
    kind: type[enum.StrEnum], names: str, value: Callable[[str], str]
) -> None:
    assert {name: member.value for name, member in kind.__members__.items()} == {
        name: value(name) for name in names.split()
    }


def test_the_states_are_ordered_by_severity() -> None:
    assert sorted(SecurityState, reverse=True) == [*SecurityState][::-1]
    assert SecurityState.OPERATIONAL < SecurityState.DEGRADED < SecurityState.COMPROMISED < SecurityState.LOCKDOWN
    assert BoundaryState.NOMINAL < BoundaryState.ELEVATED < BoundaryState.COMPROMISED < BoundaryState.LOCKDOWN


def test_the_packages_public_names_are_the_same_objects() -> None:
    for name in ("ExecutionObserver", "ExecutionRecord", "ExecutionStatus", "SideEffectCategory", "StepEvent"):
        assert getattr(hearth, name) is globals()[name]
    assert RollbackPlanner is hearth.RollbackPlanner


# --- the example of the handoff ---------------------------------------------------------------------------------------


def test_the_handoffs_example_runs_as_written(caplog: pytest.LogCaptureFixture) -> None:
    """The example marks twice; the first mark wins, the second is a warning."""
    kernel = HearthKernel()
    observer = ExecutionObserver(execution_id="exec-001", plan_id="plan-001", kernel=kernel)
    observer.record_step_started(0, "Step 1")
    observer.record_side_effect(
        category=SideEffectCategory.FILE_SYSTEM,
        description="Created file",
        reversible=True,
        step_index=0,
        details={"path": "/tmp/out"},
    )
    observer.record_step_completed(0, "Step 1", details={"output": "success"})
    observer.mark_completed("All steps completed")
    with caplog.at_level(logging.WARNING):
        observer.mark_failed("too late")
    record = observer.get_execution_record(live_mode_state="DRY_RUN")
    assert record.status is ExecutionStatus.COMPLETED
    assert record.completion_reason == "All steps completed"
    assert [logged.levelno for logged in caplog.records] == [logging.WARNING]
    assert (record.execution_id, record.plan_id, record.live_mode_state) == ("exec-001", "plan-001", "DRY_RUN")
    assert re.fullmatch("[0-9a-f]{64}", record.get_execution_hash())
    json.dumps(record.to_dict())
    assert record.verify()


# --- the chain --------------------------------------------------------------------------------------------------------


def test_the_entries_form_one_chain_in_the_order_in_which_they_happened() -> None:
    observer = started()
    heads = [observer.head_hash]
    acts: tuple[Callable[[], object], ...] = (
        lambda: observer.record_step_started(0, "a"),
        lambda: observer.record_side_effect(SideEffectCategory.OTHER, "x", step_index=0),
        lambda: observer.record_step_failed(0, "a", "broke"),
        lambda: observer.mark_failed("a failed"),
    )
    for act in acts:
        act()
        heads.append(observer.head_hash)
    record = observer.get_execution_record("LIVE")
    assert [entry.sequence for entry in record.entries] == [0, 1, 2, 3, 4]
    assert [entry.event_type.value for entry in record.entries] == [
        "execution_started",
        "step_started",
        "side_effect",
        "step_failed",
        "execution_sealed",
    ]
    assert [entry.event_hash for entry in record.entries] == heads, "head_hash is current at every moment"
    assert [entry.previous_event_hash for entry in record.entries] == [ZEROS, *heads[:-1]]
    assert {entry.execution_id for entry in record.entries} == {"exec-001"}
    for entry in record.entries:
        assert entry.get_hash() == entry.event_hash


def test_the_hashes_are_the_specified_ones() -> None:
    """Computed here by hand with rfc8785 and hashlib alone (design, section 5)."""
    document = recorded({"a": [1, 2.5, "é"]}).to_dict()
    for entry in (*document["marks"], *document["step_events"]):
        content = {key: value for key, value in entry.items() if key != "event_hash"}
        assert hashlib.sha256(b"HEARTH-event-v1\0" + rfc8785.dumps(content)).hexdigest() == entry["event_hash"]
    content = {key: value for key, value in document.items() if key not in {"execution_hash", "signatures"}}
    assert hashlib.sha256(b"HEARTH-record-v1\0" + rfc8785.dumps(content)).hexdigest() == document["execution_hash"]


def test_an_entry_has_exactly_the_specified_keys() -> None:
    observer = started()
    observer.record_step_started(0, "a")
    observer.record_side_effect("OTHER", "x")
    observer.record_step_completed(0, "a")
    observer.record_step_failed(0, "a", "again")
    observer.mark_completed()
    base = "execution_id sequence previous_event_hash timestamp event_type step_index step_name error_message details"
    extra = {
        "side_effect": "category description reversible origin",
        "step_completed": "elapsed_us",
        "step_failed": "elapsed_us",
    }
    for entry in observer.get_execution_record("LIVE").entries:
        expected = {*base.split(), "event_hash", *extra.get(entry.event_type.value, "").split()}
        assert set(entry.to_dict()) == expected, entry.event_type


def test_what_does_not_apply_is_null_or_empty() -> None:
    observer = started()
    observer.record_side_effect("OTHER", "x")
    observer.record_step_completed(3, "never started")
    observer.mark_completed()
    first, effect, completed, last = (entry.to_dict() for entry in observer.get_execution_record("LIVE").entries)
    for mark in (first, last):
        assert (mark["step_index"], mark["step_name"], mark["error_message"]) == (None, None, None)
    assert (effect["step_index"], effect["step_name"], effect["error_message"], effect["details"]) == (
        None,
        None,
        None,
        {},
    )
    assert (completed["error_message"], completed["details"], completed["elapsed_us"]) == (None, {}, None)


def test_entry_0_says_what_was_to_be_done() -> None:
    @dataclass
    class Step:
        index: int
        name: str

    @dataclass
    class Plan:
        steps: tuple[Step, ...]
        digest: str

    plan = Plan((Step(0, "a"), Step(1, "b")), "ab" * 32)
    observer = ExecutionObserver(
        "e", "p", None, plan=plan, live_mode="STAGING", initiator="ann", approval={"by": "bob"}, ledger_id="L"
    )
    start = observer.get_execution_record("STAGING").marks[0]
    assert start.previous_event_hash == ZEROS
    assert {
        key: start.details[key]
        for key in ("plan_id", "plan_digest", "number_of_steps", "approval", "live_mode", "initiator", "ledger_id")
    } == {
        "plan_id": "p",
        "plan_digest": "ab" * 32,
        "number_of_steps": 2,
        "approval": {"by": "bob"},
        "live_mode": "STAGING",
        "initiator": "ann",
        "ledger_id": "L",
    }
    assert start.details["recorder_version"] == hearth.__version__
    assert isinstance(start.details["host"], str)
    assert start.details["security_snapshot"] == observer.get_execution_record().security_snapshot_pre.to_dict()


def test_entry_0_of_the_three_argument_observer_has_null_for_what_nobody_told() -> None:
    details = started().get_execution_record("LIVE").marks[0].details
    for key in ("plan_digest", "number_of_steps", "approval", "live_mode", "initiator", "ledger_id"):
        assert details[key] is None


def test_the_last_entry_says_how_it_ended() -> None:
    record = recorded()
    seal = record.marks[-1]
    assert seal.event_type is StepEventType.EXECUTION_SEALED
    assert seal.sequence == 3
    assert (seal.details["status"], seal.details["cause"], seal.details["reason"]) == ("completed", "completed", "")
    assert seal.details["number_of_entries"] == 4, "itself included"
    assert type(seal.details["unknown_effects"]) is bool
    assert record.security_snapshot_post is not None
    assert seal.details["security_snapshot"] == record.security_snapshot_post.to_dict()


def test_the_three_argument_observer_starts_no_thread_and_makes_no_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = threading.active_count()
    record = recorded()
    assert threading.active_count() == before
    assert record.verify()
    assert list(tmp_path.iterdir()) == []


# --- kernels and snapshots --------------------------------------------------------------------------------------------


class Plain(enum.Enum):
    nominal = "whatever its value"
    OPERATIONAL = 17


class Asked:
    def __init__(self, security: object, boundary: object) -> None:
        self.security, self.boundary = security, boundary

    def get_security_state(self) -> object:
        return self.security

    def get_boundary_state(self) -> object:
        return self.boundary


class Broken:
    def get_security_state(self) -> str:
        message = "the kernel is gone"
        raise ConnectionError(message)

    def get_boundary_state(self) -> str:
        return "NOMINAL"


class Unreadable:
    @property
    def get_security_state(self) -> object:
        message = "not even the method can be had"
        raise RuntimeError(message)

    def get_boundary_state(self) -> str:
        return "nominal"


@pytest.mark.parametrize(
    "kernel, states",
    [
        (HearthKernel(), ("OPERATIONAL", "NOMINAL")),
        (Asked(SecurityState.COMPROMISED, BoundaryState.ELEVATED), ("COMPROMISED", "ELEVATED")),
        (Asked("degraded", "Nominal"), ("DEGRADED", "NOMINAL")),
        (Asked(Plain.OPERATIONAL, Plain.nominal), ("OPERATIONAL", "NOMINAL")),
        (None, ("UNKNOWN", "UNKNOWN")),
        (Broken(), ("UNKNOWN", "NOMINAL")),
        (Unreadable(), ("UNKNOWN", "NOMINAL")),
        (object(), ("UNKNOWN", "UNKNOWN")),
        (Asked(None, None), ("UNKNOWN", "UNKNOWN")),
    ],
)
def test_a_snapshot_holds_upper_case_names_or_unknown(kernel: object, states: tuple[str, str]) -> None:
    snapshot = SecuritySnapshot.from_kernel(kernel, context="before")
    assert (snapshot.security_state, snapshot.boundary_state) == states
    assert snapshot.context.startswith("before")
    assert snapshot.timestamp.utcoffset() == timedelta(0)
    observer = started(kernel)
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.verify()
    assert record.security_snapshot_pre.security_state == states[0]
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.boundary_state == states[1]


@pytest.mark.parametrize("kernel", [None, Broken(), Unreadable()])
def test_the_context_says_why_a_state_is_unknown(kernel: object) -> None:
    known = SecuritySnapshot.from_kernel(Asked("OPERATIONAL", "NOMINAL"), "before").context
    assert len(SecuritySnapshot.from_kernel(kernel, "before").context) > len(known)


def test_a_kernel_without_argument_is_in_memory_and_harmless(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kernel = HearthKernel()
    assert kernel.get_security_state() == SecurityState.OPERATIONAL
    assert kernel.get_boundary_state() == BoundaryState.NOMINAL
    assert kernel.live_mode == LiveMode.DRY_RUN
    assert list(tmp_path.iterdir()) == []


def test_the_first_mark_captures_the_post_snapshot() -> None:
    kernel = Asked("OPERATIONAL", "NOMINAL")
    observer = started(kernel)
    kernel.security = "COMPROMISED"
    observer.mark_incomplete_security_escalation("seen")
    kernel.security = "LOCKDOWN"
    record = observer.get_execution_record("LIVE")
    assert record.security_snapshot_pre.security_state == "OPERATIONAL"
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.security_state == "COMPROMISED"


# --- live mode --------------------------------------------------------------------------------------------------------


def test_a_live_mode_given_at_construction_is_anchored() -> None:
    observer = ExecutionObserver("e", "p", live_mode="LIVE")
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.marks[0].details["live_mode"] == "LIVE"
    assert record.verify().notes == ()
    with pytest.raises(LiveModeMismatchError, match=r"LIVE.*DRY_RUN"):
        observer.get_execution_record("DRY_RUN")
    assert observer.get_execution_record(live_mode_state="LIVE") == record, "the refusal changed nothing"


def test_without_one_the_record_carries_what_it_is_told_and_says_so() -> None:
    observer = started()
    observer.mark_completed()
    for mode in ("LIVE", "DRY_RUN", "whatever"):
        record = observer.get_execution_record(mode)
        assert record.live_mode_state == mode
        assert record.verify()
        assert record.verify().notes == ("live mode not anchored",)
    assert observer.get_execution_record("LIVE") != observer.get_execution_record("DRY_RUN")


def test_a_live_mode_may_be_the_enum() -> None:
    record = ExecutionObserver("e", "p", live_mode=LiveMode.LIVE).get_execution_record(LiveMode.LIVE)
    assert (record.live_mode_state, type(record.live_mode_state)) == ("LIVE", str)


# --- statuses and marks -----------------------------------------------------------------------------------------------


def test_before_a_mark_the_record_is_unsealed() -> None:
    observer = started()
    observer.record_step_started(0, "a")
    record = observer.get_execution_record("LIVE")
    assert observer.status is ExecutionStatus.STARTED
    assert observer._status is ExecutionStatus.STARTED
    assert record.status is ExecutionStatus.STARTED
    assert (record.security_snapshot_post, record.timestamp_end, record.completion_reason) == (None, None, "")
    verdict = record.verify()
    assert (verdict.ok, bool(verdict), verdict.why, verdict.first_bad) == (False, False, "unsealed", None)
    assert ExecutionRecord.from_dict(record.to_dict()) == record
    assert ExecutionRecord.from_dict(record.to_dict()).verify().why == "unsealed"


@pytest.mark.parametrize(
    "mark, status, cause",
    [
        ("mark_completed", ExecutionStatus.COMPLETED, SealCause.COMPLETED),
        ("mark_failed", ExecutionStatus.FAILED, SealCause.FAILED),
        ("mark_incomplete_security_escalation", ExecutionStatus.INCOMPLETE, SealCause.ESCALATION),
    ],
)
def test_each_mark_gives_its_status_and_cause(mark: str, status: ExecutionStatus, cause: SealCause) -> None:
    observer = started()
    getattr(observer, mark)("because")
    record = observer.get_execution_record("LIVE")
    assert (record.status, record.cause, record.completion_reason) == (status, cause, "because")
    assert observer.status is observer._status is status
    assert record.verify()


@pytest.mark.parametrize("cause", [SealCause.INTERRUPTED, SealCause.RECOVERED, SealCause.RECORDER_FAILURE])
def test_the_last_three_causes_are_incomplete(cause: SealCause) -> None:
    observer = started()
    observer.mark_incomplete(cause, "stopped")
    record = observer.get_execution_record("LIVE")
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, cause)
    assert record.verify()


@pytest.mark.parametrize("cause", [SealCause.COMPLETED, SealCause.FAILED])
def test_no_other_cause_leaves_an_execution_incomplete(cause: SealCause) -> None:
    observer = started()
    with pytest.raises(ValueError, match=cause.value):
        observer.mark_incomplete(cause)
    assert observer.status is ExecutionStatus.STARTED


Script = list[tuple[str, int]]


@pytest.mark.parametrize(
    "script, steps, status",
    [
        ([], None, ExecutionStatus.COMPLETED),
        ([("s", 0), ("c", 0)], None, ExecutionStatus.COMPLETED),
        ([("s", 0), ("c", 0)], 1, ExecutionStatus.COMPLETED),
        ([("c", 0)], None, ExecutionStatus.COMPLETED),
        ([("s", 0), ("c", 0), ("s", 0), ("c", 0)], None, ExecutionStatus.COMPLETED),
        ([("s", 0), ("s", 1), ("c", 0), ("c", 1)], 2, ExecutionStatus.COMPLETED),
        ([("s", 0)], None, ExecutionStatus.COMPLETED_PARTIAL),
        ([("s", 0), ("f", 0)], None, ExecutionStatus.COMPLETED_PARTIAL),
        ([("s", 0), ("f", 0), ("s", 0), ("c", 0)], None, ExecutionStatus.COMPLETED_PARTIAL),
        ([("s", 0), ("s", 0), ("c", 0)], None, ExecutionStatus.COMPLETED_PARTIAL),
        ([("s", 0), ("c", 0)], 2, ExecutionStatus.COMPLETED_PARTIAL),
        ([], 1, ExecutionStatus.COMPLETED_PARTIAL),
        ([("s", 0), ("c", 0), ("s", 0), ("c", 0)], 2, ExecutionStatus.COMPLETED_PARTIAL),
    ],
)
def test_completed_means_that_every_step_did(script: Script, steps: int | None, status: ExecutionStatus) -> None:
    @dataclass
    class Plan:
        steps: list[Any]

    plan = None if steps is None else Plan([None] * steps)
    observer = ExecutionObserver("e", "p", plan=plan)
    for act, index in script:
        if act == "s":
            observer.record_step_started(index, "step")
        elif act == "c":
            observer.record_step_completed(index, "step")
        else:
            observer.record_step_failed(index, "step", "broke")
    observer.mark_completed()
    assert observer.status is status
    assert observer.get_execution_record("LIVE").verify()


@pytest.mark.parametrize("first", ["mark_completed", "mark_failed", "mark_incomplete_security_escalation"])
@pytest.mark.parametrize("second", ["mark_completed", "mark_failed", "mark_incomplete_security_escalation"])
def test_the_first_mark_wins(first: str, second: str, caplog: pytest.LogCaptureFixture) -> None:
    observer = started()
    getattr(observer, first)("one")
    record, head = observer.get_execution_record("LIVE"), observer.head_hash
    with caplog.at_level(logging.WARNING):
        getattr(observer, second)("two")
    assert [logged.levelname for logged in caplog.records] == ["WARNING"]
    assert observer.get_execution_record("LIVE") == record
    assert observer.head_hash == head


def test_recording_after_the_seal_raises_and_changes_nothing() -> None:
    observer = started()
    observer.mark_completed()
    head = observer.head_hash
    acts: tuple[Callable[[], object], ...] = (
        lambda: observer.record_step_started(0, "a"),
        lambda: observer.record_step_completed(0, "a"),
        lambda: observer.record_step_failed(0, "a", "x"),
        lambda: observer.record_side_effect("OTHER", "x"),
    )
    for act in acts:
        with pytest.raises(ExecutionSealedError, match="sealed"):
            act()
    assert observer.head_hash == head


def test_an_error_message_of_none_is_empty() -> None:
    observer = started()
    observer.record_step_failed(0, "a", None)
    observer.record_step_failed(0, "a", "broke")
    observer.record_step_completed(0, "a")
    events = observer.get_execution_record("LIVE").step_events
    assert [event.error_message for event in events] == ["", "broke", None]


# --- indices ----------------------------------------------------------------------------------------------------------


class Index(enum.IntEnum):
    FIRST = 0


@pytest.mark.parametrize("index", [True, False, 0.0, "0", None, 1 + 0j, Index.FIRST, b"0"])
@pytest.mark.parametrize("act", ["record_step_started", "record_step_completed", "record_step_failed"])
def test_a_step_index_is_an_int(act: str, index: Any) -> None:
    observer = started()
    head = observer.head_hash
    with pytest.raises(TypeError, match="step index"):
        getattr(observer, act)(index, "a", *(["x"] if act == "record_step_failed" else []))
    assert observer.head_hash == head, "raised before anything was recorded"


@pytest.mark.parametrize("index", [True, 0.0, "0", Index.FIRST])
def test_the_index_of_an_effect_is_an_int_or_none(index: Any) -> None:
    observer = started()
    head = observer.head_hash
    with pytest.raises(TypeError, match="step index"):
        observer.record_side_effect("OTHER", "x", step_index=index)
    assert observer.head_hash == head
    observer.record_side_effect("OTHER", "x", step_index=None)


@pytest.mark.parametrize("index", [2**53, -(2**53), 10**30])
def test_an_index_that_json_cannot_hold_is_refused(index: int) -> None:
    observer = started()
    head = observer.head_hash
    with pytest.raises(ValueError, match="step index"):
        observer.record_step_started(index, "a")
    assert observer.head_hash == head


def test_indices_may_repeat_and_be_negative() -> None:
    observer = started()
    for index in (0, 0, -1, 7, 2**53 - 1):
        observer.record_step_started(index, "a")
        observer.record_step_completed(index, "a")
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert [event.step_index for event in record.step_events[::2]] == [0, 0, -1, 7, 2**53 - 1]
    assert record.verify()


# --- side effects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", list(SideEffectCategory))
def test_a_category_is_the_enum_or_its_name(category: SideEffectCategory) -> None:
    observer = started()
    for given in (category, category.name, category.value):
        observer.record_side_effect(given, "changed", step_index=0)
    effects = observer.get_execution_record("LIVE").side_effects_report.side_effects_observed
    assert [effect.category for effect in effects] == [category] * 3


@pytest.mark.parametrize("category", ["FILES", "", None, 1, ["OTHER"], "File_System"])
def test_an_unknown_category_is_refused_before_anything_is_recorded(category: Any) -> None:
    observer = started()
    head = observer.head_hash
    with pytest.raises(ValueError, match="FILE_SYSTEM, NETWORK"):
        observer.record_side_effect(category, "x")
    assert observer.head_hash == head


def test_the_report_holds_every_recorded_effect_with_its_origin() -> None:
    observer = started()
    observer.record_step_started(4, "Import")
    observer.record_side_effect(SideEffectCategory.DATA_MUTATION, "rows", True, 4, {"rows": 3})
    observer.record_side_effect(category="NETWORK", description="call")
    report = observer.get_execution_record("LIVE").side_effects_report
    assert isinstance(report, SideEffectReport)
    assert isinstance(report.side_effects_observed, tuple)
    first, second = report.side_effects_observed
    assert isinstance(first, SideEffect)
    assert (first.category, first.description, first.reversible) == (SideEffectCategory.DATA_MUTATION, "rows", True)
    assert (first.step_index, first.step_name, first.origin.value) == (4, "Import", "reported")
    assert first.details == {"rows": 3}
    assert (second.reversible, second.step_index, second.step_name) == (False, None, None)
    assert list(report.side_effects_declared) == []


def test_what_was_not_observed_is_said() -> None:
    record = recorded()
    assert record.side_effects_report.unknown_effects is True
    assert record.side_effects_report.unknown_effects_why
    empty = started()
    empty.mark_completed()
    assert empty.get_execution_record("LIVE").side_effects_report.unknown_effects is False


# --- details: copied, frozen, never lost ------------------------------------------------------------------------------


def test_what_the_caller_does_later_changes_nothing() -> None:
    details: dict[str, Any] = {"list": [1, {"deep": [2]}], "map": {"key": "value"}}
    observer = started()
    observer.record_step_started(0, "a", details)
    head = observer.head_hash
    details["list"].append(9)
    details["list"][1]["deep"][0] = "changed"
    details["map"].clear()
    details["new"] = True
    event = observer.get_execution_record("LIVE").step_events[0]
    assert event.details == {"list": [1, {"deep": [2]}], "map": {"key": "value"}}
    assert event.event_hash == head == event.get_hash()


MUTATIONS: list[Callable[[Any], Any]] = [
    lambda mapping: mapping.__setitem__("a", 1),
    lambda mapping: mapping.__delitem__("map"),
    lambda mapping: mapping.update(a=1),
    lambda mapping: mapping.setdefault("a", 1),
    lambda mapping: mapping.pop("map"),
    lambda mapping: mapping.popitem(),
    lambda mapping: mapping.clear(),
    lambda mapping: mapping.__ior__({"a": 1}),
    lambda mapping: mapping.__init__({"a": 1}),
    lambda mapping: mapping["map"].__setitem__("key", 2),
    lambda mapping: mapping["map"].__init__(key=2),
    lambda mapping: mapping["list"].append(1),
    lambda mapping: mapping["list"].extend([1]),
    lambda mapping: mapping["list"].insert(0, 1),
    lambda mapping: mapping["list"].remove(3),
    lambda mapping: mapping["list"].pop(),
    lambda mapping: mapping["list"].clear(),
    lambda mapping: mapping["list"].sort(),
    lambda mapping: mapping["list"].reverse(),
    lambda mapping: mapping["list"].__setitem__(0, 1),
    lambda mapping: mapping["list"].__setitem__(slice(0, 1), [1]),
    lambda mapping: mapping["list"].__delitem__(0),
    lambda mapping: mapping["list"].__iadd__([1]),
    lambda mapping: mapping["list"].__imul__(2),
    lambda mapping: mapping["list"].__init__([1]),
    lambda mapping: mapping["list"][1].append(1),
    lambda mapping: mapping["list"][1][0].update(x=1),
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=range(len(MUTATIONS)))
def test_assignment_and_every_mutating_method_raise_type_error(mutate: Callable[[Any], Any]) -> None:
    record = recorded({"list": [3, [{"x": 2}]], "map": {"key": 1}})
    details = record.step_events[0].details
    before = copy.deepcopy(json.loads(json.dumps(details)))
    with pytest.raises(TypeError):
        mutate(details)
    assert details == before
    assert record.verify()


def test_every_mutating_method_is_covered_above() -> None:
    """Of dict and list alike: what Python has beyond the reading methods is refused."""
    readers = {"copy", "fromkeys", "get", "items", "keys", "values", "count", "index"}
    tried = {name for mutate in MUTATIONS for name in mutate.__code__.co_names}
    for kind in (dict, list):
        public = {name for name in dir(kind) if not name.startswith("_")} - readers
        assert public <= tried, public - tried


def test_a_record_and_its_parts_refuse_assignment() -> None:
    record = recorded({"a": 1})
    for part, name in (
        (record, "status"),
        (record.step_events[0], "step_name"),
        (record.security_snapshot_pre, "security_state"),
        (record.side_effects_report, "unknown_effects"),
    ):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(part, name, "changed")
    assert isinstance(record.step_events, tuple)
    assert isinstance(record.marks, tuple)


def test_frozen_details_are_plain_json_to_every_encoder_and_can_be_copied() -> None:
    details = recorded({"a": [1, {"b": 2}]}).step_events[0].details
    assert json.loads(json.dumps(details)) == {"a": [1, {"b": 2}]}
    assert pickle.loads(pickle.dumps(details)) == details  # noqa: S301 - its own
    assert copy.deepcopy(details) == details
    own = details.copy()
    own["a"] = 2
    assert details["a"] == [1, {"b": 2}]


class Colour(enum.Enum):
    RED = 1


class Opaque:
    def __repr__(self) -> str:
        return "Opaque(" + "x" * 5000 + ")"


class Hostile:
    def __repr__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


class Exported:
    def to_dict(self) -> dict[str, Any]:
        return {"kept": decimal.Decimal("0.10")}


@dataclass
class Point:
    x: int
    y: list[int]


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


@pytest.mark.parametrize(
    "value, recorded_as",
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**53) + 1, -(2**53) + 1),
        (2**53 - 1, 2**53 - 1),
        ("", ""),
        ("é\u2028\x85\U0001f525", "é\u2028\x85\U0001f525"),
        (1.5, 1.5),
        (5e-324, 5e-324),
        (1.7976931348623157e308, {"$type": "float", "$text": "1.7976931348623157e+308"}),
        (Text("text"), "text"),
        (Whole(7), 7),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(("b", "a")), ["a", "b"]),
        (Point(1, [2]), {"x": 1, "y": [2]}),
        (Exported(), {"kept": {"$type": "decimal.Decimal", "$text": "0.10"}}),
        (decimal.Decimal("1.10"), {"$type": "decimal.Decimal", "$text": "1.10"}),
        (math.nan, {"$type": "float", "$text": "nan"}),
        (math.inf, {"$type": "float", "$text": "inf"}),
        (-math.inf, {"$type": "float", "$text": "-inf"}),
        (2**53, {"$type": "int", "$text": "9007199254740992"}),
        (-(2**53), {"$type": "int", "$text": "-9007199254740992"}),
        (2.0**53, {"$type": "float", "$text": "9007199254740992.0"}),
        (2.0**53 - 1, 2**53 - 1),
        (1e21, {"$type": "float", "$text": "1e+21"}),
        (uuid.UUID(int=1), {"$type": "uuid.UUID", "$text": "00000000-0000-0000-0000-000000000001"}),
        (datetime(2025, 9, 1, tzinfo=UTC), {"$type": "datetime.datetime", "$text": "2025-09-01T00:00:00+00:00"}),
        (date(2025, 9, 1), {"$type": "datetime.date", "$text": "2025-09-01"}),
        ({"$type": "mine"}, {"$$type": "mine"}),
        ({"$$a": 1, "$": 2, "a$": 3}, {"$$$a": 1, "$$": 2, "a$": 3}),
        ({1: "a", "b": 2}, {"$type": "dict", "$items": [[1, "a"], ["b", 2]]}),
        ({9: "a", 10: "b"}, {"$type": "dict", "$items": [[9, "a"], [10, "b"]]}),
        ({(1, 2): {3: 4}}, {"$type": "dict", "$items": [[[1, 2], {"$type": "dict", "$items": [[3, 4]]}]]}),
        ({None: 1, True: 2}, {"$type": "dict", "$items": [[None, 1], [True, 2]]}),
    ],
)
def test_what_json_lacks_is_recorded_as_an_explicit_object(value: Any, recorded_as: Any) -> None:
    got = value_of(value)
    assert got == recorded_as
    assert type(got) is type(recorded_as) or isinstance(got, dict | list)


def test_a_value_and_the_object_that_looks_like_its_record_differ() -> None:
    assert value_of(decimal.Decimal("1.10")) != value_of({"$type": "decimal.Decimal", "$text": "1.10"})
    assert value_of({1: 2}) != value_of({"$type": "dict", "$items": [[1, 2]]})
    assert value_of({"$a": 1, "$$a": 2}) == {"$$a": 1, "$$$a": 2}


@pytest.mark.parametrize(
    "value, kind, text",
    [
        (b"\x00\xffab", "bytes", "ab"),
        (bytearray(b"ab"), "bytearray", "ab"),
        (memoryview(b"ab"), "memoryview", "ab"),
        (pathlib.PurePosixPath("/tmp/x"), "PurePosixPath", "/tmp/x"),
        (Colour.RED, "Colour", "RED"),
        (Opaque(), "Opaque", "Opaque(xxx"),
        (Hostile(), "Hostile", ""),
        (object(), "object", "object"),
        (print, "builtin_function_or_method", "print"),
        (ValueError("wrong"), "ValueError", "wrong"),
        (range(3), "range", "range(0, 3)"),
        ("lone \ud800 surrogate", "str", "lone"),
        (datetime(2025, 9, 1), "datetime", "2025-09-01"),  # noqa: DTZ001 - a caller's may be naive
        (datetime(2025, 9, 1, tzinfo=timezone(timedelta(hours=2))), "datetime", "+02:00"),
        (10**5000, "int", ""),
        (int, "type", "int"),
        (Point, "type", "Point"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_anything_else_becomes_its_type_and_a_bounded_text(value: Any, kind: str, text: str) -> None:
    got = value_of(value)
    assert set(got) == {"$type", "$text"}
    assert got["$type"].split(".")[-1] == kind
    assert text in got["$text"]
    assert len(got["$text"]) < 12_000


def test_an_unknown_objects_repr_is_bounded() -> None:
    assert len(value_of(Opaque())["$text"]) <= 1100


def test_cycles_become_a_type() -> None:
    mapping: dict[str, Any] = {"name": "loop"}
    mapping["self"] = mapping
    items: list[Any] = [1]
    items.append(items)
    got = details_of({"mapping": mapping, "items": items})
    assert got["mapping"]["self"]["$type"] == "dict"
    assert got["items"][1]["$type"] == "list"


def test_the_same_object_twice_is_no_cycle() -> None:
    shared = {"a": [1]}
    assert details_of({"x": shared, "y": [shared, shared]}) == {"x": {"a": [1]}, "y": [{"a": [1]}, {"a": [1]}]}


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    return depth


def test_depth_over_64_becomes_a_type() -> None:
    assert "$type" not in json.dumps(value_of(nested(60)))
    assert depth_of(value_of(nested(60))) == 60
    for depth in (70, 500, 100_000):
        got = value_of(nested(depth))
        assert '"$type": "list"' in json.dumps(got)
        assert 60 <= depth_of(got) <= 66
        assert "bottom" not in json.dumps(got)


@pytest.mark.parametrize(
    "details, recorded_as",
    [
        (None, {}),
        ({}, {}),
        ([1, "a"], {"value": [1, "a"]}),
        ("text", {"value": "text"}),
        (5, {"value": 5}),
        (Point(1, []), {"x": 1, "y": []}),
        (Exported(), {"kept": {"$type": "decimal.Decimal", "$text": "0.10"}}),
        (decimal.Decimal(1), {"$type": "decimal.Decimal", "$text": "1"}),
        ({1: 2}, {"$type": "dict", "$items": [[1, 2]]}),
    ],
)
def test_details_may_be_anything_and_are_recorded_as_an_object(details: Any, recorded_as: Any) -> None:
    assert details_of(details) == recorded_as


def test_details_of_every_kind_of_entry_are_kept() -> None:
    observer = started()
    given = {"where": Colour.RED, "list": (1, 2)}
    expected = {"where": {"$type": f"{__name__}.Colour", "$text": "RED"}, "list": [1, 2]}
    observer.record_step_started(0, "a", given)
    observer.record_side_effect("OTHER", "x", False, 0, given)
    observer.record_step_completed(0, "a", given)
    observer.record_step_failed(0, "a", "x", given)
    assert [entry.details for entry in observer.get_execution_record("LIVE").entries[1:]] == [expected] * 4


@pytest.mark.parametrize(
    "name", ["", "é", "\U0001f525", "a\nb", "\u2028", "\x85", "\x00\x1f\x7f", '"\\/', "x" * 10_000]
)
def test_names_ids_and_messages_may_be_any_text(name: str) -> None:
    observer = ExecutionObserver(name, name)
    observer.record_step_started(0, name, {name: name})
    observer.record_side_effect("OTHER", name)
    observer.record_step_failed(0, name, name)
    observer.mark_failed(name)
    record = observer.get_execution_record("LIVE")
    assert record.verify(), record.verify()
    assert (record.execution_id, record.plan_id, record.completion_reason) == (name, name, name)
    assert (record.step_events[0].step_name, record.step_events[1].error_message) == (name, name)
    assert ExecutionRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_lone_surrogates_in_names_and_messages_break_nothing() -> None:
    observer = ExecutionObserver("run \ud800", "plan \udfff")
    observer.record_step_started(0, "step \ud800")
    observer.record_side_effect("OTHER", "effect \ud800")
    observer.record_step_failed(0, "step \ud800", "failed \ud800")
    observer.mark_failed("reason \ud800")
    record = observer.get_execution_record("LIVE")
    assert record.verify()
    assert "failed" in (record.step_events[1].error_message or "")
    json.dumps(record.to_dict()).encode()


@pytest.mark.parametrize("message", [ValueError("wrong"), 17, ["a"], Hostile()])
def test_an_error_message_of_another_type_is_recorded_as_its_text(message: Any) -> None:
    observer = started()
    observer.record_step_failed(0, "a", message)
    observer.mark_failed(message)
    record = observer.get_execution_record("LIVE")
    assert isinstance(record.step_events[0].error_message, str)
    assert isinstance(record.completion_reason, str)
    assert record.verify()


@pytest.mark.parametrize("name", [None, 1, b"run"])
def test_an_execution_id_is_a_text(name: Any) -> None:
    with pytest.raises(TypeError, match="execution_id"):
        ExecutionObserver(name, "plan")
    with pytest.raises(TypeError, match="plan_id"):
        ExecutionObserver("run", name)


# --- time -------------------------------------------------------------------------------------------------------------


def test_timestamps_are_aware_utc_and_written_with_microseconds() -> None:
    before = datetime.now(UTC)
    record = recorded()
    after = datetime.now(UTC)
    moments = [record.timestamp_start, record.timestamp_end, *(entry.timestamp for entry in record.entries)]
    assert all(moment is not None and moment.utcoffset() == timedelta(0) for moment in moments)
    assert all(before <= moment <= after for moment in moments if moment)
    document = record.to_dict()
    texts = [document["timestamp_start"], document["timestamp_end"], document["security_snapshot_pre"]["timestamp"]]
    texts += [entry["timestamp"] for entry in (*document["marks"], *document["step_events"])]
    assert all(TIME.fullmatch(text) for text in texts)
    assert document["timestamp_start"] == document["marks"][0]["timestamp"]
    assert document["timestamp_end"] == document["marks"][1]["timestamp"]


def test_elapsed_time_comes_from_a_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    observer = started()
    observer.record_step_started(0, "a")
    observer.record_step_started(0, "a again")
    now[0] += 1_234_567
    observer.record_step_completed(0, "a again")
    now[0] += 1_000_000
    observer.record_step_failed(0, "a", "x")
    observer.record_step_completed(1, "never started")
    elapsed = [event.elapsed_us for event in observer.get_execution_record("LIVE").step_events]
    assert elapsed == [None, None, 1234, 2234, None]


def test_a_clock_that_steps_back_breaks_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth.recorder import _clock

    moments = iter([1_700_000_000_000_000_000, 1_600_000_000_123_456_789, 1_700_000_001_000_000_000, 3])
    monkeypatch.setattr(
        "hearth.recorder._appender.make_time_text", lambda: _clock.make_time_text(lambda: next(moments))
    )
    record = recorded()
    assert record.verify()
    assert [entry.to_dict()["timestamp"] for entry in record.entries] == [
        "2023-11-14T22:13:20.000000Z",
        "2020-09-13T12:26:40.123456Z",
        "2023-11-14T22:13:21.000000Z",
        "1970-01-01T00:00:00.000000Z",
    ]
    assert ExecutionRecord.from_dict(record.to_dict()).verify()
    assert any("clock" in note for note in record.verify().notes)


# --- the record as data -----------------------------------------------------------------------------------------------


def test_to_dict_is_json_safe_and_has_the_specified_keys() -> None:
    document = recorded().to_dict()
    assert set(document) == {
        "schema",
        "execution_id",
        "plan_id",
        "live_mode_state",
        "status",
        "step_events",
        "side_effects_report",
        "security_snapshot_pre",
        "security_snapshot_post",
        "timestamp_start",
        "timestamp_end",
        "completion_reason",
        "marks",
        "execution_hash",
        "signatures",
    }
    assert {"side_effects_declared", "side_effects_observed", "unknown_effects"} <= set(document["side_effects_report"])
    assert document["signatures"] == []
    assert json.loads(json.dumps(document)) == document
    assert {type(value) for value in document.values()} <= {str, dict, list, type(None)}, "no subclasses, no enums"


def test_to_dict_gives_a_document_of_ones_own() -> None:
    record = recorded({"a": [1]})
    document = record.to_dict()
    document["step_events"][0]["details"]["a"].append(2)
    document["marks"].clear()
    assert record.verify()
    assert record.to_dict()["step_events"][0]["details"] == {"a": [1]}


def test_each_entry_stands_in_exactly_one_list() -> None:
    observer = started()
    observer.record_step_started(0, "a")
    observer.record_side_effect("OTHER", "x", step_index=0)
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    document = observer.get_execution_record("LIVE").to_dict()
    places = {
        entry["sequence"]: name
        for name, entries in {
            "marks": document["marks"],
            "step_events": document["step_events"],
            "side_effects_observed": document["side_effects_report"]["side_effects_observed"],
        }.items()
        for entry in entries
    }
    assert places == {0: "marks", 1: "step_events", 2: "side_effects_observed", 3: "step_events", 4: "marks"}


def test_a_record_comes_back_equal_from_its_json(tmp_path: pathlib.Path) -> None:
    record = recorded({"é": [1.5, None, {"$": math.nan}]})
    with (tmp_path / "record.json").open("w") as file:
        json.dump(record.to_dict(), file, indent=2)
    with (tmp_path / "record.json").open() as file:
        back = ExecutionRecord.from_dict(json.load(file))
    assert back == record
    assert hash(back) == hash(record)
    assert back.get_execution_hash() == record.get_execution_hash()
    assert back.to_dict() == record.to_dict()
    assert back.verify()


def test_records_compare_and_hash_by_their_execution_hash() -> None:
    one, two = recorded(), recorded()
    assert one != two, "they happened at different times"
    assert len({one, two, ExecutionRecord.from_dict(one.to_dict())}) == 2
    assert one != one.get_execution_hash()


def test_an_observer_is_used_by_threads() -> None:
    observer = started()

    def work(index: int) -> None:
        for number in range(50):
            observer.record_step_started(index, f"thread {index}")
            observer.record_side_effect("OTHER", f"{number}", step_index=index)
            observer.record_step_completed(index, f"thread {index}")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.status is ExecutionStatus.COMPLETED
    assert record.verify(), record.verify()
    assert len(record.entries) == 2 + 8 * 150


def test_the_observer_works_in_async_code() -> None:
    async def work(observer: ExecutionObserver, index: int) -> None:
        async with observer.step(index, f"task {index}") as step:
            await asyncio.sleep(0)
            step.effect("OTHER", "done")

    async def main() -> ExecutionRecord:
        observer = started()
        await asyncio.gather(*(work(observer, index) for index in range(5)))
        observer.mark_completed()
        return observer.get_execution_record("LIVE")

    record = asyncio.run(main())
    assert record.status is ExecutionStatus.COMPLETED
    assert record.verify()
    assert len(record.side_effects_report.side_effects_observed) == 5


def test_every_terminal_status_can_be_planned_for_rollback() -> None:
    """The planner takes what the recorder gives; what it answers is tested beside the planner."""
    seen = set()
    for mark in ("mark_completed", "mark_failed", "mark_incomplete_security_escalation"):
        for step_fails in (False, True):
            observer = started()
            if step_fails:
                observer.record_step_failed(0, "a", "x")
            getattr(observer, mark)()
            scaffold = RollbackPlanner().plan_rollback(observer.get_execution_record("LIVE"))
            assert isinstance(scaffold, RollbackScaffold)
            seen.add(observer.status)
    assert seen == TERMINAL
