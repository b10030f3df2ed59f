"""The guide names every parameter of every task, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hearth.plan import load_tasks

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "tasks.md"


def parameters(schema: Any) -> set[str]:
    found = set(schema.get("properties", ()))
    for alternative in schema.get("anyOf", ()):
        found |= set(alternative.get("properties", ()))
    return found


def told(task: str) -> set[str]:
    section = re.split(r"^## ", GUIDE.read_text("utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{task}\n")]
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| ") and "---" not in row]
    return {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("task", ["shell", "python", "sql", "http", "file"])
def test_the_table_of_a_task_is_complete(task: str) -> None:
    assert told(task) == parameters(load_tasks()[task].schema)
