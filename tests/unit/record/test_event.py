"""StepEvent and SideEffect as values of their own."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785

from hearth.errors import RecordError
from hearth.record import GENESIS_HASH, Origin, SideEffect, SideEffectCategory, StepEvent, StepEventType, entry_hash

NOON = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)


def step_event(**changes: Any) -> StepEvent:
    given: dict[str, Any] = {
        "timestamp": NOON,
        "step_index": 1,
        "step_name": "Import",
        "event_type": StepEventType.STEP_COMPLETED,
        "details": {"rows": 3},
        "execution_id": "run-1",
        "sequence": 4,
        "elapsed_us": 17,
        **changes,
    }
    return StepEvent(**given)


def effect(**changes: Any) -> SideEffect:
    given: dict[str, Any] = {
        "timestamp": NOON,
        "category": SideEffectCategory.NETWORK,
        "description": "GET /",
        "step_index": 1,
        "details": {"status": 200},
        "sequence": 5,
        **changes,
    }
    return SideEffect(**given)


def test_the_hash_is_over_the_entry_and_nothing_else() -> None:
    event = step_event()
    content = rfc8785.dumps(
        {
            "execution_id": "run-1",
            "sequence": 4,
            "previous_event_hash": "0" * 64,
            "timestamp": "2025-09-01T12:00:00.000000Z",
            "event_type": "step_completed",
            "step_index": 1,
            "step_name": "Import",
            "error_message": None,
            "details": {"rows": 3},
            "elapsed_us": 17,
        }
    )
    assert event.get_hash() == event.event_hash == hashlib.sha256(b"HEARTH-event-v1\0" + content).hexdigest()
    assert entry_hash(event.to_dict()) == event.event_hash


CHANGES: dict[str, Any] = {
    "timestamp": datetime(2025, 9, 1, 12, 0, 0, 1, tzinfo=UTC),
    "step_index": 2,
    "step_name": "Other",
    "event_type": StepEventType.STEP_FAILED,
    "details": {"rows": 4},
    "error_message": "",
    "previous_event_hash": "1" * 64,
    "execution_id": "run-2",
    "sequence": 5,
    "elapsed_us": 18,
    "declared_effects": [],
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_of_an_event_is_in_its_hash(name: str) -> None:
    assert step_event(**{name: CHANGES[name]}).get_hash() != step_event().get_hash()


def test_the_list_above_has_every_field() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(StepEvent)} - {"event_hash"}


EFFECT_CHANGES: dict[str, Any] = {
    "timestamp": datetime(2025, 9, 1, 12, 0, 0, 1, tzinfo=UTC),
    "category": SideEffectCategory.OTHER,
    "description": "GET /x",
    "reversible": True,
    "step_index": None,
    "step_name": "Import",
    "details": {},
    "origin": Origin.OBSERVED,
    "error_message": "",
    "previous_event_hash": "1" * 64,
    "execution_id": "run-2",
    "sequence": 6,
}


@pytest.mark.parametrize("name", EFFECT_CHANGES)
def test_every_field_of_an_effect_is_in_its_hash(name: str) -> None:
    assert effect(**{name: EFFECT_CHANGES[name]}).get_hash() != effect().get_hash()


def test_the_list_of_an_effect_has_every_field() -> None:
    assert set(EFFECT_CHANGES) == {field.name for field in dataclasses.fields(SideEffect)} - {"event_hash"}


def test_a_stated_hash_is_kept_and_the_true_one_computed() -> None:
    event = step_event(event_hash="f" * 64)
    assert event.event_hash == "f" * 64
    assert event.get_hash() == step_event().event_hash


@pytest.mark.parametrize("entry", [step_event(), effect()], ids=["event", "effect"])
def test_the_json_form_and_back(entry: StepEvent | SideEffect) -> None:
    assert type(entry).from_dict(entry.to_dict()) == entry


def test_details_given_by_hand_are_copied_converted_and_frozen() -> None:
    given = {"list": [1], "when": NOON}
    event = step_event(details=given)
    given["list"].append(2)  # type: ignore[attr-defined]
    assert event.details["list"] == [1]
    assert event.details["when"]["$type"] == "datetime.datetime"
    with pytest.raises(TypeError):
        event.details["list"].append(3)
    assert event.get_hash() == event.event_hash


def test_the_handoffs_positional_form() -> None:
    event = StepEvent(NOON, 0, "a", StepEventType.STEP_STARTED, {"x": 1}, None, "2" * 64)  # type: ignore[arg-type]
    assert (event.step_name, event.details, event.previous_event_hash) == ("a", {"x": 1}, "2" * 64)
    assert StepEvent(NOON, 0, "a", StepEventType.STEP_STARTED).previous_event_hash == GENESIS_HASH


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(RecordError, match="time zone"):
        step_event(timestamp=datetime(2025, 9, 1))  # noqa: DTZ001 - the fault that is tested


def test_elapsed_time_stands_in_ends_only() -> None:
    assert "elapsed_us" not in step_event(event_type=StepEventType.STEP_STARTED).to_dict()
    assert step_event(elapsed_us=None).to_dict()["elapsed_us"] is None
    assert "declared_effects" not in step_event().to_dict()
