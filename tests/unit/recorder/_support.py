"""Executions made to order: a record with every kind of entry, a journal of it, and what a test counts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.record import Origin, Redactor, SideEffectCategory, canonical_bytes, hash_entry_bytes, record_hash
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pytest

    from hearth.record import ExecutionRecord

Json = dict[str, Any]


class Kernel:
    """A foreign kernel: any object with the two questions."""

    def __init__(self, security: object = "operational", boundary: object = "NOMINAL") -> None:
        self.security = security
        self.boundary = boundary

    def get_security_state(self) -> object:
        return self.security

    def get_boundary_state(self) -> object:
        return self.boundary


@dataclass(frozen=True)
class Effect:
    """A declared effect, as a plan's step has them."""

    pattern: str
    category: str = "file_system"
    reversible: bool = True

    def to_dict(self) -> Json:
        return {"category": self.category, "pattern": self.pattern, "reversible": self.reversible, "must": False}


@dataclass(frozen=True)
class Step:
    """A step of a plan made to order."""

    index: int
    name: str
    effects: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What the recorder looks at in a plan."""

    steps: tuple[Step, ...]
    id: str = "user-import"
    digest: str | None = "5d" * 32


PLAN = Plan(
    (
        Step(0, "Back up", (Effect("backup.db"), Effect("*.log", reversible=False))),
        Step(1, "Import", (Effect("app.db", "data_mutation"),)),
        Step(2, "Tell"),
    )
)


def record_everything(observer: ExecutionObserver) -> None:
    """Record each kind of entry: starts, ends, a failure, effects of every origin, with and without a step."""
    observer.record_step_started(0, "Back up", {"command": ["cp", "app.db", "backup.db"], "attempt": 1})
    observer.record_side_effect(SideEffectCategory.FILE_SYSTEM, "backup.db created", True, 0, {"bytes": 40960})
    observer.record_step_completed(0, "Back up", {"exit_code": 0, "nested": {"list": [1, "two", None, {"deep": 2.5}]}})
    observer.record_step_started(1, "Import")
    observer.record_side_effect("NETWORK", "GET /users", False, 1, origin=Origin.OBSERVED)
    observer.record_side_effect("other", "of no step", details={"text": "x" * 20})
    observer.record_step_failed(1, "Import", "row 17: no name", {"row": 17, "secret": "hunter2hunter2", "ok": False})
    observer.record_step_started(2, "Tell", {"url": "http://127.0.0.1/reload"})
    observer.record_step_completed(2, "Tell")


def observed(**options: Any) -> ExecutionObserver:
    """An observer with a plan, a kernel, a live mode and everything else that entry 0 commits."""
    given: Json = {
        "plan": PLAN,
        "live_mode": "LIVE",
        "initiator": "ann",
        "approval": {"approver": "bob", "nonce": "77"},
        "ledger_id": "ledger-1",
        **options,
    }
    return ExecutionObserver("run-1", "user-import", given.pop("kernel", Kernel()), **given)


def full_record(**options: Any) -> ExecutionRecord:
    """A sealed record with every kind of entry, and three values kept beside it."""
    observer = observed(redactor=Redactor(disclosable=("card",)), **options)
    observer.record_step_started(0, "Ask", {"card": "4111-1111", "list": [{"card": {"number": 12, "of": ["ann"]}}]})
    observer.record_step_completed(0, "Ask", {"card": "5500-0000"})
    record_everything(observer)
    observer.mark_failed("Import failed")
    return observer.get_execution_record().with_disclosures(observer.disclosures)


def document_of(record: ExecutionRecord) -> Json:
    """The record's JSON form after a way through text, free of any tie to the record."""
    document: Json = json.loads(json.dumps(record.to_dict()))
    return document


def lists_of(document: Json) -> dict[str, list[Json]]:
    """The three lists of entries in a record's JSON form."""
    return {
        "marks": document["marks"],
        "step_events": document["step_events"],
        "side_effects_observed": document["side_effects_report"]["side_effects_observed"],
    }


def entries_of(document: Json) -> list[Json]:
    """The entries of a record's JSON form, by sequence."""
    entries = [entry for entries in lists_of(document).values() for entry in entries]
    return sorted(entries, key=lambda entry: int(entry["sequence"]))


def rehashed(document: Json) -> Json:
    """Give a tampered record the execution hash that fits it."""
    document["execution_hash"] = record_hash(document)
    return document


def line_of(entry: Mapping[str, Any]) -> bytes:
    """The journal's line of an entry (with or without its `event_hash`), its hash made to fit."""
    raw = canonical_bytes({key: value for key, value in entry.items() if key != "event_hash"})
    return b"%b %b\n" % (hash_entry_bytes(raw).encode(), raw)


def chained(entries: Iterable[Json]) -> list[Json]:
    """Link and hash entries anew, as one who forges a whole chain would."""
    previous = "0" * 64
    linked = []
    for entry in entries:
        changed = {key: value for key, value in entry.items() if key != "event_hash"}
        changed["previous_event_hash"] = previous
        previous = hash_entry_bytes(canonical_bytes(changed))
        linked.append({**changed, "event_hash": previous})
    return linked


def journal_bytes(path: Path, *, seal: bool = True, steps: int = 2) -> bytes:
    """Write a short journal at `path` and return its bytes; the file is gone afterwards."""
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal, live_mode="LIVE")
        for index in range(steps):
            observer.record_step_started(index, f"step {index}", {"é": "ü", "n": index})
            observer.record_side_effect("OTHER", "something", step_index=index)
            observer.record_step_completed(index, f"step {index}")
        if seal:
            observer.mark_completed()
    raw = path.read_bytes()
    path.unlink()
    return raw


def lines_in(raw: bytes) -> list[Json]:
    """The entries in the whole lines of a journal's bytes, unchecked."""
    return [json.loads(line[65:]) for line in raw.split(b"\n")[:-1]]


@dataclass
class Disk:
    """What the journal asked of the system: `("write", bytes)` and `("sync", size of the file)`, in order."""

    calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def syncs(self) -> list[int]:
        return [what for call, what in self.calls if call == "sync"]

    @property
    def durable(self) -> int:
        """How many bytes of the file are surely on the disk."""
        return max(self.syncs, default=0)


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Count what journals sync from now on; every call still reaches the system."""
    disk = Disk()
    real = getattr(os, "fdatasync", os.fsync)

    def sync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        real(descriptor)
        disk.calls.append(("sync", size))

    monkeypatch.setattr("hearth.recorder._journal._fdatasync", sync)
    return disk


def flipped(raw: bytes, position: int, mask: int) -> bytes:
    """The bytes with one of them changed by XOR."""
    return raw[:position] + bytes([raw[position] ^ mask]) + raw[position + 1 :]


def ends_of_lines(raw: bytes) -> Iterator[int]:
    """Where each line ends, behind its LF."""
    return (position + 1 for position, byte in enumerate(raw) if byte == 0x0A)
