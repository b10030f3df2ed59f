"""Reading JSON as a verifier must: what two readers could understand differently is refused.

So is what would take more memory than anything that was recorded: bytes and values are counted before objects are made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from hearth.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LARGEST_ENTRY", "LARGEST_EXPORT", "Bulk", "count_values", "refuse_entry", "strict_loads"]

LARGEST_ENTRY = 16 << 20
"""The most bytes of one entry in its JSON form; the recorder leaves out what would make it larger."""
LARGEST_EXPORT = 256 << 20
"""The most bytes of a record in a file of its own."""

_MAX_DEPTH_HINT = "nested too deeply"
_MOST_VALUES_OF_ENTRY = 600_000
_MOST_VALUES, _VALUES_AN_ENTRY = 600_000, 64
_MOST_BYTES, _BYTES_AN_ENTRY = 48 << 20, 8 << 10
_MARK = b'"event_hash"'


def count_values(data: bytes) -> int:
    """Return how many values the JSON may hold, at most: one for each `,`, `[` and `{`, also of those within texts."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def refuse_entry(data: bytes, what: str) -> None:
    """Raise RecordError, naming `what`, for the JSON of an entry that is beyond what a recorder writes."""
    if len(data) > LARGEST_ENTRY:
        message = f"{what} is longer than {LARGEST_ENTRY:,} bytes, which no recorder writes"
        raise RecordError(message)
    # Fewer bytes cannot hold as many.
    if len(data) > _MOST_VALUES_OF_ENTRY and count_values(data) > _MOST_VALUES_OF_ENTRY:
        message = f"{what} holds more than {_MOST_VALUES_OF_ENTRY:,} values, which no recorder writes"
        raise RecordError(message)


@dataclass(slots=True)
class Bulk:
    """What a JSON document would take, counted without making anything of it: bytes, values, and entries at most."""

    size: int = 0
    values: int = 0
    entries: int = 0
    _end: bytes = b""

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Bulk:
        """Count a document that comes in pieces."""
        bulk = cls()
        for piece in pieces:
            bulk.add(piece)
        return bulk

    def add(self, piece: bytes) -> None:
        """Count one more piece."""
        self.size += len(piece)
        self.values += count_values(piece)
        seam = self._end + piece[: len(_MARK) - 1]
        self.entries += piece.count(_MARK) + seam.count(_MARK)
        self._end = (self._end + piece)[-len(_MARK) + 1 :] if len(piece) < len(_MARK) else piece[-len(_MARK) + 1 :]

    def refuse_stored(self) -> None:
        """Raise RecordError for more values than so many entries can have."""
        self._refuse_values((self.entries + 1) * _MOST_VALUES_OF_ENTRY)

    def refuse_sent(self) -> None:
        """Raise RecordError for what is beyond a document that anybody may send: smaller limits than of one's own."""
        most = min(LARGEST_EXPORT, _MOST_BYTES + self.entries * _BYTES_AN_ENTRY)
        if self.size > most:
            message = f"refused: {self.size:,} bytes with {self.entries:,} entries; the most is {most:,} bytes"
            raise RecordError(message)
        self._refuse_values(_MOST_VALUES + self.entries * _VALUES_AN_ENTRY)

    def _refuse_values(self, most: int) -> None:
        if self.values > most:
            message = f"refused: {self.values:,} values with {self.entries:,} entries; the most is {most:,} values"
            raise RecordError(message)


def strict_loads(data: bytes | str) -> Any:  # noqa: ANN401 - a JSON tree
    """Parse JSON; duplicate keys, NaN, infinities, lone surrogates and anything not JSON raise RecordError.

    So do more values than a record can have. A document that the fast parser's own writer reproduces byte for byte
    cannot hold a duplicate key, so the slow, watchful parser is needed only for the others (indented ones, mostly).
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    # A single text of that length would be held five times over before it is refused for something else.
    if any(
        raw.find(b'"', start, start + LARGEST_ENTRY) < 0
        for start in range(0, len(raw) - LARGEST_ENTRY + 1, LARGEST_ENTRY)
    ):
        message = f"not JSON of ours: {LARGEST_ENTRY:,} bytes without a quote"
        raise RecordError(message)
    if len(raw) > _MOST_VALUES_OF_ENTRY:
        Bulk.of((raw,)).refuse_stored()
    try:
        tree = orjson.loads(raw)
    except ValueError as error:
        message = f"not JSON: {error}"
        raise RecordError(message) from error
    compact = raw[:-1] if raw.endswith(b"\n") else raw
    try:
        if orjson.dumps(tree) == compact or orjson.dumps(tree, option=orjson.OPT_INDENT_2) == compact:
            return tree
    except TypeError as error:  # its writer goes 254 levels deep, and no honest record so far
        message = f"not JSON of ours: {_MAX_DEPTH_HINT}"
        raise RecordError(message) from error
    del tree  # before the other one is made
    try:
        return json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecordError:
        raise
    except (ValueError, RecursionError) as error:
        message = f"not JSON: {error or _MAX_DEPTH_HINT}"
        raise RecordError(message) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        message = f"the key {twice!r} stands twice in one object; readers would disagree on its value"
        raise RecordError(message)
    return mapping


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise RecordError(message)
