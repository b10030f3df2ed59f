"""Finding executions: in the ledger, and in the journals of those that are not sealed yet."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from hearth.errors import ExecutionNotFoundError, ExecutionPurgedError, JournalDamagedError, LedgerError, RecordError
from hearth.execution import finding_of
from hearth.ledger import Ledger
from hearth.operations._sensors import tell_findings
from hearth.record import parse_time, percent_decode, strict_loads
from hearth.recorder import journal_is_live, read_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from hearth.ledger import LedgerHome
    from hearth.record import ExecutionRecord

__all__ = ["LAST", "Found", "JournalNote", "Records"]

LAST = "last"
"""The word that names the execution that was started last."""

_REFUSED = re.compile(r".*\.journal(\.[0-9]+)?")  # originals that were recovered end otherwise
_SHOWN = 8
_LONGEST_START = 1 << 20
_HASH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalNote:
    """A journal in the ledger's folder: its execution is under way (`running`), or its process died before the seal.

    `execution_id` and `started` are None where not even the first line is whole.
    """

    path: Path
    execution_id: str | None
    running: bool
    plan_id: str | None = None
    started: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An execution that a reference named, and where its record is."""

    execution_id: str
    source: Literal["ledger", "journal"]
    journal: Path | None = None


class Records:
    """The records of one home, for reading; a context manager."""

    def __init__(self, home: LedgerHome) -> None:
        self.home = home
        self.ledger = Ledger.open(home)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def journals(self) -> list[JournalNote]:
        """Return the journals that are there, the latest started first; of each only the first line is read."""
        notes = [note for path in _journal_files(self.home) if (note := _first_line(path)) is not None]
        return sorted(notes, key=lambda note: note.started.timestamp() if note.started else 0.0, reverse=True)

    def quarantined(self) -> list[JournalNote]:
        """Return the journals that were refused as damaged and lie in quarantine, by name; nothing replaces them."""
        try:
            names = sorted(path for path in self.home.quarantine.iterdir() if _REFUSED.fullmatch(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LedgerError(f"{self.home.quarantine} cannot be read: {error.strerror}") from error
        return [note for path in names if (note := _first_line(path)) is not None]

    def find(self, reference: str) -> Found:
        """Return the execution that `reference` names: an id, the beginning of only one, or `last`.

        ExecutionNotFoundError when there is none, or (it names the candidates) when there are several;
        ExecutionPurgedError for one that was purged.
        """
        if reference == LAST:
            return self._last()
        waiting = {
            name: note.path
            for note in self.journals()
            if (name := note.execution_id or _id_by_name(note.path)).startswith(reference) and reference
        }
        try:
            stored = self.ledger.find_id(reference)
        except (ExecutionNotFoundError, ExecutionPurgedError):
            if not waiting:
                self._refuse_quarantined(reference)
                raise
        else:
            others = [name for name in waiting if name != stored]
            if stored == reference or not others:
                return Found(execution_id=stored, source="ledger")
            if reference not in waiting:
                raise _ambiguous(reference, [stored, *others])
        if reference not in waiting and len(waiting) > 1:
            raise _ambiguous(reference, sorted(waiting))
        execution_id = reference if reference in waiting else next(iter(waiting))
        return Found(execution_id=execution_id, source="journal", journal=waiting[execution_id])

    def _refuse_quarantined(self, reference: str) -> None:
        """Say of a journal that was found to be damaged that it was, not that there is no such execution."""
        for note in self.quarantined():
            if reference in (note.execution_id, _id_by_name(note.path)):
                read_journal(note.path)  # says what is wrong with it, and where it lies
                raise LedgerError(
                    f"the journal of {reference} was refused, and lies in {note.path}; nothing replaces it"
                )

    def read(self, found: Found) -> ExecutionRecord:
        """Return the record, with the values disclosed beside it left out.

        One from a journal is not sealed, and says what is written so far. RecordError when it cannot be read; a journal
        that is damaged worsens the ledger's posture.
        """
        if found.journal is None:
            return self.ledger.get(found.execution_id)
        try:
            return read_journal(found.journal)
        except JournalDamagedError as error:
            tell_findings(self.home, [finding_of(error)])
            raise

    def ids(self, prefix: str, limit: int = 50) -> list[str]:
        """Return up to `limit` ids that begin with `prefix`, the latest started first: for completion."""
        names = [note.execution_id for note in self.journals() if note.execution_id is not None]
        names += [summary.execution_id for summary in self.ledger.list(limit=1000)]
        return list(dict.fromkeys(name for name in names if name.startswith(prefix)))[:limit]

    def _last(self) -> Found:
        stored = next(iter(self.ledger.list(limit=1)), None)
        for note in self.journals():
            if note.execution_id is None or note.started is None:
                continue
            if stored is None or (note.started > stored.started and note.execution_id != stored.execution_id):
                return Found(execution_id=note.execution_id, source="journal", journal=note.path)
            break
        if stored is None:
            raise ExecutionNotFoundError(f"the ledger {self.home.root} holds no execution yet; `hearth run` makes one")
        return Found(execution_id=stored.execution_id, source="ledger")


def _journal_files(home: LedgerHome) -> Iterator[Path]:
    try:
        yield from sorted(path for path in home.journals.iterdir() if path.name.endswith(".journal"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise LedgerError(f"{home.journals} cannot be read: {error.strerror}") from error


def _first_line(path: Path) -> JournalNote | None:
    """Read what entry 0 says; None for a journal that was stored and removed meanwhile."""
    try:
        # Not to block on a named pipe; what is no regular file is no journal.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            line = file.readline(_LONGEST_START) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        entry = strict_loads(line[_HASH + 1 :])
        return JournalNote(
            path=path,
            execution_id=str(entry["execution_id"]),
            running=journal_is_live(path),
            plan_id=str(entry["details"]["plan_id"]),
            started=parse_time(entry["timestamp"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, RecordError, KeyError, TypeError):
        return JournalNote(path=path, execution_id=None, running=journal_is_live(path))


def _id_by_name(path: Path) -> str:
    """Return the id that a journal's name tells, where its first line does not; of a shortened one the start."""
    return percent_decode(path.name.partition(".journal")[0])


def _ambiguous(reference: str, names: list[str]) -> ExecutionNotFoundError:
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return ExecutionNotFoundError(
        f"{reference!r} is the beginning of more than one execution id: {shown}; give more of it"
    )
