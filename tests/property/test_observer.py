"""Whatever is recorded, in whatever order: the record holds, says what happened, and both encoders agree."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import random
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hearth.errors import ExecutionSealedError
from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    Redactor,
    Secret,
    SideEffectCategory,
    canonical_bytes,
    make_details_encoder,
    strict_loads,
)
from hearth.recorder import ExecutionObserver, Journal, read_journal, verify_journal
from tests.property._examples import examples
from tests.property.test_canonical import Objects
from tests.property.test_redaction import KEYS, Shapes

if TYPE_CHECKING:
    from pathlib import Path

DETAILS = 20_000
DIGEST = re.compile(r'(?<=\[redacted:)[\w-]{43}(?=\])|(?<="\$sha256":")[\w-]{43}(?=")')


class Details:
    """Details as callers have them: mostly flat and plain, sometimes deep, foreign, or secret."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.objects = Objects(seed)
        self.shapes = Shapes(seed)

    def key(self) -> Any:
        choose = self.random.random()
        if choose < 0.7:
            return self.random.choice(("path", "rows", "exit_code", "host", "n", "a", "b", "status", "user"))
        if choose < 0.8:
            return self.random.choice(KEYS)
        if choose < 0.97:
            return self.objects.text()
        return self.random.choice((1, None, True, 2.5, ("a", 1), b"x", "$type", "$", "\ud800"))

    def value(self, depth: int) -> Any:
        choose = self.random.random()
        if depth and choose < 0.12:
            return {self.key(): self.value(depth - 1) for _ in range(self.random.randrange(4))}
        if depth and choose < 0.2:
            kind = self.random.choice((list, tuple))
            return kind(self.value(depth - 1) for _ in range(self.random.randrange(4)))
        if depth and choose < 0.23:
            first = self.random.choice((*KEYS, "--password", "-token", "curl", "name", "--verbose"))
            return [first, *(self.objects.text() or "x" for _ in range(self.random.randrange(3)))]
        if choose < 0.5:
            return self.objects.text()
        if choose < 0.6:
            return self.shapes.text()
        if choose < 0.8:
            return self.random.choice((0, 1, -7, 2**53 - 1, 2**53, -(2**60), None, True, False))
        if choose < 0.9:
            return self.objects.number()
        return self.random.choice(
            (math.nan, -math.inf, 2.0**53, 1e22, -1e300, decimal.Decimal("1.10"), uuid.UUID(int=3), b"raw", "\ud800",
             dt.date(2025, 9, 1), SideEffectCategory.OTHER, {"set"}, object, Secret("hunter2-hunter2"))
        )  # fmt: skip

    def mapping(self) -> dict[Any, Any]:
        return {self.key(): self.value(2) for _ in range(self.random.randrange(5))}


def settled(encoded: str) -> str:
    """The encoded details without what is random: the digests of the commitments."""
    return DIGEST.sub("#", encoded)


def both_ways(details: Any) -> tuple[str, str]:
    """What the recorder's encoder gives, and the canonical bytes of what the redactor gives."""
    encoded, _ = make_details_encoder(Redactor())(details)
    plain, _ = Redactor().details(details)
    if not isinstance(plain, dict):
        plain = {"value": plain}
    return settled(encoded), settled(canonical_bytes(plain).decode())


def test_the_recorders_encoder_gives_the_canonical_redacted_bytes() -> None:
    source = Details(3)
    different = []
    for _ in range(DETAILS):
        details = source.mapping()
        fast, exact = both_ways(details)
        if fast != exact:
            different.append((details, fast, exact))
    assert not different, (len(different), different[:3])


def test_the_same_encoder_gives_the_same_after_many_others() -> None:
    """It remembers key names; what it remembers changes nothing."""
    source = Details(4)
    encode = make_details_encoder(Redactor())
    for _ in range(4_000):
        details = source.mapping()
        once, twice = (settled(encode(details)[0]) for _ in range(2))
        assert once == twice == settled(make_details_encoder(Redactor())(details)[0])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["password=x1", "--token", "a: b", "pin: 1234", "x://u:p@h", "\n--password\nab", "-u a:b"])
    | st.binary(max_size=3)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(st.sampled_from([*KEYS[:6], "Accept", "--password"]), inner)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(KEYS) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@examples(400)
@given(VALUES)
def test_both_ways_agree_on_anything(details: Any) -> None:
    fast, exact = both_ways(details)
    assert fast == exact
    assert isinstance(strict_loads(fast), dict)


