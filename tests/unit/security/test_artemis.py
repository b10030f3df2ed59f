"""Artemis: the moves that are allowed, and those that are not."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import GateRefusedError
from hearth.security import Artemis, BoundaryState, LiveMode, Posture, SecurityState

ALL = [Posture(security, boundary) for security, boundary in product(SecurityState, BoundaryState)]
STATES = [*SecurityState, *BoundaryState]
WELL = Posture()


def test_a_system_begins_well() -> None:
    assert Posture(SecurityState.OPERATIONAL, BoundaryState.NOMINAL) == WELL
    assert str(WELL) == "OPERATIONAL/NOMINAL"


@pytest.mark.parametrize("posture", ALL, ids=str)
@pytest.mark.parametrize("to", STATES, ids=repr)
def test_escalating_only_worsens_and_only_the_part_it_names(
    posture: Posture, to: SecurityState | BoundaryState
) -> None:
    now = Artemis.escalate(posture, to)
    assert not posture.worse_than(now)
    if isinstance(to, SecurityState):
        assert now.security >= to
        assert now.boundary is posture.boundary
        assert (now == posture) == (posture.security >= to)
    else:
        assert now.boundary >= to
        assert now.security is posture.security
        assert (now == posture) == (posture.boundary >= to)


@given(st.lists(st.sampled_from(STATES)))
def test_after_any_reports_the_worst_one_stands(reports: list[SecurityState | BoundaryState]) -> None:
    posture = WELL
    for report in reports:
        posture = Artemis.escalate(posture, report)
    securities = [state for state in reports if isinstance(state, SecurityState)]
    boundaries = [state for state in reports if isinstance(state, BoundaryState)]
    assert posture.security is max(securities, default=SecurityState.OPERATIONAL)
    assert posture.boundary is max(boundaries, default=BoundaryState.NOMINAL)


def test_one_posture_is_worse_when_either_part_is() -> None:
    assert Posture(SecurityState.DEGRADED).worse_than(WELL)
    assert Posture(boundary=BoundaryState.ELEVATED).worse_than(WELL)
    assert not WELL.worse_than(WELL)
    mixed = Posture(SecurityState.LOCKDOWN, BoundaryState.NOMINAL)
    other = Posture(SecurityState.OPERATIONAL, BoundaryState.ELEVATED)
    assert mixed.worse_than(other)
    assert other.worse_than(mixed)


def test_restoring_is_an_act_with_a_name_and_a_reason() -> None:
    locked = Posture(SecurityState.LOCKDOWN, BoundaryState.COMPROMISED)
    assert Artemis.restore(locked, WELL, who="Ada", why="the alarm was a drill") == WELL
    for who, why in (("", "why"), ("Ada", ""), ("  ", "why"), ("Ada", "\n")):
        with pytest.raises(GateRefusedError, match="needs who does it and why"):
            Artemis.restore(locked, WELL, who=who, why=why)


def test_restoring_never_worsens_either_part() -> None:
    with pytest.raises(GateRefusedError, match="report it as an escalation"):
        Artemis.restore(
            Posture(SecurityState.LOCKDOWN),
            Posture(SecurityState.OPERATIONAL, BoundaryState.ELEVATED),
            who="a",
            why="b",
        )


def test_restoring_waits_for_the_runs_under_way() -> None:
    with pytest.raises(GateRefusedError, match="not restored during a run"):
        Artemis.restore(Posture(SecurityState.DEGRADED), WELL, who="a", why="b", runs_under_way=1)


@pytest.mark.parametrize(
    "severity,permitted",
    [
        (0, {LiveMode.DRY_RUN, LiveMode.STAGING, LiveMode.LIVE}),
        (1, {LiveMode.DRY_RUN, LiveMode.STAGING}),
        (2, {LiveMode.DRY_RUN}),
        (3, set()),
    ],
)
def test_the_more_severe_part_decides_what_may_run(severity: int, permitted: set[LiveMode]) -> None:
    for posture in ALL:
        if posture.severity == severity:
            assert {mode for mode in LiveMode if Artemis.permits(posture, mode)} == permitted
