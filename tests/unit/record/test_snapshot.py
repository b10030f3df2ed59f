"""A snapshot never raises, whatever the kernel is; the handoff's tests have the table of kernels."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hearth.record import SecuritySnapshot


class Name:
    @property
    def name(self) -> str:
        message = "no name"
        raise RuntimeError(message)


class Kernel:
    def __init__(self, state: Any) -> None:
        self.state = state

    def get_security_state(self) -> Any:
        return self.state

    def get_boundary_state(self) -> Any:
        return "NOMINAL"


@pytest.mark.parametrize("state", [Name(), b"x", 17, "lone \ud800", object(), [], "", "password=hunter2-hunter2"])
def test_whatever_a_kernel_answers_is_a_text(state: Any) -> None:
    snapshot = SecuritySnapshot.from_kernel(Kernel(state))
    assert isinstance(snapshot.security_state, str)
    snapshot.security_state.encode()
    assert snapshot.boundary_state == "NOMINAL"
    assert SecuritySnapshot.from_dict(json.loads(json.dumps(snapshot.to_dict()))) == snapshot


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SecuritySnapshot.from_kernel(None).context = "x"  # type: ignore[misc]


def test_the_context_of_a_good_kernel_is_the_callers_alone() -> None:
    assert SecuritySnapshot.from_kernel(Kernel("OPERATIONAL"), "before").context == "before"
    assert SecuritySnapshot.from_kernel(Kernel("OPERATIONAL")).context == ""
