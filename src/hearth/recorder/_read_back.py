"""Reading back what an observer has recorded so far, from memory or through its sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from hearth.errors import RecorderError
from hearth.record import ChainCheck, ChainFault, hash_entry_bytes
from hearth.recorder._memory import EntryMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.recorder._feed import Feed

__all__ = ["read_back"]

_HASH_AND_BLANK = 65


def read_back(recorded: EntryMemory | Feed, head: str, length: int) -> list[dict[str, Any]]:
    """Return the entries (JSON form with `event_hash`) from bare entries in memory or from a sink's lines.

    What a dying sink left behind the last whole, true line does not count. RecorderError when nothing is readable, or
    when a sink that lives holds something else than what was recorded (`head`: the last entry's hash,
    `length`: the number of entries).
    """
    raws: Iterator[bytes]
    lives = True
    if isinstance(recorded, EntryMemory):
        raws = iter(recorded)
    else:
        lives = _lives(recorded)
        raws = (line[_HASH_AND_BLANK:] for line in recorded.lines())
    check = ChainCheck()
    entries: list[dict[str, Any]] = []
    for raw in raws:
        try:
            entry = {**orjson.loads(raw), "event_hash": hash_entry_bytes(raw)}
            check.add(entry)
        except (ValueError, TypeError, KeyError, ChainFault):
            break
        entries.append(entry)
    if not entries:
        message = "nothing of this execution is readable; its journal died before the first entry was written"
        raise RecorderError(message)
    # Of a sink that died only a beginning may be left; but what claims to be the end must be the end.
    if (lives or check.sealed or check.length >= length) and entries[-1]["event_hash"] != head:
        message = "the journal does not hold what was recorded: somebody changed it while it was being written"
        raise RecorderError(message)
    return entries


def _lives(sink: Feed) -> bool:
    try:
        sink.nudge()  # an interrupt may have come before
        sink.sync()
    except RecorderError:
        return False
    return True
