"""A ledger with a log, for tests: records, a posture, an approval's use, a purge and an erasure."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from hearth.evidence import Checkpoint, LedgerLog, NoteKey
from hearth.ledger import Ledger, LedgerHome
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver, Journal
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.evidence import Note
    from hearth.record import ExecutionRecord

__all__ = ["ORIGIN", "LoggedLedger"]

ORIGIN = "example.org/log"


class LoggedLedger:
    """A ledger in a folder, its log, and the log's key."""

    def __init__(self, folder: Path, *, records: int = 3) -> None:
        self.home = LedgerHome.create(folder / ".hearth")
        self.ledger = Ledger.open(self.home, create=True)
        self.key = SigningKey.generate()
        self.log: LedgerLog = None  # type: ignore[assignment]  # there is none yet
        for number in range(records):
            self.run(f"run-{number}")
        self.log = LedgerLog.create(self.ledger, origin=ORIGIN, key=self.key)

    @property
    def vkey(self) -> NoteKey:
        """The log's verifier key."""
        return NoteKey(ORIGIN, self.key.public)

    def run(self, name: str, *, log: bool = False, told: bool = True) -> ExecutionRecord:
        """Store the record of a short run, of which the log was `told` before it acted; have it take up the record."""
        redactor = Redactor(disclosable=("customer",))
        with Journal.create(self.home.journal_path(name)) as journal:
            observer = ExecutionObserver(
                name, "plan", ledger_id=self.ledger.ledger_id, redactor=redactor, journal=journal
            )
            if told and self.log is not None:
                journal.sync()
                self.log.update()
            observer.record_step_started(0, "Ask", {"customer": "ACME"})
            observer.record_step_completed(0, "Ask")
            observer.mark_completed()
            record = observer.get_execution_record("DRY_RUN")
            self.ledger.store(record.with_disclosures(observer.disclosures))
        self.home.journal_path(name).unlink()
        if log:
            self.log.update()
        return record

    def checked(self, note: Note) -> Checkpoint:
        """Return a note's checkpoint, which the log's key has to have signed."""
        from hearth.errors import EvidenceError

        if not note.verified_by([self.vkey]):
            raise EvidenceError("somebody else signed it")
        return Checkpoint.parse(note.text)

    def edit(self, *statements: str) -> None:
        """Change the database past every check."""
        with closing(sqlite3.connect(self.home.database, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()
