"""Bringing journals to their end: what a dead process left is sealed and stored, what is damaged is refused."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hearth._visible import visible
from hearth.errors import (
    ExecutionNotFoundError,
    ExecutionPurgedError,
    HearthError,
    JournalDamagedError,
    JournalLockedError,
    RecorderError,
)
from hearth.execution import running_executions
from hearth.observe import clear_dead_sandboxes
from hearth.operations._log_follows import log_follows
from hearth.operations._recovered_commits import RecoveredCommits
from hearth.operations._sensors import sense_recovered, tell_findings
from hearth.record import percent_encode
from hearth.recorder import recover_journal

if TYPE_CHECKING:
    from hearth.observe import RecoveredCommit
    from hearth.operations._find import JournalNote, Records
    from hearth.record import ExecutionRecord
    from hearth.recorder import Recovery

__all__ = ["Recovered", "recover"]

_LONGEST_SURE = 1000
_COMMITS = {
    "removed": "a step had not yet begun to commit its changes to the host",
    "undone": "what a step had begun to commit to the host was taken back",
    "finished": "a step's changes had all reached the host, and what was left to clear away is",
    "conflict": "of what a step had begun to commit to the host, not everything could be taken back",
    "damaged": "the journal of a commit to the host is damaged, and nothing was touched",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of one journal.

    `outcome`: `undone` (changes of a step that was cut short on their way to the host were taken back), `finished` (all
    of them had reached it), `conflict` (not all could be taken back: look at the paths that the message names),
    `recovered` (sealed now, and stored), `stored` (it was sealed, and is stored now), `known` (the ledger had it
    already), `empty` (its execution never began), `running` (its process lives: nothing was done), `damaged` (refused
    and quarantined), `failed` (it could not be finished: try again). `kept` is where the original lies.
    """

    outcome: Literal[
        "undone", "finished", "conflict", "recovered", "stored", "known", "empty", "running", "damaged", "failed"
    ]
    journal: Path
    execution_id: str | None
    message: str
    kept: Path | None = None
    discarded: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.outcome not in {"damaged", "failed", "conflict"}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "outcome": self.outcome,
            "execution_id": self.execution_id,
            "journal": str(self.journal),
            "kept": None if self.kept is None else str(self.kept),
            "discarded_bytes": self.discarded,
            "message": self.message,
        }


@log_follows
def recover(records: Records, reference: str | None = None) -> list[Recovered]:
    """Recover the journals of a home: all, or the one of the execution that `reference` names (or begins).

    Each is handled by itself; what is wrong with one is an outcome, not an error. When all are recovered, private
    copies of inputs that belong to no run under way and to no journal are removed, and sandboxes of dead processes.
    ExecutionNotFoundError when no journal belongs to the reference. A damaged journal worsens the ledger's posture.
    """
    notes = records.journals()
    if reference is not None:
        exact = [note for note in notes if note.execution_id == reference]
        notes = exact or [note for note in notes if (note.execution_id or "").startswith(reference)]
        if not notes:
            raise ExecutionNotFoundError(
                f"no journal of an execution {reference!r} waits in {records.home.journals}; "
                "`hearth list` shows what is stored"
            )
        if len(notes) > 1:
            names = ", ".join(sorted(str(note.execution_id) for note in notes))
            raise ExecutionNotFoundError(
                f"{reference!r} is the beginning of more than one execution id: {names}; give more of it"
            )
    # Before any record is sealed, which is to say what became of them; those of dead processes alone are touched.
    commits = RecoveredCommits(records.home)
    recovered = [_told_commit(commit) for commit in commits.found]
    recovered += [_recover(records, note, commits) for note in sorted(notes, key=lambda note: note.path.name)]
    tell_findings(records.home, map(sense_recovered, recovered))
    if reference is None:
        _remove_left_over(records)
        if os.name == "posix":
            clear_dead_sandboxes(records.home.sandboxes, records.home.runs)
    return recovered


def _told_commit(commit: RecoveredCommit) -> Recovered:
    outcome: Literal["undone", "finished", "conflict"] = "undone"
    if commit.outcome in ("conflict", "damaged"):
        outcome = "conflict"
    elif commit.outcome == "finished":
        outcome = "finished"
    words = _COMMITS[commit.outcome]
    what = f"{words}: {'; '.join(commit.conflicts)}" if commit.conflicts else words
    if commit.left:
        what += f"; these could not be removed: {', '.join(map(visible, commit.left))}"
    execution_id = commit.name.rpartition("-")[0]
    return Recovered(outcome=outcome, journal=commit.journal, execution_id=execution_id, message=what)


