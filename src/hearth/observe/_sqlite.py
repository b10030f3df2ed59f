"""SQL effects in SQLite, exactly, by apsw's sessions (sqlite.org/sessionintro.html). apsw is loaded when it is used.

- `connect_recorded`: a driver whose connection tells a transaction's changeset before the commit.
- `compare_databases`: what a program did to a database file, from the file before and the file after.
- `undo_changeset`: takes a changeset back, all of it or nothing.
- `is_sqlite`, `in_use`, `held_by_others`, `snapshot`: a live database is never put below an overlay, a copy of it is.
"""

from __future__ import annotations

from hearth.observe._rows import RowChanges, row_summary
from hearth.observe._sqlite_compare import compare_databases
from hearth.observe._sqlite_driver import RecordedConnection, RecordedCursor, connect_recorded
from hearth.observe._sqlite_effects import SqliteEffects
from hearth.observe._sqlite_files import DatabaseFiles, held_by_others, in_use, is_sqlite, snapshot
from hearth.observe._sqlite_undo import undo_changeset

__all__ = [
    "DatabaseFiles",
    "RecordedConnection",
    "RecordedCursor",
    "RowChanges",
    "SqliteEffects",
    "compare_databases",
    "connect_recorded",
    "held_by_others",
    "in_use",
    "is_sqlite",
    "row_summary",
    "snapshot",
    "undo_changeset",
]
