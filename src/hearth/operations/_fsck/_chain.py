"""The chain of one execution, checked entry by entry."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hearth.operations._fsck._canonical import is_digest, is_time, joined, sha256

__all__ = ["Chain", "Problem"]

_BASE = frozenset({
    "execution_id", "sequence", "previous_event_hash", "timestamp", "event_type", "step_index", "step_name",
    "error_message", "details",
})  # fmt: skip
_MORE = {
    "execution_started": frozenset[str](),
    "execution_sealed": frozenset[str](),
    "step_started": frozenset({"declared_effects"}),
    "step_completed": frozenset({"elapsed_us"}),
    "step_failed": frozenset({"elapsed_us"}),
    "side_effect": frozenset({"category", "description", "reversible", "origin"}),
}
_TEXTS = ("execution_id", "timestamp", "event_type")
_STATUSES = {"completed": {"completed", "completed_partial"}, "failed": {"failed"}}
_CAUSES = {"completed", "failed", "escalation", "interrupted", "recovered", "recorder_failure"}


class Problem(Exception):  # noqa: N818 - a finding on its way to a report
    """What is wrong, and with which entry (None: with no single one)."""

    def __init__(self, what: str, entry: int | None = None) -> None:
        super().__init__(what if entry is None else f"entry {entry}: {what}")
        self.entry = entry


class Chain:
    """Takes entries in order with the canonical bytes of their members, then their end; raises Problem."""

    def __init__(self) -> None:
        self.length = 0
        self.start: dict[str, Any] = {}
        self.seal: dict[str, Any] | None = None
        self.declared: list[dict[str, Any]] = []
        self.completed = 0
        self.first = ""
        self.head = "0" * 64
        self._failed = 0
        self._open: Counter[Any] = Counter()
        self._done: Counter[Any] = Counter()

    def add(self, entry: Any, parts: dict[str, bytes], stated: object) -> None:  # noqa: ANN401 - a JSON tree
        """Check the next entry: its form, its hash, its link, its place."""
        at = self.length
        self._form(entry, at)
        if entry["sequence"] != at:
            raise Problem(f"sequence {entry['sequence']} stands where {at} belongs", at)
        if sha256(b"HEARTH-event-v1\0", joined(parts, ("event_hash",))) != stated:
            raise Problem("its content does not give its event_hash", at)
        if entry["previous_event_hash"] != self.head:
            raise Problem("previous_event_hash is not the hash of the entry before", at)
        kind = entry["event_type"]
        if (kind == "execution_started") != (at == 0) or self.seal is not None:
            raise Problem(f"a {kind} cannot stand here", at)
        if at == 0:
            self.start, self.first = entry, str(stated)
        if entry["execution_id"] != self.start["execution_id"]:
            raise Problem("it belongs to another execution", at)
        self._step(entry, kind, at)
        self.head = str(stated)
        self.length += 1

    def finish(self) -> None:
        """Check the seal against everything before it, where there is one."""
        if self.seal is None:
            return
        details, at = self.seal["details"], self.length - 1
        if type(details.get("number_of_entries")) is not int or details["number_of_entries"] != self.length:
            raise Problem(f"the seal counts {details.get('number_of_entries')!r} entries of {self.length}", at)
        status, cause = details.get("status"), details.get("cause")
        if cause not in _CAUSES or status not in _STATUSES.get(cause, {"incomplete"}):
            raise Problem(f"status {status!r} does not go with the cause {cause!r}", at)
        if cause == "completed" and (status == "completed") != self._whole():
            raise Problem(f"status {status} is not what the steps give", at)

    def _form(self, entry: Any, at: int) -> None:  # noqa: ANN401 - a JSON tree
        if not isinstance(entry, dict):
            raise Problem("it is no object", at)
        more = _MORE.get(entry.get("event_type", ""))
        keys = entry.keys() - {"event_hash"}
        if more is None or not keys >= _BASE or not keys - _BASE <= more:
            raise Problem("it does not have the members of an entry", at)
        if keys - _BASE != more and entry["event_type"] != "step_started":
            raise Problem("it lacks a member", at)
        if not all(isinstance(entry[name], str) for name in _TEXTS) or not is_time(entry["timestamp"]):
            raise Problem("a text or its time is none", at)
        if type(entry["sequence"]) is not int or not isinstance(entry["details"], dict):
            raise Problem("its sequence or its details are of another type", at)
        if not is_digest(entry["previous_event_hash"]):
            raise Problem("previous_event_hash is no SHA-256", at)

    def _step(self, entry: dict[str, Any], kind: str, at: int) -> None:
        index = entry["step_index"]
        if kind.startswith("step_") and type(index) is not int:
            raise Problem("a step without an index", at)
        if kind == "step_started":
            self._open[index] += 1
            self.declared += [{"step_index": index, **effect} for effect in entry.get("declared_effects") or ()]
        elif kind in {"step_completed", "step_failed"}:
            if self._open[index]:
                self._open[index] -= 1
            if kind == "step_completed":
                self._done[index] += 1
                self.completed += 1
            else:
                self._failed += 1
        elif kind == "execution_sealed":
            self.seal = entry

    def _whole(self) -> bool:
        """Whether every step that was begun or planned completed."""
        number, indices = self.start["details"].get("number_of_steps"), self.start["details"].get("step_indices")
        wanted = Counter(range(number) if indices is None else indices) if isinstance(number, int) else Counter()
        return not self._failed and not any(self._open.values()) and not wanted - self._done
