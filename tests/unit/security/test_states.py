"""The order of the states, and the names they go by."""

from __future__ import annotations

from enum import Enum
from itertools import pairwise

import pytest

from hearth.security import BoundaryState, LiveMode, SecurityState

ORDERS = [
    (SecurityState, ["OPERATIONAL", "DEGRADED", "COMPROMISED", "LOCKDOWN"]),
    (BoundaryState, ["NOMINAL", "ELEVATED", "COMPROMISED", "LOCKDOWN"]),
    (LiveMode, ["DRY_RUN", "STAGING", "LIVE"]),
]


@pytest.mark.parametrize("kind,names", ORDERS)
def test_members_stand_in_the_order_of_severity_under_upper_case_names(
    kind: type[SecurityState], names: list[str]
) -> None:
    assert [state.value for state in kind] == names
    assert [str(state) for state in kind] == names
    for milder, worse in pairwise(kind):
        assert milder < worse
        assert milder <= worse
        assert worse > milder
        assert worse >= milder
        assert not worse < milder
        assert not milder >= worse
    assert max(kind) is list(kind)[-1]
    assert sorted(kind, reverse=True) == list(kind)[::-1]


def test_a_state_equals_its_name_and_compares_with_one_by_severity_not_by_spelling() -> None:
    assert SecurityState.LOCKDOWN == "LOCKDOWN"
    assert SecurityState.OPERATIONAL < "DEGRADED"
    assert "LOCKDOWN" > SecurityState.OPERATIONAL  # noqa: SIM300 - the string stands first on purpose
    assert not "LOCKDOWN" < SecurityState.OPERATIONAL  # noqa: SIM300 - as text it would


def test_states_of_two_kinds_do_not_compare() -> None:
    with pytest.raises(TypeError, match="SecurityState does not compare with a BoundaryState"):
        assert SecurityState.COMPROMISED < BoundaryState.LOCKDOWN
    with pytest.raises(TypeError, match="'SIDEWAYS' is not a SecurityState; use one of OPERATIONAL, DEGRADED"):
        assert SecurityState.COMPROMISED < "SIDEWAYS"
    with pytest.raises(TypeError):
        assert SecurityState.COMPROMISED < 3  # type: ignore[operator]


class Foreign(Enum):
    LOCKDOWN = 17
    SUNNY = 18


@pytest.mark.parametrize(
    "value,state",
    [
        (SecurityState.LOCKDOWN, SecurityState.LOCKDOWN),
        ("lockdown", SecurityState.LOCKDOWN),
        (Foreign.LOCKDOWN, SecurityState.LOCKDOWN),
        (Foreign.SUNNY, None),
        (None, None),
        (object(), None),
    ],
)
def test_parse_reads_members_names_and_foreign_enums(value: object, state: SecurityState | None) -> None:
    assert SecurityState.parse(value) is state
