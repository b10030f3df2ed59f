"""The events that everybody records: about 330 bytes each, as research and peers measure them."""

from __future__ import annotations

from typing import Any

__all__ = ["EXECUTION_ID", "STEP_NAME", "flat", "nested", "prose"]

EXECUTION_ID = "user-import-20260922"
STEP_NAME = "Import the users"


def flat(number: int) -> dict[str, Any]:
    """Four details: texts, a number, a truth value."""
    return {"path": "/var/lib/app/data/file.txt", "rows": number, "ok": True, "host": "db1.example"}


def nested(number: int) -> dict[str, Any]:
    """Mappings and lists within the details."""
    return {
        "path": "/var/lib/app",
        "result": {"rows": number, "tables": ["users", "meta"], "timing": {"read": 12, "unit": "ms"}},
        "pages": [1, 2, 3],
    }


def prose(number: int) -> dict[str, Any]:
    """A sentence as a program would log it."""
    return {"message": "copied the file to the backup folder and found: nothing else to do", "rows": number}
