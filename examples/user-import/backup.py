"""Copy the database while others may be using it, and make sure that the copy is whole before its name appears."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path


class BackupError(Exception):
    """There is no good backup; whatever was half written is gone."""


def copy_database(database: Path, target: Path) -> int:
    """Copy the database and return the copy's number of users; raise BackupError where the copy is damaged."""
    with (
        closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise BackupError(f"the copy of {database} is damaged: {verdict}")
        (users,) = copy.execute("SELECT count(*) FROM users").fetchone()
    return int(users)


def run(*, database: str, to: str) -> dict[str, object]:
    """Back the SQLite database up and return the copy's size, digest and number of users.

    A plain copy of the file can catch a transaction half way; SQLite's own backup cannot. Raises BackupError where the
    target exists (an older backup is never overwritten) or the copy fails SQLite's integrity check.
    """
    target = Path(to)
    if target.exists():
        raise BackupError(f"{target} is already there: an older backup is not overwritten, move it away first")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.new")
    draft.unlink(missing_ok=True)
    try:
        users = copy_database(Path(database), draft)
        with draft.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            os.fsync(file.fileno())
        shutil.copymode(database, draft)  # no reader more than the database has, and none less once it is restored
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    print(f"{target}: {size:,} bytes, {users:,} users, integrity check ok")
    return {
        "result": {"path": to, "bytes": size, "sha256": digest, "users": users},
        "side_effects": [
            {
                "category": "FILE_SYSTEM",
                "description": f"created {to}",
                "reversible": True,
                "details": {"path": to, "bytes": size, "sha256": digest},
            },
        ],
    }
