"""ChainCheck: the rules of the chain, entry by entry, in bounded memory.

Rules: sequences run from 0; each entry names the hash of the one before (entry 0: 64 zeros); all belong to one
execution; execution_started stands first and only there, execution_sealed last; the seal's count, cause and status
fit what stands before it. Whether an entry's hash fits its content is checked by who has the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from hearth.errors import RecordError
from hearth.record._entry import GENESIS_HASH
from hearth.record._enums import ExecutionStatus, SealCause
from hearth.record._progress import Progress
from hearth.record._structure import check_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ChainCheck", "ChainFault"]

_OF_STEPS = frozenset(("step_started", "step_completed", "step_failed"))
_STATUSES_OF_CAUSE = {
    SealCause.COMPLETED: (ExecutionStatus.COMPLETED, ExecutionStatus.COMPLETED_PARTIAL),
    SealCause.FAILED: (ExecutionStatus.FAILED,),
}
_ABSENT = object()
_MOST_STEPS = 10_000_000
_OPTIONAL_TEXT = (str, type(None))
_STARTED: dict[str, tuple[type, ...]] = {
    "plan_id": (str,), "plan_digest": _OPTIONAL_TEXT, "number_of_steps": (int, type(None)), "live_mode": _OPTIONAL_TEXT,
    "security_snapshot": (dict,),
}  # fmt: skip
_SEALED: dict[str, tuple[type, ...]] = {
    "status": (str,), "cause": (str,), "reason": (str,), "number_of_entries": (int,), "unknown_effects": (bool,),
    "unknown_effects_why": (list,), "security_snapshot": (dict,),
}  # fmt: skip


class ChainFault(Exception):  # noqa: N818 - a finding on its way to a verdict
    """The first entry that fails (`first_bad`, its sequence, or None), and why."""

    def __init__(self, first_bad: int | None, why: str) -> None:
        super().__init__(why)
        self.first_bad = first_bad


class ChainCheck:
    """Takes the entries of one chain in order (`add`), then says whether its end is right (`finish`)."""

    __slots__ = ("_execution_id", "_previous", "_seal", "_stepped_back", "_time", "length", "progress")

    def __init__(self) -> None:
        self.length = 0
        self.progress = Progress()
        self._previous = GENESIS_HASH
        self._execution_id: str | None = None
        self._time = ""
        self._stepped_back = 0
        self._seal: Mapping[str, Any] | None = None

    @property
    def sealed(self) -> bool:
        """Whether the last entry was the seal."""
        return self._seal is not None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Check the next entry (JSON form with `event_hash`, structure checked); ChainFault when it does not fit."""
        position = self.length
        if entry["sequence"] != position or self._seal is not None or entry["previous_event_hash"] != self._previous:
            self._refuse(entry, position)
        kind, index = entry["event_type"], entry["step_index"]
        if kind == "step_completed" or kind == "step_failed":  # noqa: PLR1714 - a set costs with every entry
            self.progress.ended(index, kind == "step_completed")
        elif kind == "step_started":
            self.progress.started(index)
        elif kind != "side_effect":
            self._mark(entry, kind, position)
        if entry["execution_id"] != self._execution_id or (index is None and kind in _OF_STEPS):
            self._refuse(entry, position)
        self._previous = entry["event_hash"]
        time = entry["timestamp"]
        if time < self._time:
            self._stepped_back += 1
        self._time = time
        self.length = position + 1

    def finish(self) -> None:
        """Check the seal, if there is one, against everything before it."""
        if self._seal is None:
            return
        details = self._seal["details"]
        last = self.length - 1
        if details.get("number_of_entries") != self.length or type(details.get("number_of_entries")) is not int:
            counted = details.get("number_of_entries")
            raise ChainFault(last, f"the seal counts {counted!r} entries, but there are {self.length}")
        try:
            cause, status = SealCause(details.get("cause")), ExecutionStatus(details.get("status"))
        except ValueError as error:
            raise ChainFault(last, f"the seal's status or cause is not known: {error}") from None
        if status not in _STATUSES_OF_CAUSE.get(cause, (ExecutionStatus.INCOMPLETE,)):
            raise ChainFault(last, f"the seal's status {status} does not go with its cause {cause}")
        given = self.progress.status_when_completed()
        if cause is SealCause.COMPLETED and status is not given:
            raise ChainFault(last, f"the seal says {status}, but the steps give {given}")

    def notes(self) -> tuple[str, ...]:
        """Return what was noticed but breaks nothing."""
        times = self._stepped_back
        return (f"the clock stepped back {times} time{'s' if times > 1 else ''}",) if times else ()

    def _mark(self, entry: Mapping[str, Any], kind: str, position: int) -> None:
        if kind == "execution_sealed" and position > 0:
            _require(entry, _SEALED, position)
            self._seal = entry
            return
        if position != 0 or kind != "execution_started":
            self._refuse(entry, position)
        _require(entry, _STARTED, position)
        self._execution_id = entry["execution_id"]
        number, indices = entry["details"]["number_of_steps"], entry["details"].get("step_indices")
        if indices is not None and (not isinstance(indices, list) or len(indices) != number):
            raise ChainFault(position, f"entry {position} does not name as many step indices as the plan has steps")
        if number is None:
            self.progress = Progress()
        elif indices is None:
            if number > _MOST_STEPS:
                raise ChainFault(position, f"entry {position} claims a plan of {number} steps")
            self.progress = Progress(range(number))
        else:
            self.progress = Progress(index if type(index) is int else str(index) for index in indices)

    def _refuse(self, entry: Mapping[str, Any], position: int) -> NoReturn:
        sequence, kind = entry["sequence"], entry["event_type"]
        if sequence != position:
            why = f"entry {sequence} stands twice" if sequence < position else f"entry {position} is missing"
        elif self._seal is not None and self._seal is not entry:
            why = f"entry {position} stands behind the seal"
        elif entry["previous_event_hash"] != self._previous:
            why = f"entry {position} does not follow entry {position - 1}: previous_event_hash differs"
        elif (kind == "execution_started") != (position == 0):
            why = f"entry {position} is a {kind}; execution_started stands first, and only there"
        elif entry["step_index"] is None and kind in _OF_STEPS:
            why = f"entry {position} is a {kind} without a step index"
        else:
            why = f"entry {position} belongs to another execution"
        raise ChainFault(min(sequence, position), why)


def _require(entry: Mapping[str, Any], members: Mapping[str, tuple[type, ...]], position: int) -> None:
    """Refuse a mark whose details lack what a record is built from."""
    details = entry["details"]
    for name, kinds in members.items():
        value = details.get(name, _ABSENT)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ChainFault(position, f"entry {position} does not say {name} as a mark must")
    try:
        check_snapshot(details["security_snapshot"], "security_snapshot")
    except RecordError as error:
        raise ChainFault(position, f"entry {position}: {error}") from None
