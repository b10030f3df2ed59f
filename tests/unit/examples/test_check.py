"""The last check: it passes on agreement, and each single disagreement fails it by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType


def change(statement: str) -> None:
    with closing(sqlite3.connect("app.db")) as connection, connection:
        assert connection.execute(statement).rowcount != 0


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def usual(site: Path, example: Path, importer: ModuleType) -> dict[str, Any]:
    """Data that has been migrated, imported and configured, and the arguments of the plan."""
    with closing(sqlite3.connect(site / "app.db")) as connection:
        connection.executescript((example / "migrations" / "0002_batches.sql").read_text(encoding="utf-8"))
    importer.run(source="users.csv", database="app.db", rejects="rejects.csv", batch="2025-09", last_day="2025-09-30")
    edit("app.ini", "batch = none", "batch = 2025-09")
    return {"database": "app.db", "config": "app.ini", "rejects": "rejects.csv", "batch": "2025-09"}


def test_agreement_passes(check: ModuleType, usual: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(**usual) == {
        "users": 8_022, "batch": "2025-09", "imported": 4_822, "rejected": 178, "agreeing": 3,
    }  # fmt: skip
    assert "8,022 users, 4,822 of them from batch 2025-09; 178 rows wait in rejects.csv" in capsys.readouterr().out


def test_a_lost_user_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    change("DELETE FROM users WHERE id = (SELECT max(id) FROM users)")
    with pytest.raises(check.CheckError) as caught:
        check.run(**usual)
    assert str(caught.value) == "users of the batch and the batch's own count: 4821 and 4822"


def test_a_configuration_for_another_batch_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    edit("app.ini", "batch = 2025-09", "batch = 2025-08")
    with pytest.raises(check.CheckError) as caught:
        check.run(**usual)
    assert str(caught.value) == "batch in the configuration and batch imported: 2025-08 and 2025-09"


def test_a_lost_reject_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    lines = Path("rejects.csv").read_bytes().splitlines(keepends=True)
    Path("rejects.csv").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(check.CheckError, match="rows of the reject file and the batch's own count: 177 and 178"):
        check.run(**usual)


def test_a_batch_that_is_not_there_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    with pytest.raises(check.CheckError, match="users of the batch and the batch's own count: 0 and None"):
        check.run(**usual | {"batch": "2025-10"})
