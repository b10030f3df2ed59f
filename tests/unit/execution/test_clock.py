"""ClockSensor: a clock that is set back is noticed, one that is set forward or corrected is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hearth.execution._clock import ClockSensor
from hearth.security import SecurityState

NOON = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)


class Clocks:
    def __init__(self) -> None:
        self.wall, self.monotonic = NOON, 100.0

    def sensor(self) -> ClockSensor:
        return ClockSensor(lambda: self.wall, lambda: self.monotonic)


@pytest.mark.parametrize("step", [0.0, -4.0, 3600.0])
def test_small_corrections_and_steps_forward_are_nothing(step: float) -> None:
    clocks = Clocks()
    sensor = clocks.sensor()
    clocks.wall += timedelta(seconds=60 + step)
    clocks.monotonic += 60
    assert sensor.look() is None
    assert sensor.look() is None


def test_a_step_back_is_found_once() -> None:
    clocks = Clocks()
    sensor = clocks.sensor()
    clocks.wall -= timedelta(seconds=20)
    clocks.monotonic += 10
    finding = sensor.look()
    assert finding is not None
    assert (finding.security, finding.source, finding.lasting) == (SecurityState.DEGRADED, "clock", False)
    assert finding.reason == "the clock was set back by 30 s, to 2025-09-01T11:59:40.000000Z"
    assert sensor.look() is None


def test_a_clock_behind_the_ledger_is_found() -> None:
    sensor = Clocks().sensor()
    assert sensor.against(None) is None
    assert sensor.against(NOON + timedelta(seconds=4)) is None
    finding = sensor.against(NOON + timedelta(days=1))
    assert finding is not None
    assert finding.lasting
    assert "2025-09-02T12:00:00.000000Z" in finding.reason
