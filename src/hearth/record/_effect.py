"""SideEffect: what a step changed, as reported by code or as observed; and the report over all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.record._entry import GENESIS_HASH, entry_hash
from hearth.record._enums import Origin, SideEffectCategory, StepEventType
from hearth.record._freeze import FrozenDict, FrozenList, freeze
from hearth.record._plain import to_plain
from hearth.record._time import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["SideEffect", "SideEffectReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffect:
    """One entry of the chain that says what was changed.

    `reversible` is what the reporter says, not a proof; `step_index` is None for an effect of no step. Without
    `event_hash` it is computed.
    """

    timestamp: datetime
    category: SideEffectCategory
    description: str
    reversible: bool = False
    step_index: int | None = None
    step_name: str | None = None
    details: FrozenDict = field(default_factory=FrozenDict)
    origin: Origin = Origin.REPORTED
    error_message: str | None = None
    previous_event_hash: str = GENESIS_HASH
    execution_id: str = ""
    sequence: int = 0
    event_hash: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.details, FrozenDict):
            object.__setattr__(self, "details", freeze(to_plain(self.details or {})))
        if not self.event_hash:
            object.__setattr__(self, "event_hash", self.get_hash())

    @property
    def event_type(self) -> StepEventType:
        """Always `side_effect`."""
        return StepEventType.SIDE_EFFECT

    def get_hash(self) -> str:
        """Return the SHA-256 (64 hex digits) of this entry's content, computed now."""
        return entry_hash(self.to_entry())

    def to_entry(self) -> dict[str, Any]:
        """Return the entry as it is hashed: without `event_hash`."""
        return {
            "execution_id": self.execution_id,
            "sequence": self.sequence,
            "previous_event_hash": self.previous_event_hash,
            "timestamp": format_time(self.timestamp),
            "event_type": str(StepEventType.SIDE_EFFECT),
            "step_index": self.step_index,
            "step_name": self.step_name,
            "error_message": self.error_message,
            "details": self.details,
            "category": str(self.category),
            "description": self.description,
            "reversible": self.reversible,
            "origin": str(self.origin),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the entry and its `event_hash`."""
        return {**self.to_entry(), "event_hash": self.event_hash}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> SideEffect:
        """Read the JSON form of an entry whose structure was checked."""
        return cls(
            timestamp=parse_time(entry["timestamp"]),
            category=SideEffectCategory(entry["category"]),
            description=entry["description"],
            reversible=entry["reversible"],
            step_index=entry["step_index"],
            step_name=entry["step_name"],
            details=freeze(entry["details"]),
            origin=Origin(entry["origin"]),
            error_message=entry["error_message"],
            previous_event_hash=entry["previous_event_hash"],
            execution_id=entry["execution_id"],
            sequence=entry["sequence"],
            event_hash=entry["event_hash"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffectReport:
    """What the plan declared, what was recorded, and what could not be seen.

    `side_effects_declared` holds a mapping for each effect that a started step declares (`step_index`, `category`,
    `pattern`, `reversible`, …). `unknown_effects` is True when something may have happened unseen;
    `unknown_effects_why` then gives mappings of `step_index` (None: every step) and `why`. `undeclared` holds mappings
    of `step_index` and `what` for what an observed step did and its plan does not declare (it was not committed),
    `missing` a mapping for each declared effect that an observed step did not have; the steps' details say both, so
    they do not stand in the JSON form.
    """

    side_effects_declared: FrozenList = field(default_factory=FrozenList)
    side_effects_observed: tuple[SideEffect, ...] = ()
    unknown_effects: bool = False
    unknown_effects_why: FrozenList = field(default_factory=FrozenList)
    undeclared: FrozenList = field(default_factory=FrozenList)
    missing: FrozenList = field(default_factory=FrozenList)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "side_effects_declared": list(self.side_effects_declared),
            "side_effects_observed": [effect.to_dict() for effect in self.side_effects_observed],
            "unknown_effects": self.unknown_effects,
            "unknown_effects_why": list(self.unknown_effects_why),
        }
