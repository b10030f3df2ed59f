"""Rows by table: the JSON form, and the line for a person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hearth.observe._rows import RowChanges, row_summary

ROWS = RowChanges(database="/srv/app.db", table="users", inserted=12, updated=3)


def test_the_json_form_comes_back() -> None:
    assert RowChanges.from_dict(json.loads(json.dumps(ROWS.to_dict()))) == ROWS
    assert ROWS.total == 15


@pytest.mark.parametrize(
    "wrong", [{"inserted": -1}, {"updated": "3"}, {"deleted": True}, {"deleted": 1.0}, {"table": 3}, {"database": None}]
)
def test_what_is_no_such_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        RowChanges.from_dict({**ROWS.to_dict(), **wrong})


def test_the_line_for_a_person() -> None:
    server = RowChanges(database="db.example/app", table="log\x1b[2J", deleted=1)
    assert row_summary([ROWS, server]) == ["app.db: users +12 ~3 -0", "app: log\\x1b[2J +0 ~0 -1"]
