"""Deriving again what is derived, with plain SQL; evidence is never touched."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

from hearth.operations._fsck._database import connect
from hearth.operations._fsck._schema import NUMBERED, columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.operations._fsck._report import Finding, Mend

__all__ = ["KEPT", "repair"]

KEPT = ("outputs/", "inputs/", "plans/")
"""What others may begin to need at any moment; `_unreferenced` removes it."""

_IN_DATABASE = frozenset({"update", "texts", "delete-text", "index", "sequence", "reindex"})


def repair(root: Path, wanted: Sequence[tuple[Finding, Mend]]) -> list[str]:
    """Mend what can be mended, and return what did not work; another check says what came out."""
    failed = []
    in_database = [mend for _, mend in wanted if mend.action in _IN_DATABASE]
    if in_database:
        try:
            _mend_database(root / "ledger.db", in_database)
        except sqlite3.Error as error:
            failed.append(f"the database could not be mended: {error}")
    for _, mend in wanted:
        try:
            if mend.action == "mode":
                path = root / mend.subject
                path.chmod(0o700 if path.is_dir() else path.stat().st_mode & 0o700)
            elif mend.action == "put-back":
                _put_back(root, mend.subject)
            elif mend.action == "remove" and not mend.subject.startswith(KEPT):
                _remove(root / mend.subject)
            elif mend.action == "empty":
                _empty_database(root / "ledger.db")
                _remove(root / mend.subject)
        except OSError as error:
            failed.append(f"{mend.subject}: {error.strerror}")
        except sqlite3.Error as error:
            failed.append(f"the database could not be emptied of what was erased: {error}")
    return failed


def _mend_database(path: Path, mends: list[Mend]) -> None:
    connection = connect(path, write=True)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        for mend in sorted(mends, key=lambda mend: mend.action == "reindex"):
            _mend(connection, mend)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _empty_database(path: Path) -> None:
    """Write the database anew, without the bytes of what was erased, and cut its write-ahead log."""
    connection = connect(path, write=True)
    try:
        connection.execute("ROLLBACK")  # neither can be done within a transaction
        connection.execute("VACUUM")
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise sqlite3.OperationalError("somebody reads in it; run `hearth fsck --repair` again later")
    finally:
        connection.close()


def _mend(connection: sqlite3.Connection, mend: Mend) -> None:
    if mend.action == "update" and mend.values and mend.subject == "executions":
        for name, value in mend.values.items():
            if name in columns_of("executions") and name not in {"id", "record"}:
                connection.execute(f"UPDATE executions SET {name} = ? WHERE id = ?", (value, mend.row))  # noqa: S608 - a column
    elif mend.action == "texts":
        connection.execute("DELETE FROM execution_texts WHERE execution = ?", (mend.row,))
        connection.executemany(
            "INSERT INTO execution_texts (execution, kind, step_index, text) VALUES (?, ?, ?, ?)",
            [(mend.row, *text) for text in mend.texts],
        )
    elif mend.action == "delete-text":
        connection.execute("DELETE FROM execution_texts WHERE id = ?", (mend.row,))
    elif mend.action == "sequence" and mend.subject in NUMBERED:
        changed = connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (mend.row, mend.subject))
        if not changed.rowcount:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (mend.subject, mend.row))
    elif mend.action == "index":
        connection.execute(f"DROP INDEX IF EXISTS {mend.subject.partition('INDEX ')[2].split()[0]}")
        connection.execute(mend.subject)
    elif mend.action == "reindex":
        connection.execute('REINDEX "{}"'.format(mend.subject.replace('"', '""')))


def _put_back(root: Path, name: str) -> None:
    """Give what a purge had put aside its name again; what stands there already is the same content."""
    aside = root / name
    digest = aside.name.removeprefix("purged-")
    target = root / "plans" / digest if name.startswith("plans/") else aside.parent.parent / digest[:2] / digest[2:]
    if target.exists():
        aside.unlink()
    else:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        aside.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
