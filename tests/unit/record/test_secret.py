"""A Secret never shows its value by accident."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from hearth.record import Secret, to_plain

VALUE = "correct horse battery"


def test_only_reveal_shows_the_value() -> None:
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{[secret]}"):
        assert VALUE not in text
    assert VALUE not in json.dumps(to_plain({"x": secret, "y": [secret]}))


def test_it_does_not_leave_the_process() -> None:
    for way in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as raised:
            way(Secret(VALUE))
        assert VALUE not in str(raised.value)


def test_it_has_no_dict_to_look_into() -> None:
    secret = Secret(VALUE)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(AttributeError):
        secret.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [None, 1, b"bytes", ["x"]])
def test_it_wraps_a_text(value: Any) -> None:
    with pytest.raises(TypeError, match="str"):
        Secret(value)


def test_it_is_disclosable_only_when_asked() -> None:
    assert not Secret(VALUE).disclosable
    assert Secret(VALUE, disclosable=True).disclosable
