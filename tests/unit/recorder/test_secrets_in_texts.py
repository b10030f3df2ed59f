"""A Secret may stand where a text is expected: it leaves a commitment there, and is known from then on, and before."""

from __future__ import annotations

import json

from hearth.record import Secret
from hearth.recorder import ExecutionObserver


def test_in_names_messages_descriptions_and_reasons() -> None:
    observer = ExecutionObserver("run", "plan")
    observer.record_step_started(0, Secret("name-s3cret"), {"same entry": "has name-s3cret"})  # type: ignore[arg-type]
    observer.record_side_effect("OTHER", Secret("desc-s3cret"), details={"same entry": "desc-s3cret"})  # type: ignore[arg-type]
    observer.record_step_failed(0, "later name-s3cret", Secret("err-s3cret"), {"same entry": "err-s3cret"})  # type: ignore[arg-type]
    observer.mark_failed(Secret("reason-s3cret"))  # type: ignore[arg-type]
    record = observer.get_execution_record("LIVE")
    text = json.dumps(record.to_dict())
    assert "s3cret" not in text
    assert text.count("[redacted:") >= 8
    assert record.verify()


def test_one_too_short_to_be_searched_for_is_hidden_where_it_stands() -> None:
    observer = ExecutionObserver("run", "plan")
    observer.record_step_started(0, Secret("xyz"))  # type: ignore[arg-type]
    assert observer.get_execution_record("LIVE").step_events[0].step_name.startswith("[redacted:")  # type: ignore[union-attr]


def test_a_named_tuple_s_telling_fields() -> None:
    from collections import namedtuple

    login = namedtuple("login", "user password")  # noqa: PYI024 - the untyped kind has no fields to look at otherwise
    observer = ExecutionObserver("run", "plan")
    observer.record_step_started(0, "a", {"login": login("bob", "hunter2")})
    kept = observer.get_execution_record("LIVE").step_events[0].details["login"]
    assert kept[0] == "bob"
    assert set(kept[1]) == {"$sha256"}


def test_a_hostile_member_takes_no_other_with_it() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> object:
            message = f"no {name}"
            raise RuntimeError(message)

    observer = ExecutionObserver("run", "plan")
    observer.record_step_started(0, "a", {"first": 1, "bad": Hostile(), "token": Hostile(), "last": [2, Hostile(), 3]})
    kept = observer.get_execution_record("LIVE").step_events[0].details
    assert (kept["first"], kept["last"][0], kept["last"][2]) == (1, 2, 3)
    assert "$type" in kept["bad"]
