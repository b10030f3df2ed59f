"""The backup: whole or not there, also beside a writer."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


def dump(database: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


@pytest.mark.usefixtures("site")
def test_the_copy_holds_the_same(backup: ModuleType) -> None:
    answer = backup.run(database="app.db", to="backup/app.db")
    assert dump("backup/app.db") == dump("app.db")
    content = Path("backup/app.db").read_bytes()
    expected = {
        "path": "backup/app.db",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "users": 3_200,
    }
    assert answer["result"] == expected
    assert [path.name for path in Path("backup").iterdir()] == ["app.db"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640])
@pytest.mark.usefixtures("site")
def test_the_copy_has_the_same_readers(backup: ModuleType, mode: int) -> None:
    Path("app.db").chmod(mode)
    backup.run(database="app.db", to="backup/app.db")
    assert Path("backup/app.db").stat().st_mode & 0o777 == mode


@pytest.mark.usefixtures("site")
def test_a_transaction_that_is_not_committed_is_not_in_it(backup: ModuleType) -> None:
    before = dump("app.db")
    with closing(sqlite3.connect("app.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM users")
        backup.run(database="app.db", to="backup/app.db")
        writer.execute("ROLLBACK")
    assert dump("backup/app.db") == before


@pytest.mark.usefixtures("site")
def test_an_older_backup_is_not_overwritten(backup: ModuleType) -> None:
    Path("backup").mkdir()
    Path("backup/app.db").write_bytes(b"older")
    with pytest.raises(backup.BackupError, match="already there"):
        backup.run(database="app.db", to="backup/app.db")
    assert Path("backup/app.db").read_bytes() == b"older"


@pytest.mark.usefixtures("site")
def test_a_damaged_database_gives_no_backup(backup: ModuleType) -> None:
    content = bytearray(Path("app.db").read_bytes())
    content[3 * 4096 : 12 * 4096] = b"\xff" * (9 * 4096)
    Path("app.db").write_bytes(content)
    with pytest.raises((backup.BackupError, sqlite3.DatabaseError)):
        backup.run(database="app.db", to="backup/app.db")
    assert list(Path("backup").iterdir()) == []


@pytest.mark.usefixtures("site")
def test_a_database_that_is_not_there_gives_no_backup(backup: ModuleType) -> None:
    with pytest.raises(sqlite3.OperationalError):
        backup.run(database="typo.db", to="backup/app.db")
    assert not Path("typo.db").exists()
    assert list(Path("backup").iterdir()) == []
