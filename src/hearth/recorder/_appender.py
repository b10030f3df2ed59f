"""The chain's growing end: numbering, linking, hashing and handing over, one entry at a time, under one lock.

An entry is written straight into its canonical form: its keys are known, so they stand in a template in the order of
RFC 8785, and only names, messages and details are encoded. Built from closures because every attribute look-up
would be paid for with every event.

**One breath.** A signal handler may record, seal or raise wherever the interpreter lets it run: when a function is
entered, behind a call, and at a loop's jump back. So an entry is prepared first; then the hand-over, the chain's
state, the steps that are open and the seal's closing move together in statements of which none calls anything: all of
that happened, or nothing did. Whoever comes in between before that is recorded first, and the entry is prepared again.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hearth.errors import RecorderError
from hearth.record import EVENT_DOMAIN, GENESIS_HASH, MAX_INTEGER, ExecutionStatus
from hearth.recorder._arguments import check_index
from hearth.recorder._clock import make_time_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from hearth.record import Disclosure, Progress, Redactor, TextEncoder

__all__ = ["Appender", "Shut"]

_EACH_BLOCK = 0xFF


class Shut(NamedTuple):
    """Why nothing more is recorded: the error for whoever tries, and the seal's status where there is one."""

    error: type[RecorderError]
    why: str
    status: ExecutionStatus = ExecutionStatus.STARTED


class Appender:
    """Appends entries to one chain.

    `accepted` gets each whole line (`event_hash SP JCS(entry) LF`) when `whole_lines`, else the bare entry's bytes;
    `nudge` is called after each line, else after every 256th entry. `progress` follows the steps.
    `append(front, index, name, …)` takes values already in JSON form; the caller holds a lock meanwhile. `front` holds
    the members from the first up to `event_type`, with a comma behind; `origin` and `reversible` likewise, where the
    entry has them. `opens`: it starts a step. `kept`: its disclosures. `quiet`: without a nudge, as a sync follows.
    `shuts`: it is the last entry. With `expected` it returns False, and appends nothing, when that is not the number
    that the entry would get.
    `make_step_end(…)` returns the function for the entries that are by far the most. `refuse(why)` refuses every later
    entry with RecorderError. `disclosed` holds what was kept, with its entry's number.
    """

    __slots__ = ("append", "disclosed", "head", "length", "make_step_end", "refuse", "status")

    append: Callable[..., bool]
    make_step_end: Callable[..., Callable[[str, int, Any, Any, Any], None]]
    head: Callable[[], str]
    length: Callable[[], int]
    status: Callable[[], ExecutionStatus]
    refuse: Callable[[str], None]

    def __init__(
        self,
        execution_id: str,
        accepted: list[bytes],
        nudge: Callable[[], object],
        *,
        whole_lines: bool,
        progress: Progress,
    ) -> None:
        self.disclosed: list[tuple[list[Disclosure], int]] = []
        self.append, self.make_step_end, self.head, self.length, self.status, self.refuse = _closures(
            execution_id, accepted, nudge, self.disclosed, whole_lines=whole_lines, progress=progress
        )


