"""Points in time have one written form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hearth.errors import RecordError
from hearth.record import format_time, parse_time, utc_now


@pytest.mark.parametrize(
    "moment, text",
    [
        (datetime(2025, 9, 1, 12, 0, tzinfo=UTC), "2025-09-01T12:00:00.000000Z"),
        (datetime(2025, 9, 1, 12, 0, 0, 1, tzinfo=UTC), "2025-09-01T12:00:00.000001Z"),
        (datetime(2025, 9, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "2025-08-31T23:00:00.000000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
        (datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "0999-12-31T23:59:59.999999Z"),
        (datetime(9999, 12, 31, tzinfo=UTC), "9999-12-31T00:00:00.000000Z"),
    ],
)
def test_a_moment_and_its_text(moment: datetime, text: str) -> None:
    assert format_time(moment) == text
    assert parse_time(text) == moment
    assert parse_time(text).utcoffset() == timedelta(0)


def test_the_present_is_aware() -> None:
    assert utc_now().utcoffset() == timedelta(0)
    assert parse_time(format_time(utc_now())) <= utc_now()


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(RecordError, match="time zone"):
        format_time(datetime(2025, 9, 1))  # noqa: DTZ001 - the fault that is tested


@pytest.mark.parametrize(
    "text",
    [
        "2025-09-01T12:00:00Z",
        "2025-09-01T12:00:00.000Z",
        "2025-09-01T12:00:00.0000000Z",
        "2025-09-01T12:00:00.000000",
        "2025-09-01T12:00:00.000000+00:00",
        "2025-09-01 12:00:00.000000Z",
        "2025-09-01t12:00:00.000000z",
        "2025-13-01T12:00:00.000000Z",
        "2025-02-30T12:00:00.000000Z",
        "2025-09-01T24:00:00.000000Z",
        "2025-09-01T12:60:00.000000Z",
        "2025-09-01T12:00:60.000000Z",
        "0000-09-01T12:00:00.000000Z",
        "٢٠٢٥-09-01T12:00:00.000000Z",
        "2025-09-01T12:00:00.000000Z\n",
        " 2025-09-01T12:00:00.000000Z",
        "",
        None,
        0,
        1.5,
        [],
        datetime(2025, 9, 1, tzinfo=UTC),
    ],
)
def test_no_other_form_is_read(text: Any) -> None:
    with pytest.raises(RecordError):
        parse_time(text)
