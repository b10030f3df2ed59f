"""A ledger with a log, for tests: records, a posture, an approval's use, a purge and an erasure."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from hearth.evidence import Checkpoint, LedgerLog, NoteKey
from hearth.ledger import Ledger, LedgerHome
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver
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
        for number in range(records):
            self.run(f"run-{number}")
        self.log = LedgerLog.create(self.ledger, origin=ORIGIN, key=self.key)

    @property
    def vkey(self) -> NoteKey:
        """The log's verifier key."""
        return NoteKey(ORIGIN, self.key.public)

    def run(self, name: str, *, log: bool = False) -> ExecutionRecord:
        """Store the record of a short run, and have the log take it up."""
        redactor = Redactor(disclosable=("customer",))
        observer = ExecutionObserver(name, "plan", ledger_id=self.ledger.ledger_id, redactor=redactor)
        observer.record_step_started(0, "Ask", {"customer": "ACME"})
        observer.record_step_completed(0, "Ask")
        observer.mark_completed()
        record = observer.get_execution_record("DRY_RUN")
        self.ledger.store(record.with_disclosures(observer.disclosures))
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
