"""The last check: it passes on agreement, and each single disagreement fails it by name."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def change(statement: str) -> None:
    with closing(sqlite3.connect("app.db")) as connection, connection:
        assert connection.execute(statement).rowcount != 0


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def url(site: Path, example: Path, importer: ModuleType, server: ModuleType) -> Iterator[str]:
    """A server on data that has been migrated, imported and configured."""
    with closing(sqlite3.connect(site / "app.db")) as connection:
        connection.executescript((example / "migrations" / "0002_batches.sql").read_text(encoding="utf-8"))
    importer.run(source="users.csv", database="app.db", rejects="rejects.csv", batch="2025-09", last_day="2025-09-30")
    for old, new in (
        ("schema = 1", "schema = 2"),
        ("limit = 4000", "limit = 12000"),
        ("batch = none", "batch = 2025-09"),
    ):
        edit("app.ini", old, new)
    with server.UserServer(site / "app.ini", "token") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running.url
        running.shutdown()
        thread.join()


@pytest.fixture
def usual(url: str) -> dict[str, Any]:
    """The arguments of the plan."""
    return {"database": "app.db", "config": "app.ini", "rejects": "rejects.csv", "batch": "2025-09", "server": url}


def test_agreement_passes(check: ModuleType, usual: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result = check.run(**usual)["result"]
    assert result == {"users": 8_022, "batch": "2025-09", "imported": 4_822, "rejected": 178, "agreeing": 5}
    assert (
        "8,022 users served, 4,822 of them from batch 2025-09; 178 rows wait in rejects.csv" in capsys.readouterr().out
    )


def test_a_lost_user_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    change("DELETE FROM users WHERE id = (SELECT max(id) FROM users)")
    with pytest.raises(check.CheckError) as caught:
        check.run(**usual)
    assert str(caught.value) == (
        "users served and users in the database: 8022 and 8021; "
        "users of the batch and the batch's own count: 4821 and 4822"
    )


def test_a_configuration_that_was_not_reloaded_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    edit("app.ini", "batch = 2025-09", "batch = 2025-08")
    with pytest.raises(check.CheckError) as caught:
        check.run(**usual)
    assert str(caught.value) == (
        "batch served and batch in the configuration: 2025-09 and 2025-08; "
        "batch in the configuration and batch imported: 2025-08 and 2025-09"
    )


def test_a_lost_reject_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    lines = Path("rejects.csv").read_bytes().splitlines(keepends=True)
    Path("rejects.csv").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(check.CheckError, match="rows of the reject file and the batch's own count: 177 and 178"):
        check.run(**usual)


def test_a_batch_that_is_not_there_fails(check: ModuleType, usual: dict[str, Any]) -> None:
    with pytest.raises(check.CheckError, match="users of the batch and the batch's own count: 0 and None"):
        check.run(**usual | {"batch": "2025-10"})
