"""RowChanges: how many rows of one table were inserted, updated and deleted, or that the schema was changed."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from hearth._visible import visible
from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.observe._row_values import ColumnDigests

__all__ = ["SCHEMA", "RowChanges", "row_summary", "schema_change"]

SCHEMA = "schema:"
"""What the names of changes of the schema begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """Rows of one table: `database` is a file's absolute path, or server/name, never with a password.

    `table` is the name as the database has it, with its schema where that is not the usual one. A change of the schema
    is one, too: `table` is SCHEMA and the name of what was made, altered or dropped (or of the catalog whose rows were
    changed), and `definition` a digest of what it was and is; "" for rows.

    `before` and `after` are digests by column of the values that these rows had and have, empty where they are not
    known: a column stands in `before` where a value of it was updated or deleted, in `after` where one was updated or
    inserted.

    `examples` are lines that show the first of these rows to a person. They hold values, and stand in no document.
    """

    database: str
    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    definition: str = ""
    before: ColumnDigests = ()
    after: ColumnDigests = ()
    examples: tuple[str, ...] = field(default=(), compare=False, repr=False)

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
            **({"definition": self.definition} if self.definition else {}),
            **({"before": dict(self.before)} if self.before else {}),
            **({"after": dict(self.after)} if self.after else {}),
        }

    def counts(self) -> dict[str, Any]:
        """Return the JSON form without the digests of values."""
        return replace(self, before=(), after=()).to_dict()

    @classmethod
    def from_counts(cls, database: str, table: str, counts: Mapping[str, int]) -> Self:
        """Make one of numbers by the names of the fields; what is not there is 0."""
        return cls(
            database=database,
            table=table,
            inserted=counts.get("inserted", 0),
            updated=counts.get("updated", 0),
            deleted=counts.get("deleted", 0),
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        counts = [document[name] for name in ("inserted", "updated", "deleted")]
        if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
            raise ValueError("rows are counted by integers from 0")
        if not isinstance(document["database"], str) or not isinstance(document["table"], str):
            raise TypeError("database and table are texts")
        if not isinstance(document.get("definition", ""), str):
            raise TypeError("a definition is a digest")
        digests = [_digests(document.get(name, {})) for name in ("before", "after")]
        return cls(
            database=document["database"],
            table=document["table"],
            inserted=counts[0],
            updated=counts[1],
            deleted=counts[2],
            definition=document.get("definition", ""),
            before=digests[0],
            after=digests[1],
        )


def _digests(document: object) -> ColumnDigests:
    if not isinstance(document, Mapping) or not all(isinstance(one, str) for one in document.values()):
        raise TypeError("digests stand by the names of columns")
    return tuple((str(name), document[name]) for name in sorted(document))


def schema_change(database: str, name: str, states: Any, counts: tuple[int, int, int] = (0, 0, 0)) -> RowChanges:  # noqa: ANN401 - a JSON tree
    """Return a change of the schema: of what, what it was and is, and the rows of a catalog that became others."""
    return RowChanges(
        database=database,
        table=f"{SCHEMA}{name}",
        inserted=counts[0],
        updated=counts[1],
        deleted=counts[2],
        definition=hashlib.sha256(canonical_bytes(states)).hexdigest(),
    )


def row_summary(rows: Iterable[RowChanges]) -> list[str]:
    """Return one line for each table, for a person: `app.db: users +12 ~3 -0` (inserted, updated, deleted)."""
    return [
        visible(f"{posixpath.basename(row.database) or row.database}: {row.table}")
        + f" +{row.inserted} ~{row.updated} -{row.deleted}"
        for row in rows
    ]
