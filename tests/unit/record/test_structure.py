"""The form of many entries: what passed once spares the look at form, never at words and numbers."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from hearth.errors import RecordError
from hearth.record import GENESIS_HASH, EntryForms


def effect(**changes: Any) -> dict[str, Any]:
    return {
        "execution_id": "e", "sequence": 1, "previous_event_hash": GENESIS_HASH, "event_hash": GENESIS_HASH,
        "timestamp": "2026-01-01T00:00:00.000000Z", "event_type": "side_effect", "step_index": 0, "step_name": None,
        "error_message": None, "details": {}, "category": "network", "description": "", "reversible": True,
        "origin": "reported",
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"category": "weather"},
        {"origin": "told"},
        {"sequence": -1},
        {"event_hash": "0"},
        {"previous_event_hash": "0" * 65},
        {"reversible": 1},
        {"sequence": True},
        {"event_type": "side effect"},
        {"event_type": ["side_effect"]},
        {"timestamp": "2026-01-01T00:00:00.00000٣Z"},
        {"more": None},
    ],
)
def test_what_is_wrong_is_refused_also_behind_one_that_passed(changes: dict[str, Any]) -> None:
    forms = EntryForms()
    forms.check(effect(), "here", 0)
    forms.check(effect(category="system", origin="observed"), "here", 1)
    with pytest.raises(RecordError, match=r"here\[2\]"):
        forms.check(effect(**changes), "here", 2)


def test_many_orders_of_keys_are_each_looked_at() -> None:
    forms = EntryForms()
    for position, order in enumerate(permutations(("sequence", "category", "origin", "details"))):
        entry = effect()
        moved = {key: entry.pop(key) for key in order}
        forms.check(entry | moved, "here", position)
        with pytest.raises(RecordError, match="category"):
            forms.check(entry | moved | {"category": "weather"}, "here", position)
