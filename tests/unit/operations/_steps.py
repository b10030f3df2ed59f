"""Steps that the tests of operations run, and a confirmation."""

from __future__ import annotations

from typing import Any

from hearth.operations import Confirmation

CONFIRMED = Confirmation(by="alice", reason="a test", interactive=False)

WRITE: dict[str, Any] = {
    "name": "Write",
    "file": {"write": "made.txt", "content": "made\n"},
    "effects": [{"file_system": "made.txt", "reversible": True}],
    "rollback": {"description": "Remove it", "actions": ["rm made.txt"], "risks": ["  kept verbatim  "]},
}
FAIL: dict[str, Any] = {"name": "Fail", "file": {"delete": "never-there.txt"}}
