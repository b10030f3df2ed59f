"""StepEvent: a step's start or end, or one of the two marks that open and seal an execution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.record._entry import GENESIS_HASH, entry_hash
from hearth.record._enums import StepEventType
from hearth.record._freeze import FrozenDict, FrozenList, freeze
from hearth.record._plain import to_plain
from hearth.record._time import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["StepEvent"]

_TIMED = frozenset((StepEventType.STEP_COMPLETED, StepEventType.STEP_FAILED))


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One entry of the chain that is not a side effect.

    `timestamp` is aware UTC; `step_index` and `step_name` are None on the two marks; `error_message` is None
    where it does not apply; `elapsed_us` (microseconds, monotonic clock) is None without a start;
    `declared_effects` is None where no plan is known. Without `event_hash` it is computed.
    """

    timestamp: datetime
    step_index: int | None
    step_name: str | None
    event_type: StepEventType
    details: FrozenDict = field(default_factory=FrozenDict)
    error_message: str | None = None
    previous_event_hash: str = GENESIS_HASH
    execution_id: str = ""
    sequence: int = 0
    elapsed_us: int | None = None
    declared_effects: FrozenList | None = None
    event_hash: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.details, FrozenDict):
            object.__setattr__(self, "details", freeze(to_plain(self.details or {})))
        if not self.event_hash:
            object.__setattr__(self, "event_hash", self.get_hash())

    def get_hash(self) -> str:
        """Return the SHA-256 (64 hex digits) of this entry's content, computed now."""
        return entry_hash(self.to_entry())

    def to_entry(self) -> dict[str, Any]:
        """Return the entry as it is hashed: without `event_hash`."""
        entry: dict[str, Any] = {
            "execution_id": self.execution_id,
            "sequence": self.sequence,
            "previous_event_hash": self.previous_event_hash,
            "timestamp": format_time(self.timestamp),
            "event_type": str(self.event_type),
            "step_index": self.step_index,
            "step_name": self.step_name,
            "error_message": self.error_message,
            "details": self.details,
        }
        if self.event_type in _TIMED:
            entry["elapsed_us"] = self.elapsed_us
        if self.declared_effects is not None:
            entry["declared_effects"] = self.declared_effects
        return entry

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the entry and its `event_hash`."""
        return {**self.to_entry(), "event_hash": self.event_hash}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> StepEvent:
        """Read the JSON form of an entry whose structure was checked."""
        return cls(
            timestamp=parse_time(entry["timestamp"]),
            step_index=entry["step_index"],
            step_name=entry["step_name"],
            event_type=StepEventType(entry["event_type"]),
            details=freeze(entry["details"]),
            error_message=entry["error_message"],
            previous_event_hash=entry["previous_event_hash"],
            execution_id=entry["execution_id"],
            sequence=entry["sequence"],
            elapsed_us=entry.get("elapsed_us"),
            declared_effects=freeze(entry["declared_effects"]) if "declared_effects" in entry else None,
            event_hash=entry["event_hash"],
        )
