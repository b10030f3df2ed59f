"""The live-mode gate: starts in DRY_RUN, is armed explicitly, falls back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hearth.errors import GateRefusedError
from hearth.security import BoundaryState, LiveMode, LiveModeGate, Posture, SecurityState

WELL = Posture()
DEGRADED = Posture(SecurityState.DEGRADED)
ARMED = LiveModeGate().arm(LiveMode.LIVE, who="Ada", why="change 17", posture=WELL)


def test_it_starts_in_dry_run_and_lets_nothing_else_through() -> None:
    gate = LiveModeGate()
    gate.check(LiveMode.DRY_RUN)
    for mode in (LiveMode.STAGING, LiveMode.LIVE):
        with pytest.raises(GateRefusedError, match=f"{mode} is not armed, the gate stands at DRY_RUN"):
            gate.check(mode)


def test_armed_it_keeps_who_and_why_and_lets_its_mode_and_milder_ones_through() -> None:
    assert (ARMED.mode, ARMED.who, ARMED.why) == (LiveMode.LIVE, "Ada", "change 17")
    for mode in LiveMode:
        ARMED.check(mode)
    staging = LiveModeGate().arm(LiveMode.STAGING, who="Ada", why="try", posture=WELL)
    staging.check(LiveMode.STAGING)
    with pytest.raises(GateRefusedError):
        staging.check(LiveMode.LIVE)


@pytest.mark.parametrize("who,why", [("", "why"), ("who", ""), (" ", " ")])
def test_arming_needs_a_name_and_a_reason(who: str, why: str) -> None:
    with pytest.raises(GateRefusedError, match="needs who does it and why"):
        LiveModeGate().arm(LiveMode.STAGING, who=who, why=why, posture=WELL)


def test_disarming_needs_neither_and_works_in_every_posture() -> None:
    assert ARMED.arm(LiveMode.DRY_RUN, who="", why="", posture=Posture(SecurityState.LOCKDOWN)).mode is LiveMode.DRY_RUN


def test_arming_needs_a_posture_that_permits_the_mode() -> None:
    assert LiveModeGate().arm(LiveMode.STAGING, who="a", why="b", posture=DEGRADED).mode is LiveMode.STAGING
    with pytest.raises(GateRefusedError, match="DEGRADED/NOMINAL does not permit LIVE"):
        LiveModeGate().arm(LiveMode.LIVE, who="a", why="b", posture=DEGRADED)


@pytest.mark.parametrize("worse", [DEGRADED, Posture(boundary=BoundaryState.ELEVATED)])
def test_it_falls_back_when_the_posture_worsens_and_says_why(worse: Posture) -> None:
    fallen = ARMED.after(WELL, worse)
    assert fallen.mode is LiveMode.DRY_RUN
    assert fallen.who == ""
    with pytest.raises(GateRefusedError, match="fell back from LIVE: the posture worsened from OPERATIONAL/NOMINAL"):
        fallen.check(LiveMode.LIVE)


def test_it_stays_when_nothing_worsens_and_a_better_posture_arms_nothing() -> None:
    assert ARMED.after(WELL, WELL) is ARMED
    assert ARMED.after(DEGRADED, WELL) is ARMED
    fallen = ARMED.after(WELL, DEGRADED)
    assert fallen.after(DEGRADED, WELL).mode is LiveMode.DRY_RUN


@pytest.mark.parametrize(
    "kernel,mode",
    [
        (None, LiveMode.DRY_RUN),
        (SimpleNamespace(), LiveMode.DRY_RUN),
        (SimpleNamespace(live_mode="staging"), LiveMode.STAGING),
        (SimpleNamespace(live_mode=LiveMode.LIVE), LiveMode.LIVE),
        (SimpleNamespace(live_mode="FULL_POWER"), LiveMode.DRY_RUN),
        (SimpleNamespace(gate=ARMED), LiveMode.LIVE),
        (SimpleNamespace(gate="open", live_mode="STAGING"), LiveMode.STAGING),
    ],
)
def test_the_gate_of_any_kernel(kernel: object, mode: LiveMode) -> None:
    assert LiveModeGate.of(kernel).mode is mode