def _recover(records: Records, note: JournalNote, commits: RecoveredCommits) -> Recovered:
    try:
        recovery = recover_journal(note.path, quarantine=records.home.quarantine, known_end=commits.end_of)
    except JournalLockedError:
        return _told(note, "running", "its process is running: nothing was done")
    except JournalDamagedError as error:
        return _told(note, "damaged", str(error), kept=error.path)
    except RecorderError as error:
        if not note.path.exists():
            return _told(note, "known", "it was stored by another process meanwhile")
        return _told(note, "failed", str(error))
    except HearthError as error:  # one that nobody can read must not keep the others waiting
        return _told(note, "failed", f"{note.path}: {error}; keep the file and compare it with a copy")
    if recovery.record is None:
        kept = _put_away(records, note)
        _remove_run_folders(records, note.execution_id)
        message = "not one line was whole: the execution never began"
        return _told(note, "empty", message, kept=kept, discarded=recovery.discarded)
    return _store(records, note, recovery, recovery.record)


def _store(records: Records, note: JournalNote, recovery: Recovery, record: ExecutionRecord) -> Recovered:
    try:
        new = _kept(records, record)
        note.path.unlink(missing_ok=True)
    except HearthError as error:
        return _told(note, "failed", f"it is sealed, but was not stored: {error}", record=record)
    except OSError as error:
        return _told(note, "failed", f"its record is stored, but {note.path} cannot be removed: {error.strerror}")
    kept = _put_away(records, note)
    _remove_run_folders(records, record.execution_id)
    if recovery.outcome == "recovered":
        message = f"sealed as {record.status.value} with {len(record.entries)} entries, and stored"
        if recovery.discarded:
            message += f"; {recovery.discarded} torn bytes at its end were cut off"
        return _told(note, "recovered", message, kept=kept, discarded=recovery.discarded, record=record)
    if new:
        message = f"it was sealed as {record.status.value}, and is stored now"
        return _told(note, "stored", message, kept=kept, record=record)
    return _told(note, "known", "the ledger had its record already", kept=kept, record=record)


def _kept(records: Records, record: ExecutionRecord) -> bool:
    """Store a record; False where the ledger has it, or has a tombstone of this very record."""
    try:
        return records.ledger.store(record)
    except ExecutionPurgedError as purged:
        if purged.tombstone["execution_hash"] != record.get_execution_hash():
            raise
        return False


def _told(
    note: JournalNote,
    outcome: Literal["recovered", "stored", "known", "empty", "running", "damaged", "failed"],
    message: str,
    *,
    kept: Path | str | None = None,
    discarded: int = 0,
    record: ExecutionRecord | None = None,
) -> Recovered:
    return Recovered(
        outcome=outcome,
        journal=note.path,
        execution_id=note.execution_id if record is None else record.execution_id,
        message=message,
        kept=None if kept is None else Path(kept),
        discarded=discarded,
    )


def _put_away(records: Records, note: JournalNote) -> Path | None:
    """Move the originals that recovery kept beside a journal into the quarantine; return the last one's place."""
    place = None
    for original in sorted(note.path.parent.glob(f"{_escaped(note.path.name)}.original*")):
        target = _free_name(records.home.quarantine / original.name)
        try:
            original.replace(target)
            place = target
        except OSError:
            place = original  # it is kept all the same, only elsewhere
    return place


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _free_name(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        candidate = path.with_name(f"{path.name}.{number}")
        number += 1
    return candidate


def _remove_run_folders(records: Records, execution_id: str | None) -> None:
    """Remove the private copies of inputs that a dead process left; the plan's own files are elsewhere."""
    if execution_id is not None:
        for folder in _run_folders(records):
            if _execution_of(folder) == percent_encode(execution_id):
                shutil.rmtree(folder, ignore_errors=True)


def _remove_left_over(records: Records) -> None:
    """Remove the folders of runs of which nothing else is left: their process died before or after the journal."""
    # In this order: a run takes its slot, makes its folder, then its journal, and gives all back the other way round.
    folders = _run_folders(records)
    if not folders:
        return
    try:
        running = running_executions(records.home.locks)
    except OSError:
        return
    if any("\\" in name or len(name) > _LONGEST_SURE for name in running):
        return  # an id that a lock file may not hold as it is: in doubt they stay
    busy = {percent_encode(name) for name in running}
    for note in records.journals():
        busy.add(note.path.name.removesuffix(".journal"))
    for folder in folders:
        if _execution_of(folder) not in busy:
            shutil.rmtree(folder, ignore_errors=True)


def _run_folders(records: Records) -> list[Path]:
    """Return the folders that look like a run's: `<encoded execution id>.<some letters>`."""
    try:
        found = sorted(records.home.runs.iterdir())
    except OSError:
        return []
    return [path for path in found if _execution_of(path) and path.is_dir() and not path.is_symlink()]


def _execution_of(folder: Path) -> str:
    return folder.name.rpartition(".")[0]
