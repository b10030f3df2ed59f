"""The text of the present time, whatever the clock does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from hearth.record import format_time
from hearth.recorder._clock import make_time_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_it_is_what_the_clock_says_also_when_that_jumps() -> None:
    chance = random.Random(5)  # noqa: S311 - repeatable, not secret
    moments = [chance.randrange(0, 4 * 10**18) for _ in range(500)]
    moments += [
        base + step for base in moments[:100] for step in (1, 999, 1000, 999_999, 10**6, 10**9 - 1, -1, -(10**9))
    ]
    now = make_time_text(lambda: moment)
    for moment in moments:
        expected = format_time(EPOCH + timedelta(microseconds=max(moment, 0) // 1000))
        assert now() == expected or moment < 0


@pytest.mark.parametrize(
    "nanoseconds, text",
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (1_756_728_000_000_042_000, "2025-09-01T12:00:00.000042Z"),
        (1_756_728_000_999_999_999, "2025-09-01T12:00:00.999999Z"),
        (-1_000, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment(nanoseconds: int, text: str) -> None:
    assert make_time_text(lambda: nanoseconds)() == text


def test_without_argument_it_is_the_present() -> None:
    before = datetime.now(UTC)
    text = make_time_text()()
    assert before - timedelta(microseconds=1) <= datetime.fromisoformat(text) <= datetime.now(UTC)