def _closures(  # noqa: C901, PLR0915 - they share the chain's state
    execution_id: str,
    accepted: list[bytes],
    nudge: Callable[[], object],
    disclosed: list[tuple[list[Disclosure], int]],
    *,
    whole_lines: bool,
    progress: Progress,
) -> tuple[
    Callable[..., bool],
    Callable[..., Any],
    Callable[[], str],
    Callable[[], int],
    Callable[[], ExecutionStatus],
    Callable[[str], None],
]:
    identity = orjson.dumps(execution_id).decode()
    fresh_digest = hashlib.sha256(EVENT_DOMAIN).copy  # cheaper than a new one for each entry
    now = make_time_text()
    head = GENESIS_HASH
    sequence = 0
    shut: Shut | None = None
    rest = 0 if whole_lines else _EACH_BLOCK
    opened = progress.open
    is_open = opened.get
    wanted = progress.wanted
    monotonic_ns = time.monotonic_ns

    def append(
        front: str,
        index: Any,  # noqa: ANN401 - an int, or "null"
        name: str,
        origin: str = "",
        reversible: str = "",
        *,
        opens: bool = False,
        kept: list[Disclosure] | None = None,
        quiet: bool = False,
        expected: int | None = None,
        shuts: Shut | None = None,
    ) -> bool:
        nonlocal accepted, disclosed, head, sequence, shut
        while True:
            number = sequence
            opening = (monotonic_ns(), name, is_open(index)) if opens else None
            text = (
                f'{{{front}"execution_id":{identity},{origin}"previous_event_hash":"{head}",{reversible}'
                f'"sequence":{number},"step_index":{index},"step_name":{name},"timestamp":"{now()}"}}'
            )
            raw = text.encode()
            state = fresh_digest()
            state.update(raw)
            digest = state.hexdigest()
            item = (f"{digest} {text}\n".encode() if whole_lines else raw,)
            keeping = ((kept, number),) if kept else ()
            if expected is not None and sequence != expected:
                return False
            if shut is not None:
                raise shut.error(shut.why)
            if number == sequence:
                break
        # One breath: no call from here to the nudge.
        accepted += item
        head = digest
        sequence = number + 1
        if opening is not None:
            opened[index] = opening
            progress.any = True
        if shuts is not None:
            shut = shuts
        disclosed += keeping
        if number & rest == rest and not quiet:
            nudge()
        return True

    def make_step_end(  # noqa: C901 - as above
        lock: threading.RLock,
        *,
        redactor: Redactor,
        encode_details: Callable[[Any], tuple[str, list[Disclosure] | None]],
        names: TextEncoder,
        encode_error: Callable[[Any], str],
    ) -> Callable[[str, int, Any, Any, Any], None]:
        encode_name, known_name = names
        needles = redactor.needles

        def end(kind: str, index: int, step_name: Any, details: Any, message: Any) -> None:  # noqa: ANN401, C901, PLR0912
            """Record a step's end; `message` is None where it completed. Takes the lock itself."""
            nonlocal accepted, disclosed, head, sequence
            if type(index) is not int or not -MAX_INTEGER <= index <= MAX_INTEGER:
                check_index(index)
            plain = type(step_name) is str and message is None
            if not plain:
                redactor.make_known(step_name, message)
            encoded, kept = encode_details(details)  # before the name: a Secret in there makes its value known
            name = (known_name(step_name) if plain and not needles else None) or encode_name(step_name)
            error = "null" if message is None else encode_error(message)
            with lock:
                while True:
                    number = sequence
                    start = is_open(index)
                    elapsed = "null" if start is None else (monotonic_ns() - start[0]) // 1000
                    # As in `append`, line by line: a call and a second text would cost a tenth of the whole.
                    text = (
                        f'{{"details":{encoded},"elapsed_us":{elapsed},"error_message":{error},"event_type":"{kind}",'
                        f'"execution_id":{identity},"previous_event_hash":"{head}","sequence":{number},'
                        f'"step_index":{index},"step_name":{name},"timestamp":"{now()}"}}'
                    )
                    raw = text.encode()
                    state = fresh_digest()
                    state.update(raw)
                    digest = state.hexdigest()
                    item = (f"{digest} {text}\n".encode() if whole_lines else raw,)
                    if shut is not None:
                        raise shut.error(shut.why)
                    if number == sequence:
                        break
                # One breath, as in `append`; the progress moves as in `Progress.ended`.
                accepted += item
                head = digest
                sequence = number + 1
                if start is not None:
                    if start[2] is None:
                        del opened[index]
                    else:
                        opened[index] = start[2]
                if message is not None:
                    progress.failed = True
                elif index in wanted:
                    if wanted[index] > 1:
                        wanted[index] -= 1
                    else:
                        del wanted[index]
                progress.any = True
                if kept:
                    disclosed += ((kept, number),)
                if number & rest == rest:
                    nudge()

        return end

    def status() -> ExecutionStatus:
        return ExecutionStatus.STARTED if shut is None else shut.status

    def refuse(why: str) -> None:
        nonlocal shut
        # Made first: a seal may come in the middle of the call.
        refusal = Shut(RecorderError, why)
        shut = shut or refusal

    return append, make_step_end, lambda: head, lambda: sequence, status, refuse
