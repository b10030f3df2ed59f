"""RowChanges: how many rows of one table were inserted, updated and deleted."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth._visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["RowChanges", "row_summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """Rows of one table: `database` is a file's absolute path, or server/name, never with a password.

    `table` is the name as the database has it, with its schema where that is not the usual one.
    """

    database: str
    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """The number of rows concerned."""
        return self.inserted + self.updated + self.deleted

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "database": self.database,
            "table": self.table,
            "inserted": self.inserted,
            "updated": self.updated,
            "deleted": self.deleted,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        counts = [document[name] for name in ("inserted", "updated", "deleted")]
        if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
            raise ValueError("rows are counted by integers from 0")
        if not isinstance(document["database"], str) or not isinstance(document["table"], str):
            raise TypeError("database and table are texts")
        return cls(
            database=document["database"],
            table=document["table"],
            inserted=counts[0],
            updated=counts[1],
            deleted=counts[2],
        )


def row_summary(rows: Iterable[RowChanges]) -> list[str]:
    """Return one line for each table, for a person: `app.db: users +12 ~3 -0` (inserted, updated, deleted)."""
    return [
        visible(f"{posixpath.basename(row.database) or row.database}: {row.table}")
        + f" +{row.inserted} ~{row.updated} -{row.deleted}"
        for row in rows
    ]
