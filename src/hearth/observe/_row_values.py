"""RowValues: digests of the values that changed in one table, by column: what a run is held to besides its counts."""

from __future__ import annotations

import hashlib
import struct
from bisect import insort
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
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, list[tuple[str, int, bytes]]]] = []
        self._shown: list[tuple[Any, str]] = []

    @property
    def examples(self) -> list[str]:
        """Lines that show the first rows, by their keys, to a person."""
        return [line for _, line in self._shown]

    def insert(self, key: _Row, new: _Row, part: int = 0, *, hidden: Collection[str] = ()) -> None:
        """Take up an inserted row: columns and values of its key, and of all of it, but for those that are not held.

        `hidden` are the columns that are shown only. `part` keeps apart what happened one after the other, as before
        and after a change of the schema.
        """
        items = [(name, _NEW, _digest(_INSERT, value)) for name, value in new if name not in hidden]
        self._add(part, "INSERT", key, None, new, items)

    def update(self, key: _Row, old: _Row, new: _Row, part: int = 0) -> None:
        """Take up an updated row: its key, and the columns that changed with what they were and are."""
        named = _named("UPDATE", key)
        items = [(name, _OLD, _digest(named, value)) for name, value in old]
        items += [(name, _NEW, _digest(named, value)) for name, value in new]
        self._add(part, "UPDATE", key, old, new, items)

    def delete(self, key: _Row, old: _Row, part: int = 0) -> None:
        """Take up a deleted row: its key, and what it held."""
        named = _named("DELETE", key)
        self._add(part, "DELETE", key, old, None, [(name, _OLD, _digest(named, value)) for name, value in old])

    def _add(self, part: int, operation: str, key: _Row, old: _Row | None, new: _Row | None, items: list[Any]) -> None:
        order = _order(key)
        self._rows.append(((part, operation, order), items))
        place = (part, order, operation)
        if len(self._shown) < MOST_EXAMPLES or place < self._shown[-1][0]:
            insort(self._shown, (place, row_line(key, old, new)))
            del self._shown[MOST_EXAMPLES:]

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


def _named(operation: str, key: _Row) -> bytes:
    """Return an operation and a key as bytes, each part with its type and length before it."""
    return b"".join(map(_encoded, (operation, len(key), *(part for _, part in key))))


def _digest(named: bytes, value: object) -> bytes:
    """Return the SHA-256 of an operation, a key and a value."""
    return hashlib.sha256(named + _encoded(value)).digest()


def _encoded(value: object) -> bytes:
    """Return a value as bytes that no other value has: 1 is not 1.0, and b"a" not "a"."""
    if value is None:
        return _NULL
    if isinstance(value, str):
        tag, data = b"t", value.encode("utf-8", "surrogatepass")
    elif isinstance(value, int):
        tag, data = b"i", b"%d" % value
    elif isinstance(value, float):
        tag, data = b"f", struct.pack(">d", value)
    elif isinstance(value, bytes):
        tag, data = b"b", value
    else:
        raise TypeError(f"a value of a row is of the type {type(value).__name__}")
    return tag + len(data).to_bytes(8, "big") + data


_NULL = b"n" + bytes(8)
_INSERT = _named("INSERT", ())
