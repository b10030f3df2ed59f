"""The chain's growing end: numbering, linking, hashing and handing over, one entry at a time, under one lock.

An entry is written straight into its canonical form: its keys are known, so they stand in a template in the order of
RFC 8785, and only names, messages and details are encoded. Built from closures because every attribute look-up
would be paid for with every event.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from hearth.errors import RecorderError
from hearth.record import EVENT_DOMAIN, GENESIS_HASH
from hearth.recorder._clock import make_time_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Appender"]

_UNKNOWN = (
    "handing an entry over to the recorder's sink did not end well, so what is recorded is unknown; "
    "nothing may act any more"
)
_REENTERED = "the recorder was called by a signal handler while it was recording; this entry was not recorded"


class Appender:
    """Appends entries to one chain.

    `emit(line)` gets each whole line (`event_hash SP JCS(entry) LF`) when `whole_lines`, else the bare entry's bytes.
    `append(front, index, name, …)` takes values already in JSON form and returns the entry's sequence number; the
    caller holds a lock meanwhile. `front` holds the members from the first up to `event_type`, with a comma behind;
    `origin` and `reversible` likewise, where the entry has them; `hand_over` stands in for `emit`.
    An exception out of that, of whatever kind, leaves the outcome unknown and the appender dead.
    """

    __slots__ = ("append", "head", "length")

    append: Callable[..., int]
    head: Callable[[], str]
    length: Callable[[], int]

    def __init__(self, execution_id: str, emit: Callable[[bytes], Any], *, whole_lines: bool) -> None:
        self.append, self.head, self.length = _closures(execution_id, emit, whole_lines=whole_lines)


def _closures(
    execution_id: str, emit: Callable[[bytes], Any], *, whole_lines: bool
) -> tuple[Callable[..., int], Callable[[], str], Callable[[], int]]:
    identity = orjson.dumps(execution_id).decode()
    fresh_digest = hashlib.sha256(EVENT_DOMAIN).copy  # cheaper than a new one for each entry
    now = make_time_text()
    head = GENESIS_HASH
    sequence = 0
    dead = False

    def append(
        front: str,
        index: int | str,
        name: str,
        origin: str = "",
        reversible: str = "",
        hand_over: Callable[[bytes], Any] = emit,
    ) -> int:
        nonlocal head, sequence, dead
        number = sequence
        raw = (
            f'{{{front}"execution_id":{identity},{origin}"previous_event_hash":"{head}",{reversible}"sequence":{number},'
            f'"step_index":{index},"step_name":{name},"timestamp":"{now()}"}}'
        ).encode()
        state = fresh_digest()
        state.update(raw)
        digest = state.hexdigest()
        line = b"%b %b\n" % (digest.encode(), raw) if whole_lines else raw
        if dead or number != sequence:  # a signal handler may have recorded something in the middle of this entry
            raise RecorderError(_UNKNOWN if dead else _REENTERED)
        # The state moves before the hand-over: if that is interrupted, the entry may stand or not, and no other
        # entry may ever take its number.
        head = digest
        sequence = number + 1
        try:
            hand_over(line)
        except BaseException:
            dead = True
            raise
        return number

    return append, lambda: head, lambda: sequence
