"""A small plan that shows recording at work: real files and a real database, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.operations._standalone import installed_tasks
from hearth.plan import parse_plan

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan import Plan

__all__ = ["observation_plan"]

_DATABASE = "sqlite:///readings.db"


def observation_plan(folder: Path) -> Plan:
    """Return a plan of four steps that acts on nothing but new files below `folder`; no step needs another program."""
    written = {"file_system": "readings.csv", "reversible": True}
    return parse_plan(
        {
            "plan": "test-observation",
            "description": "Write readings to a file, keep them in a database, count them, remove the file",
            "steps": [
                {
                    "name": "Write the readings",
                    "file": {"write": "readings.csv", "content": "hour,value\n0,20.5\n1,21.5\n2,24.0\n"},
                    "effects": [written],
                    "rollback": {"description": "Remove the readings", "actions": ["rm readings.csv"]},
                },
                {
                    "name": "Keep them in a database",
                    "sql": {
                        "url": _DATABASE,
                        "create": True,
                        "statements": [
                            "CREATE TABLE readings (hour INTEGER PRIMARY KEY, value REAL NOT NULL)",
                            "INSERT INTO readings VALUES (0, 20.5), (1, 21.5), (2, 24.0)",
                        ],
                    },
                    "effects": [
                        {"file_system": "readings.db", "reversible": True},
                        {"data_mutation": "readings.db", "reversible": True},
                    ],
                    "rollback": {"description": "Remove the database", "actions": ["rm readings.db"]},
                },
                {
                    "name": "Count them",
                    "sql": {"url": _DATABASE, "statement": "SELECT * FROM readings", "expect_rows": 3},
                    "effects": [],
                },
                {"name": "Remove the file", "file": {"delete": "readings.csv"}, "effects": [written]},
            ],
        },
        folder=folder,
        tasks=installed_tasks(),
    )
