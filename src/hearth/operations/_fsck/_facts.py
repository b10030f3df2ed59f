"""What a check learns on its way, for what has to be compared across files and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Facts", "Journal", "Recorded"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored record that holds: its row, its hash, those of its first and last entry, whether a step was begun.

    `approval` is what entry 0 says of it.
    """

    row: int
    execution_hash: str
    first: str
    head: str
    acted: bool
    live_mode: str
    approval: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal as far as it holds: `first` is the hash of its first entry, whose approval `approval` is."""

    path: Path
    live: bool
    sealed: bool
    first: str
    head: str
    approval: dict[str, Any]


@dataclass(slots=True)
class Facts:
    """Ids, digests and what refers to them.

    `kept`: outputs that must be there, with the executions that need them; `plans`: the same for copies of plans;
    `named`: digests on the disk that anything refers to at all; `purged_files`: what tombstones say went. `busy`:
    something runs, or not all that may refer to a file could be read, so nothing is told to belong to nobody.
    """

    ledger_id: str = ""
    revision: str = ""
    busy: bool = False
    on_disk: frozenset[str] = frozenset()
    records: dict[str, Recorded] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    tombstones: dict[str, dict[str, Any]] = field(default_factory=dict)
    purged_rows: set[int] = field(default_factory=set)
    purged_files: set[str] = field(default_factory=set)
    journals: dict[str, Journal] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)
    plan_digests: dict[str, dict[str, str]] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    ledger_ids: dict[str, str] = field(default_factory=dict)
