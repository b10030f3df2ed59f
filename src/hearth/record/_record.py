"""ExecutionRecord: everything that is known of one execution, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import RecordError
from hearth.record._effect import SideEffect, SideEffectReport
from hearth.record._entry import SCHEMA, record_hash
from hearth.record._enums import ExecutionStatus, SealCause, StepEventType
from hearth.record._erasure import Erasure
from hearth.record._event import StepEvent
from hearth.record._freeze import FrozenDict, FrozenList, freeze, thaw
from hearth.record._redact import Disclosure
from hearth.record._snapshot import SecuritySnapshot
from hearth.record._structure import check_structure
from hearth.record._time import format_time, parse_time
from hearth.record._verify import declared_by, verify_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from hearth.record._verdict import Verdict

__all__ = ["ExecutionRecord"]

_NOT_SAID_YET = "the record is not sealed: nobody has said yet what could not be seen"
_MARKS = (StepEventType.EXECUTION_STARTED, StepEventType.EXECUTION_SEALED)


@dataclass(frozen=True, slots=True, eq=False)
class ExecutionRecord:
    """The record of one execution; it compares and hashes by its execution hash.

    `step_events` are the starts and ends of steps, `side_effects_report` holds the effects and `marks` the opening and
    the seal; together, by `sequence`, they are the chain (`entries`). Before a mark the status is STARTED, and
    `timestamp_end` and `security_snapshot_post` are None.
    """

    execution_id: str
    plan_id: str
    live_mode_state: str
    status: ExecutionStatus
    step_events: tuple[StepEvent, ...]
    side_effects_report: SideEffectReport
    security_snapshot_pre: SecuritySnapshot
    security_snapshot_post: SecuritySnapshot | None
    timestamp_start: datetime
    timestamp_end: datetime | None
    completion_reason: str = ""
    marks: tuple[StepEvent, ...] = ()
    signatures: FrozenList = field(default_factory=FrozenList)
    disclosures: tuple[Disclosure, ...] = ()
    erasures: tuple[Erasure, ...] = ()
    stated_hash: str = ""

    @property
    def entries(self) -> tuple[StepEvent | SideEffect, ...]:
        """All entries of the chain, by sequence."""
        observed = self.side_effects_report.side_effects_observed
        entries: list[StepEvent | SideEffect] = [*self.marks, *self.step_events, *observed]
        return tuple(sorted(entries, key=lambda entry: entry.sequence))

    @property
    def is_sealed(self) -> bool:
        """Whether the chain ends in its seal."""
        return bool(self.marks) and self.marks[-1].event_type is StepEventType.EXECUTION_SEALED

    @property
    def cause(self) -> SealCause | None:
        """Why the execution was sealed; None while it is not (or when a damaged seal does not say)."""
        cause = self.marks[-1].details.get("cause") if self.is_sealed else None
        return SealCause(cause) if cause in set(SealCause) else None

    @property
    def started(self) -> FrozenDict:
        """What entry 0 commits: plan digest, number of steps, live mode, initiator, host and others."""
        return self.marks[0].details if self.marks else FrozenDict()

    def get_execution_hash(self) -> str:
        """Return the SHA-256 (64 hex digits) over the whole record, computed now."""
        return record_hash(self._content())

    def verify(self) -> Verdict:
        """Check every hash, link, count and repeated statement; the verdict names the first bad entry."""
        document = self._content()
        document["execution_hash"] = self.stated_hash or "0" * 64
        return verify_document(document, check_hash=bool(self.stated_hash))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form (schema `hearth/execution-record/v1`), in plain dicts and lists of its own."""
        document: dict[str, Any] = thaw(self._content())
        document["execution_hash"] = self.stated_hash or record_hash(document)
        return document

    def with_disclosures(self, disclosures: Iterable[Disclosure]) -> ExecutionRecord:
        """Return the same record with the values kept beside it."""
        return replace(self, disclosures=tuple(disclosures))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ExecutionRecord:
        """Read the JSON form; RecordError when it is malformed. Whether it is true, `verify` says."""
        try:
            return cls._read(document)
        except RecursionError:
            message = "the record is nested more deeply than any that was recorded"
            raise RecordError(message) from None

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> ExecutionRecord:
        check_structure(document)
        post = document["security_snapshot_post"]
        end = document["timestamp_end"]
        report = document["side_effects_report"]
        steps = tuple(map(StepEvent.from_dict, document["step_events"]))
        return cls(
            execution_id=document["execution_id"],
            plan_id=document["plan_id"],
            live_mode_state=document["live_mode_state"],
            status=ExecutionStatus(document["status"]),
            step_events=steps,
            side_effects_report=SideEffectReport(
                side_effects_declared=freeze(report["side_effects_declared"]),
                side_effects_observed=tuple(map(SideEffect.from_dict, report["side_effects_observed"])),
                unknown_effects=report["unknown_effects"],
                unknown_effects_why=freeze(report["unknown_effects_why"]),
                undeclared=freeze(_told_of_steps(steps, "undeclared")),
                missing=freeze(_told_of_steps(steps, "missing")),
            ),
            security_snapshot_pre=SecuritySnapshot.from_dict(document["security_snapshot_pre"]),
            security_snapshot_post=None if post is None else SecuritySnapshot.from_dict(post),
            timestamp_start=parse_time(document["timestamp_start"]),
            timestamp_end=None if end is None else parse_time(end),
            completion_reason=document["completion_reason"],
            marks=tuple(map(StepEvent.from_dict, document["marks"])),
            signatures=freeze(document["signatures"]),
            disclosures=tuple(map(Disclosure.from_dict, document.get("disclosures", ()))),
            erasures=tuple(map(Erasure.from_dict, document.get("erasures", ()))),
            stated_hash=document["execution_hash"],
        )

    @classmethod
    def from_entries(
        cls, entries: Iterable[Mapping[str, Any]], *, live_mode_state: str | None = None
    ) -> ExecutionRecord:
        """Build the record that a chain of entries (JSON form, each with its `event_hash`) tells; at least entry 0.

        `live_mode_state` stands in where entry 0 has none. RecordError where they are nested too deeply to be read.
        """
        try:
            return cls._told_by(list(entries), live_mode_state)
        except RecursionError:
            message = "the entries are nested more deeply than any that were recorded"
            raise RecordError(message) from None

    @classmethod
    def _told_by(cls, chain: list[Mapping[str, Any]], live_mode_state: str | None) -> ExecutionRecord:
        start = chain[0]["details"]
        seal = chain[-1] if chain[-1]["event_type"] == StepEventType.EXECUTION_SEALED else None
        told: Mapping[str, Any] = seal["details"] if seal else {}
        events = [StepEvent.from_dict(entry) for entry in chain if entry["event_type"] != StepEventType.SIDE_EFFECT]
        steps = tuple(event for event in events if event.event_type not in _MARKS)
        # Only the seal says what was seen. Without one, a step may have done what no entry names (law 3).
        unseen = [{"step_index": None, "why": _NOT_SAID_YET}] if steps and seal is None else []
        post = told.get("security_snapshot")
        return cls(
            execution_id=chain[0]["execution_id"],
            plan_id=start["plan_id"],
            live_mode_state=start["live_mode"] if start["live_mode"] is not None else str(live_mode_state or ""),
            status=ExecutionStatus(told.get("status", ExecutionStatus.STARTED)),
            step_events=steps,
            side_effects_report=SideEffectReport(
                side_effects_declared=freeze(declared_by(chain)),
                side_effects_observed=tuple(
                    SideEffect.from_dict(entry) for entry in chain if entry["event_type"] == StepEventType.SIDE_EFFECT
                ),
                unknown_effects=told.get("unknown_effects", bool(unseen)),
                unknown_effects_why=freeze(told.get("unknown_effects_why", unseen)),
                undeclared=freeze(_told_of_steps(steps, "undeclared")),
                missing=freeze(_told_of_steps(steps, "missing")),
            ),
            security_snapshot_pre=SecuritySnapshot.from_dict(start["security_snapshot"]),
            security_snapshot_post=SecuritySnapshot.from_dict(post) if post else None,
            timestamp_start=parse_time(chain[0]["timestamp"]),
            timestamp_end=parse_time(seal["timestamp"]) if seal else None,
            completion_reason=told.get("reason", ""),
            marks=tuple(event for event in events if event.event_type in _MARKS),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExecutionRecord):
            return NotImplemented
        return self.get_execution_hash() == other.get_execution_hash()

    def __hash__(self) -> int:
        return hash(self.get_execution_hash())

    def _content(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "execution_id": self.execution_id,
            "plan_id": self.plan_id,
            "live_mode_state": self.live_mode_state,
            "status": str(self.status),
            "timestamp_start": format_time(self.timestamp_start),
            "timestamp_end": None if self.timestamp_end is None else format_time(self.timestamp_end),
            "completion_reason": self.completion_reason,
            "security_snapshot_pre": self.security_snapshot_pre.to_dict(),
            "security_snapshot_post": self.security_snapshot_post.to_dict() if self.security_snapshot_post else None,
            "step_events": [event.to_dict() for event in self.step_events],
            "side_effects_report": self.side_effects_report.to_dict(),
            "marks": [mark.to_dict() for mark in self.marks],
            "execution_hash": "",
            "signatures": list(self.signatures),
        }
        if self.disclosures:
            document["disclosures"] = [disclosure.to_dict() for disclosure in self.disclosures]
        if self.erasures:
            document["erasures"] = [erasure.to_dict() for erasure in self.erasures]
        return document


def _told_of_steps(steps: Iterable[StepEvent], name: str) -> list[dict[str, Any]]:
    """Return what the ends of observed steps say under `name`, with the step's index."""
    found: list[dict[str, Any]] = []
    for step in steps:
        told = step.details.get(name) if "ran" in step.details else None
        if not isinstance(told, list):
            continue
        for one in told:
            if isinstance(one, str):
                found.append({"step_index": step.step_index, "what": one})
            elif isinstance(one, dict):
                found.append({"step_index": step.step_index, **one})
    return found
