"""RowValues: digests of the values that changed in one table, by column: what a run is held to besides its counts."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any

from hearth.observe._row_words import MOST_EXAMPLES, row_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    _Row = Sequence[tuple[str, object]]

__all__ = ["ColumnDigests", "RowValues"]

ColumnDigests = tuple[tuple[str, str], ...]
"""Columns in the order of their names, each with a SHA-256 (hex)."""

_RANKS = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}
_OLD, _NEW = 0, 1


class RowValues:
    """Takes up the changed rows of one table, in any order, and gives a digest of each column's old and new values.

    A value that was updated or deleted counts with the key of its row, so that another row's is another one. Of rows
    that were inserted a column counts by itself, in the order of their keys: where a counter gives the next number in
    the meantime, the column of the number is another one, and no other. Memory: some hundred bytes for each row.
    `examples` are lines that show the first of them to a person.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, list[tuple[str, int, bytes]]]] = []
        self.examples: list[str] = []

    def insert(self, key: _Row, new: _Row, part: int = 0, *, hidden: Collection[str] = ()) -> None:
        """Take up an inserted row: columns and values of its key, and of all of it, but for those that are not held.

        `hidden` are the columns that are shown only. `part` keeps apart what happened one after the other, as before
        and after a change of the schema.
        """
        self._show(key, None, new)
        items = [(name, _NEW, _digest("INSERT", (), value)) for name, value in new if name not in hidden]
        self._rows.append(((part, "INSERT", _order(key)), items))

    def update(self, key: _Row, old: _Row, new: _Row, part: int = 0) -> None:
        """Take up an updated row: its key, and the columns that changed with what they were and are."""
        self._show(key, old, new)
        items = [(name, _OLD, _digest("UPDATE", key, value)) for name, value in old]
        items += [(name, _NEW, _digest("UPDATE", key, value)) for name, value in new]
        self._rows.append(((part, "UPDATE", _order(key)), items))

    def delete(self, key: _Row, old: _Row, part: int = 0) -> None:
        """Take up a deleted row: its key, and what it held."""
        self._show(key, old, None)
        items = [(name, _OLD, _digest("DELETE", key, value)) for name, value in old]
        self._rows.append(((part, "DELETE", _order(key)), items))

    def _show(self, key: _Row, old: _Row | None, new: _Row | None) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(row_line(key, old, new))

    def digests(self) -> tuple[ColumnDigests, ColumnDigests]:
        """Return the digests of what the columns held before, and of what they hold now."""
        self._rows.sort(key=lambda row: row[0])
        sides: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for _, items in self._rows:
            for column, side, digest in items:
                sides[side].setdefault(column, hashlib.sha256()).update(digest)
        before, after = (tuple((name, side[name].hexdigest()) for name in sorted(side)) for side in sides)
        return before, after


def _order(key: _Row) -> tuple[tuple[int, Any], ...]:
    """Return a key so that keys of any types can be compared: as SQLite does, NULL, numbers, texts, bytes."""
    return tuple((_RANKS.get(type(part), 4), 0 if part is None else part) for _, part in key)


def _digest(operation: str, key: _Row, value: object) -> bytes:
    """Return the SHA-256 of an operation, a key and a value, each with its type and length before it."""
    return hashlib.sha256(b"".join(map(_encoded, (operation, len(key), *(part for _, part in key), value)))).digest()


def _encoded(value: object) -> bytes:
    """Return a value as bytes that no other value has: 1 is not 1.0, and b"a" not "a"."""
    match value:
        case None:
            tag, data = b"n", b""
        case bytes():
            tag, data = b"b", value
        case str():
            tag, data = b"t", value.encode("utf-8", "surrogatepass")
        case float():
            tag, data = b"f", struct.pack(">d", value)
        case bool() | int():
            tag, data = b"i", str(int(value)).encode()
        case _:
            raise TypeError(f"a value of a row is of the type {type(value).__name__}")
    return tag + len(data).to_bytes(8, "big") + data
