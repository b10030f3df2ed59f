"""What a commit told its journal of itself: for a record whose writer died before it could say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.observe._commit_journal import SUFFIX, CommitJournal
from hearth.record import percent_encode

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CommittedThen", "committed_then"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedThen:
    """A commit that reached the host as a whole: its journal, what it told of itself, and the pre-images it kept."""

    journal: Path
    told: dict[str, Any]
    kept: frozenset[str] = field(default_factory=frozenset)


def committed_then(folder: Path, name: str) -> CommittedThen | None:
    """Return the finished commit of that name; None where there is none, it cannot be read, or was taken back.

    After `recover_commits`, that is: one that still waits for it is not finished.
    """
    path = folder / (percent_encode(name) + SUFFIX)
    try:
        journal = CommitJournal.open(path)
    except (OSError, ValueError):
        return None
    if journal is None:
        return None
    try:
        told = journal.header.get("told")
        if not journal.has("done") or journal.has("undone") or not isinstance(told, dict):
            return None
        kept = {one.old.stored for one in journal.actions if one.old is not None and one.old.stored is not None}
        return CommittedThen(journal=path, told=told, kept=frozenset(kept))
    finally:
        journal.close()