# --- scripts ----------------------------------------------------------------------------------------------------------

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 3), st.text(max_size=4), VALUES),
        st.tuples(st.just("complete"), st.integers(0, 3), st.text(max_size=4), VALUES),
        st.tuples(st.just("fail"), st.integers(0, 3), st.text(max_size=4), VALUES),
        st.tuples(st.just("effect"), st.none() | st.integers(0, 3), st.text(max_size=4), VALUES),
    ),
    max_size=8,
)
ENDS = st.sampled_from(["mark_completed", "mark_failed", "mark_incomplete_security_escalation", None])


class PlanOf:
    """A plan whose steps have no index of their own: they are numbered from 0."""

    def __init__(self, steps: int) -> None:
        self.steps = [None] * steps


def play(observer: ExecutionObserver, script: list[tuple[str, Any, str, Any]], end: str | None) -> None:
    for act, index, name, details in script:
        if act == "start":
            observer.record_step_started(index, name, details)
        elif act == "complete":
            observer.record_step_completed(index, name, details)
        elif act == "fail":
            observer.record_step_failed(index, name, f"failed {name}", details)
        else:
            observer.record_side_effect("OTHER", name, False, index, details)
    if end:
        getattr(observer, end)("the end")


def expected_status(script: list[tuple[str, Any, str, Any]], end: str | None, steps: int | None) -> ExecutionStatus:
    """The status by the words of the design alone, counted another way than the recorder does."""
    if end is None:
        return ExecutionStatus.STARTED
    if end != "mark_completed":
        return ExecutionStatus.FAILED if end == "mark_failed" else ExecutionStatus.INCOMPLETE
    opened = dict.fromkeys(range(4), 0)
    completed = set()
    for act, index, _, _ in script:
        if act == "start":
            opened[index] += 1
        elif act == "complete":
            opened[index] = max(0, opened[index] - 1)
            completed.add(index)
        elif act == "fail":
            return ExecutionStatus.COMPLETED_PARTIAL
    if any(opened.values()) or not completed.issuperset(range(steps or 0)):
        return ExecutionStatus.COMPLETED_PARTIAL
    return ExecutionStatus.COMPLETED


@examples(150)
@given(script=ACTS, end=ENDS, steps=st.none() | st.integers(0, 4))
def test_any_execution_is_recorded_as_it_went(script: Any, end: str | None, steps: int | None) -> None:
    observer = ExecutionObserver("run", "plan", plan=None if steps is None else PlanOf(steps), live_mode="LIVE")
    play(observer, script, end)
    record = observer.get_execution_record()
    assert record.status is observer.status is expected_status(script, end, steps)
    verdict = record.verify()
    assert (verdict.ok, verdict.why) == ((True, "") if end else (False, "unsealed"))
    kinds = {"start": "step_started", "complete": "step_completed", "fail": "step_failed", "effect": "side_effect"}
    middle = record.entries[1 : -1 if end else None]
    assert [entry.event_type.value for entry in middle] == [kinds[act] for act, *_ in script]
    assert [entry.step_index for entry in middle] == [index for _, index, *_ in script]
    assert record.entries[-1].event_hash == observer.head_hash
    back = ExecutionRecord.from_dict(strict_loads(json.dumps(record.to_dict(), indent=2)))
    assert back == record
    assert back.verify() == verdict


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=ACTS, end=ENDS)
def test_a_journal_tells_the_same_as_memory(tmp_path: Path, script: Any, end: str | None) -> None:
    path = tmp_path / f"{uuid.uuid4()}.journal"
    with Journal.create(path) as journal:
        kept = ExecutionObserver("run", "plan", journal=journal)
        play(kept, script, end)
        from_observer = kept.get_execution_record()
    in_memory = ExecutionObserver("run", "plan")
    play(in_memory, script, end)
    remembered = in_memory.get_execution_record()
    read = read_journal(path)
    assert read == from_observer
    assert bool(verify_journal(path)) == bool(read.verify()) == bool(end)
    assert [plain(entry) for entry in read.entries[1:-1]] == [plain(entry) for entry in remembered.entries[1:-1]]


def plain(entry: Any) -> str:
    """An entry without what differs between two runs: times, hashes, digests."""
    document = entry.to_dict()
    for key in ("timestamp", "event_hash", "previous_event_hash", "elapsed_us"):
        document.pop(key, None)
    return settled(canonical_bytes(document).decode())


@examples(50)
@given(script=ACTS, marks=st.lists(ENDS.filter(bool), min_size=2, max_size=4))
def test_after_the_first_mark_nothing_changes_any_more(script: Any, marks: list[str]) -> None:
    observer = ExecutionObserver("run", "plan")
    play(observer, script, marks[0])
    record = observer.get_execution_record("LIVE")
    for mark in marks[1:]:
        getattr(observer, mark)("again")
    for act in script:
        with pytest.raises(ExecutionSealedError):
            play(observer, [act], None)
    assert observer.get_execution_record("LIVE") == record
    assert record.status is expected_status(script, marks[0], None)
