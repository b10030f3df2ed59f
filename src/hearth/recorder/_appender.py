"""The chain's growing end: numbering, linking, hashing and handing over, one entry at a time, under one lock.

An entry is written straight into its canonical form: its keys are known, so they stand in a template in the order of
RFC 8785, and only names, messages and details are encoded. Built from closures because every attribute look-up
would be paid for with every event.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import orjson

from hearth.errors import ExecutionSealedError, RecorderError
from hearth.record import EVENT_DOMAIN, GENESIS_HASH, MAX_INTEGER
from hearth.recorder._arguments import check_index
from hearth.recorder._clock import make_time_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from hearth.record import Disclosure, Progress, Redactor, TextEncoder

__all__ = ["Appender"]

_FOLD = 0xFF
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
    `make_step_end(…)` returns the function for the entries that are by far the most. `fold` is called now and then.
    An exception out of the hand-over, of whatever kind, leaves the outcome unknown and the appender dead. `close(why)`
    refuses every later entry with ExecutionSealedError.
    """

    __slots__ = ("append", "close", "head", "length", "make_step_end")

    append: Callable[..., int]
    make_step_end: Callable[..., Callable[[str, int, Any, Any, Any], None]]
    head: Callable[[], str]
    length: Callable[[], int]
    close: Callable[[str], None]

    def __init__(
        self,
        execution_id: str,
        emit: Callable[[bytes], Any],
        *,
        whole_lines: bool,
        fold: Callable[[], None] | None = None,
    ) -> None:
        self.append, self.make_step_end, self.head, self.length, self.close = _closures(
            execution_id, emit, whole_lines=whole_lines, fold=fold
        )


def _closures(  # noqa: C901, PLR0915 - they share the chain's state
    execution_id: str, emit: Callable[[bytes], Any], *, whole_lines: bool, fold: Callable[[], None] | None
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[[], str], Callable[[], int], Callable[[str], None]]:
    identity = orjson.dumps(execution_id).decode()
    fresh_digest = hashlib.sha256(EVENT_DOMAIN).copy  # cheaper than a new one for each entry
    now = make_time_text()
    head = GENESIS_HASH
    sequence = 0
    shut: tuple[type[RecorderError], str] | None = None

    def append(
        front: str,
        index: int | str,
        name: str,
        origin: str = "",
        reversible: str = "",
        hand_over: Callable[[bytes], Any] = emit,
    ) -> int:
        nonlocal head, sequence, shut
        number = sequence
        raw = (
            f'{{{front}"execution_id":{identity},{origin}"previous_event_hash":"{head}",{reversible}"sequence":{number},'
            f'"step_index":{index},"step_name":{name},"timestamp":"{now()}"}}'
        ).encode()
        state = fresh_digest()
        state.update(raw)
        digest = state.hexdigest()
        line = b"%b %b\n" % (digest.encode(), raw) if whole_lines else raw
        # A signal handler may have recorded something in the middle of this entry.
        if shut is not None or number != sequence:
            error, why = shut or (RecorderError, _REENTERED)
            raise error(why)
        # The state moves before the hand-over: if that is interrupted, the entry may stand or not, and no other
        # entry may ever take its number.
        head = digest
        sequence = number + 1
        try:
            hand_over(line)
        except BaseException:
            shut = RecorderError, _UNKNOWN
            raise
        if fold is not None and number & _FOLD == _FOLD:
            fold()
        return number

    def make_step_end(
        lock: threading.RLock,
        progress: Progress,
        *,
        redactor: Redactor,
        encode_details: Callable[[Any], tuple[str, list[Disclosure] | None]],
        names: TextEncoder,
        encode_error: Callable[[Any], str],
        keep: Callable[[list[Disclosure], int], None],
    ) -> Callable[[str, int, Any, Any, Any], None]:
        encode_name, known_name = names
        needles = redactor.needles
        is_open = progress.open.get
        ended = progress.ended
        monotonic_ns = time.monotonic_ns

        def end(kind: str, index: int, step_name: Any, details: Any, message: Any) -> None:  # noqa: ANN401
            """Record a step's end; `message` is None where it completed. Takes the lock itself."""
            nonlocal head, sequence, shut
            if type(index) is not int or not -MAX_INTEGER <= index <= MAX_INTEGER:
                check_index(index)
            plain = type(step_name) is str and message is None
            if not plain:
                redactor.make_known(step_name, message)
            encoded, kept = encode_details(details)  # before the name: a Secret in there makes its value known
            name = (known_name(step_name) if plain and not needles else None) or encode_name(step_name)
            error = "null" if message is None else encode_error(message)
            with lock:
                start = is_open(index)
                elapsed = "null" if start is None else (monotonic_ns() - start[0]) // 1000
                # As in `append`, line by line: a call and a second text would cost a tenth of the whole.
                number = sequence
                raw = (
                    f'{{"details":{encoded},"elapsed_us":{elapsed},"error_message":{error},"event_type":"{kind}",'
                    f'"execution_id":{identity},"previous_event_hash":"{head}","sequence":{number},'
                    f'"step_index":{index},"step_name":{name},"timestamp":"{now()}"}}'
                ).encode()
                state = fresh_digest()
                state.update(raw)
                digest = state.hexdigest()
                line = b"%b %b\n" % (digest.encode(), raw) if whole_lines else raw
                if shut is not None or number != sequence:
                    kind_of_error, why = shut or (RecorderError, _REENTERED)
                    raise kind_of_error(why)
                head = digest
                sequence = number + 1
                try:
                    emit(line)
                except BaseException:
                    shut = RecorderError, _UNKNOWN
                    raise
                ended(index, message is None)
                if fold is not None and number & _FOLD == _FOLD:
                    fold()
                if kept:
                    keep(kept, number)

        return end

    def close(why: str) -> None:
        nonlocal shut
        shut = shut or (ExecutionSealedError, why)

    return append, make_step_end, lambda: head, lambda: sequence, close
