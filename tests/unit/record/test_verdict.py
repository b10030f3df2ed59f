"""A verdict is truthy when the record holds, and reads like a sentence."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hearth.record import Verdict


def test_truth() -> None:
    assert Verdict(ok=True)
    assert not Verdict(ok=False, first_bad=0, why="bad")


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Verdict(ok=False).ok = True  # type: ignore[misc]


def test_the_sentence_names_the_first_bad_entry_also_entry_0() -> None:
    text = str(Verdict(ok=False, first_bad=0, why="entry 0 was changed", notes=("clock",)))
    assert "NOT VERIFIED" in text
    assert "entry 0 was changed" in text
    assert "first bad entry: 0" in text
    assert "clock" in text
    assert "NOT" not in str(Verdict(ok=True))


def test_the_json_form() -> None:
    verdict = Verdict(ok=False, first_bad=3, why="x", notes=("n",))
    assert json.loads(json.dumps(verdict.to_dict())) == {"ok": False, "first_bad": 3, "why": "x", "notes": ["n"]}
