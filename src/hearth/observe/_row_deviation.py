"""Where the rows that a run changed are not those of its approved preview: their numbers, or the values in them."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from hearth.plan import name_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hearth.observe._rows import RowChanges

__all__ = ["differing_rows", "loose_columns"]


def differing_rows(
    approved: Iterable[RowChanges], seen: Iterable[RowChanges], volatile: Sequence[str] = ()
) -> Iterator[str]:
    """Yield in words which tables' rows were changed in another way than a preview showed.

    Numbers are held always. Of values those are held that both know, by column, but for what `volatile` names as
    `DATABASE:TABLE` or `DATABASE:TABLE.COLUMN`; a run that does not know what the preview knew is another one.
    """
    before, now = ({(row.database, row.table): row for row in rows} for rows in (approved, seen))
    for database, table in sorted({*before, *now}):
        was, is_ = before.get((database, table)), now.get((database, table))
        if was is None or is_ is None or _numbers(was) != _numbers(is_):
            yield f"the rows of {table} in {database} were changed in another way than the preview showed"
            continue
        if not (was.before or was.after):
            continue  # the preview could not know them, and said so
        earlier = _others(was, "before", is_, volatile)
        later = [column for column in _others(was, "after", is_, volatile) if column not in earlier]
        if earlier:
            yield (
                f"the rows of {table} in {database} that were changed are not those of the preview, or held something "
                f"else before: {', '.join(earlier)}"
            )
        if later:
            name = f"{posixpath.basename(database)}:{table}.{later[0]}"
            yield (
                f"the rows of {table} in {database} hold other values than in the preview: {', '.join(later)} (where "
                f'they do by nature, the plan says so: volatile: ["{name}"])'
            )


def loose_columns(row: RowChanges, volatile: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table's rows whose values may differ from those of the preview, for its patterns."""
    columns = {column for side in (row.before, row.after) for column, _ in side}
    return tuple(column for column in sorted(columns) if _is_loose(row, column, volatile))


def _is_loose(row: RowChanges, column: str, volatile: Iterable[str]) -> bool:
    for pattern in volatile:
        database, colon, name = pattern.rpartition(":")
        if not colon or database not in (row.database, posixpath.basename(row.database)):
            continue
        table, dot, of_table = name.rpartition(".")
        if name_matches(name, row.table) or (dot and name_matches(table, row.table) and name_matches(of_table, column)):
            return True
    return False


def _numbers(row: RowChanges) -> tuple[int, int, int, str]:
    return row.inserted, row.updated, row.deleted, row.definition


def _others(was: RowChanges, side: str, is_: RowChanges, volatile: Sequence[str]) -> list[str]:
    one, two = dict(getattr(was, side)), dict(getattr(is_, side))
    return [
        column
        for column in sorted(one.keys() | two.keys())
        if one.get(column) != two.get(column) and not _is_loose(was, column, volatile)
    ]
