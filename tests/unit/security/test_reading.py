"""Reading the posture of kernels of all kinds, and judging it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NoReturn

import pytest

from hearth.errors import GateRefusedError
from hearth.security import BoundaryState, LiveMode, PostureReading, SecurityState


def kernel(security: object, boundary: object = "NOMINAL") -> SimpleNamespace:
    return SimpleNamespace(get_security_state=lambda: security, get_boundary_state=lambda: boundary)


def broken() -> NoReturn:
    raise OSError("the sensor is gone")


BROKEN = SimpleNamespace(get_security_state=broken, get_boundary_state=broken)


def test_enums_and_strings_are_read_alike() -> None:
    reading = PostureReading.of(kernel(SecurityState.DEGRADED, "elevated"))
    assert (reading.security, reading.boundary, reading.failure) == ("DEGRADED", "ELEVATED", "")
    assert str(reading) == "DEGRADED/ELEVATED"


def test_without_a_kernel_nothing_is_known_and_nothing_is_wrong() -> None:
    assert PostureReading.of(None) == PostureReading("UNKNOWN", "UNKNOWN", "")


@pytest.mark.parametrize("mute", [BROKEN, SimpleNamespace(), kernel(None), kernel("UNKNOWN")])
def test_a_kernel_that_cannot_tell_is_a_failure(mute: object) -> None:
    reading = PostureReading.of(mute)
    assert reading.security == "UNKNOWN"
    assert reading.failure
    for mode in LiveMode:
        with pytest.raises(GateRefusedError, match="nothing is run in an unknown posture"):
            reading.refuse(mode, acts=False)


@pytest.mark.parametrize(
    "before,now,worse",
    [
        (("OPERATIONAL", "NOMINAL"), ("OPERATIONAL", "NOMINAL"), None),
        (("OPERATIONAL", "NOMINAL"), ("DEGRADED", "NOMINAL"), SecurityState.DEGRADED),
        (("OPERATIONAL", "NOMINAL"), ("OPERATIONAL", "ELEVATED"), BoundaryState.ELEVATED),
        (("OPERATIONAL", "NOMINAL"), ("LOCKDOWN", "ELEVATED"), SecurityState.LOCKDOWN),
        (("COMPROMISED", "NOMINAL"), ("DEGRADED", "NOMINAL"), None),
        (("COMPROMISED", "NOMINAL"), ("OPERATIONAL", "LOCKDOWN"), BoundaryState.LOCKDOWN),
        # In doubt it is worse.
        (("OPERATIONAL", "NOMINAL"), ("UNKNOWN", "NOMINAL"), "UNKNOWN"),
        (("SUNNY", "NOMINAL"), ("RAINY", "NOMINAL"), "RAINY"),
        (("SUNNY", "NOMINAL"), ("DEGRADED", "NOMINAL"), SecurityState.DEGRADED),
        (("SUNNY", "NOMINAL"), ("SUNNY", "NOMINAL"), None),
        (("SUNNY", "CALM"), ("OPERATIONAL", "NOMINAL"), None),
    ],
)
def test_what_counts_as_worse(before: tuple[str, str], now: tuple[str, str], worse: object) -> None:
    found = PostureReading(*now).worsened_since(PostureReading(*before))
    assert found == worse
    assert type(found) is type(worse)


@pytest.mark.parametrize(
    "security,boundary,mode,acts,passes",
    [
        ("OPERATIONAL", "NOMINAL", LiveMode.LIVE, False, True),
        ("DEGRADED", "NOMINAL", LiveMode.LIVE, False, False),
        ("DEGRADED", "NOMINAL", LiveMode.STAGING, False, True),
        ("DEGRADED", "NOMINAL", LiveMode.DRY_RUN, True, True),
        ("OPERATIONAL", "COMPROMISED", LiveMode.STAGING, False, False),
        ("COMPROMISED", "NOMINAL", LiveMode.DRY_RUN, False, True),
        ("COMPROMISED", "NOMINAL", LiveMode.DRY_RUN, True, False),
        ("OPERATIONAL", "LOCKDOWN", LiveMode.DRY_RUN, False, False),
        ("SUNNY", "NOMINAL", LiveMode.DRY_RUN, True, False),
        ("SUNNY", "NOMINAL", LiveMode.STAGING, False, False),
        ("SUNNY", "LOCKDOWN", LiveMode.DRY_RUN, False, False),
        ("UNKNOWN", "UNKNOWN", LiveMode.DRY_RUN, False, True),
        ("UNKNOWN", "UNKNOWN", LiveMode.LIVE, False, False),
    ],
)
def test_what_a_posture_lets_start(security: str, boundary: str, mode: LiveMode, acts: bool, passes: bool) -> None:
    reading = PostureReading(security, boundary)
    if passes:
        reading.refuse(mode, acts=acts)
    else:
        with pytest.raises(GateRefusedError, match=f"{security}/{boundary}"):
            reading.refuse(mode, acts=acts)
