"""Taking back what a changeset did: the inverse applied to the database as a whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from hearth.errors import DriftError, ObservationError
from hearth.observe._sqlite_effects import count_rows, new_session, row_changes

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

    from hearth.observe._rows import RowChanges

__all__ = ["undo_changeset"]


def undo_changeset(path: Path, changeset: bytes, *, timeout: float = 30.0) -> tuple[RowChanges, ...]:
    """Take back what a transaction did to the rows of a database; return the rows that were changed by that.

    Triggers and the actions of foreign keys stay still, since what they did is in the changeset too. Foreign keys
    themselves are checked. What a changeset does not hold (the schema, virtual tables, AUTOINCREMENT's counters) is not
    taken back. `timeout` is seconds to wait for a lock. DriftError when a row was changed later, or a table: nothing
    was changed then. ObservationError when the changeset or the database cannot be used, or the commit failed.
    """
    import apsw

    if not path.is_file():
        raise ObservationError(f"there is no database {path}: nothing was changed")
    name = os.fspath(path)
    try:
        inverse = apsw.Changeset.invert(changeset)
        wanted = _rows_of(inverse)
        db = apsw.Connection(path.absolute().as_uri(), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
    except (apsw.Error, OverflowError) as error:
        raise ObservationError(f"the changeset cannot be taken back in {path}: {error}") from error
    try:
        db.set_busy_timeout(int(timeout * 1000))
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1)
        db.execute("BEGIN IMMEDIATE")
        try:
            _apply(db, path, inverse, wanted)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    except apsw.Error as error:
        raise ObservationError(f"the changeset cannot be taken back in {path}: {error}") from error
    finally:
        db.close(True)  # noqa: FBT003 - apsw's own: also with statements under way
    return row_changes(name, count_rows([inverse]))


def _apply(db: apsw.Connection, path: Path, inverse: bytes, wanted: set[tuple[object, ...]]) -> None:
    import apsw

    conflicts: dict[str, int] = {}
    keys = 0

    def conflict(reason: int, change: apsw.TableChange) -> int:
        nonlocal keys
        if reason == apsw.SQLITE_CHANGESET_FOREIGN_KEY:
            keys = change.fk_conflicts or 1
        else:
            conflicts[change.name] = conflicts.get(change.name, 0) + 1
        return apsw.SQLITE_CHANGESET_OMIT

    session = new_session(db)
    with contextlib.closing(session):
        session.attach()
        flags = apsw.SQLITE_CHANGESETAPPLY_FKNOACTION
        apsw.Changeset.apply(inverse, db, conflict=conflict, flags=flags)
        done = session.changeset()
    if conflicts:
        told = ", ".join(f"{count} in {table}" for table, count in sorted(conflicts.items()))
        raise DriftError(f"rows of {path} were changed since: {told}; nothing was taken back")
    if keys:
        raise DriftError(
            f"{keys} rows of {path} would refer to rows that are not there; nothing was taken back. "
            "Look which rows were added since"
        )
    # A table that is gone or has other columns is passed over without a word, and values are compared as their columns
    # do (1 is 1.0, and where case does not count 'a' is 'A'): so look at what was done.
    differ = sorted({str(row[0]) for row in wanted ^ _rows_of(done)})
    if differ:
        raise DriftError(
            f"{', '.join(differ)} in {path}: columns, or the case or type of values, are not what they were; nothing "
            "was taken back. A change of the schema cannot be taken back by a changeset"
        )


def _rows_of(changeset: bytes) -> set[tuple[object, ...]]:
    """Return the changes as values that can be compared."""
    import apsw

    return {
        (change.name, change.op, _comparable(change.old), _comparable(change.new))
        for change in apsw.Changeset.iter(changeset)
    }


def _comparable(values: tuple[object, ...] | None) -> tuple[tuple[type, object], ...] | None:
    # 1 and 1.0 are equal in Python, and two values in SQLite.
    return None if values is None else tuple((type(value), value) for value in values)
