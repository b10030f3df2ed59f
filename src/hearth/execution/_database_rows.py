"""The rows of SQLite databases that a step in a sandbox changed as files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ObservationError
from hearth.execution.tasks._table_rows import with_named_tables
from hearth.observe import (
    DatabaseFiles,
    LowerView,
    NodeType,
    compare_databases,
    held_by_others,
    is_sqlite,
    layer_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hearth.observe import Change, Layout, RowChanges

__all__ = ["database_rows", "databases_in_use", "without_database"]

_BESIDE = ("-wal", "-shm", "-journal")
_LARGEST = 1 << 30
_PAGES = 512  # a database is made of pages of at least that many bytes (sqlite.org/fileformat.html, 1.2)


def without_database(changes: Iterable[Change], database: str | None) -> tuple[Change, ...]:
    """Return the changes but those of a database's own files: its rows are told instead."""
    own = () if database is None else (database, *(database + end for end in _BESIDE))
    return tuple(change for change in changes if change.path not in own)


def database_rows(layout: Layout, changes: Sequence[Change]) -> tuple[tuple[RowChanges, ...], list[str]]:
    """Return the rows that became others in databases whose files were changed, and why there may be more.

    Only what was a database before and is one after counts; both are compared as copies, with their logs.
    """
    changed = {change.path: change for change in changes}
    found = sorted({path for change in changes if (path := _database_of(change)) is not None})
    if not found:
        return (), []
    rows: list[RowChanges] = []
    unseen: list[str] = []
    with (
        LowerView(state=layout.state, below=layout.below) as lower,
        tempfile.TemporaryDirectory(prefix="rows-", dir=layout.state) as folder,
    ):
        for number, path in enumerate(found):
            states = _States(layout, lower, changed, Path(folder) / str(number))
            try:
                before, after = states.before(path), states.after(path)
                if not (is_sqlite(before.main) and is_sqlite(after.main)):
                    continue
                effects = compare_databases(before, after, name=path)
            except FileNotFoundError:
                continue  # it was not there before, or is not after
            except (ObservationError, OSError) as error:
                unseen.append(f"rows in {path}: {error}")
                continue
            finally:
                shutil.rmtree(states.folder, ignore_errors=True)
            rows += (*with_named_tables(effects.tables, effects.unseen, path), *effects.schema)
            unseen += (f"{path}: {reason}" for reason in effects.unseen)
    return tuple(rows), unseen


def databases_in_use(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the host's databases that other processes have open, and whose files these changes would replace."""
    found = set()
    for change in changes:
        if change.before is not None and change.before.type is not NodeType.FILE:
            continue
        path = next((change.path.removesuffix(end) for end in _BESIDE if change.path.endswith(end)), change.path)
        if path not in found and is_sqlite(Path(path)) and held_by_others(Path(path)):
            found.add(path)
    return tuple(sorted(found))


def _database_of(change: Change) -> str | None:
    """Return the path of the database that a change may be one of; None where it is surely none."""
    for end in ("-wal", "-journal"):
        if change.path.endswith(end):
            return change.path.removesuffix(end)
    for node in (change.before, change.after):
        if node is None or node.type is not NodeType.FILE or not node.size or node.size % _PAGES:
            return None
    return change.path


class _States:
    """Copies of a database's files as the step found them, and as it left them."""

    def __init__(self, layout: Layout, lower: LowerView, changed: Mapping[str, Change], folder: Path) -> None:
        self.folder = folder
        self._layout = layout
        self._lower = lower
        self._changed = changed
        folder.mkdir(mode=0o700)

    def before(self, path: str) -> DatabaseFiles:
        """Return what the step found; FileNotFoundError where there was no such file."""
        return self._files(path, "before", after=False)

    def after(self, path: str) -> DatabaseFiles:
        """Return what it left; FileNotFoundError as above."""
        return self._files(path, "after", after=True)

    def _files(self, path: str, name: str, *, after: bool) -> DatabaseFiles:
        main = self._copy(path, name, after=after)
        if main is None:
            raise FileNotFoundError(path)
        wal, journal = (self._copy(path + end, name + end, after=after) for end in ("-wal", "-journal"))
        return DatabaseFiles(main, wal, journal)

    def _copy(self, path: str, name: str, *, after: bool) -> Path | None:
        """Copy a file; None where it is none, or empty."""
        change = self._changed.get(path) if after else None
        node = self._lower.node(path, content=False) if change is None else change.after
        if node is None or node.type is not NodeType.FILE or not node.size:
            return None
        if node.size > _LARGEST:
            raise ObservationError(f"it has more than {_LARGEST} bytes, and was not compared")
        to = self.folder / name
        upper = None if change is None else layer_path(self._layout.state, self._layout.layer, path)
        with upper.open("rb") if upper is not None else self._lower.open(path) as source, to.open("xb") as target:
            shutil.copyfileobj(source, target)
        return to
