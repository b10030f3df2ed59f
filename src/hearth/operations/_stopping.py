"""Stopping what runs: which runs a lockdown met and what became of them, also where only the posture can be written."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import ExecutionNotFoundError, HearthError, LedgerError
from hearth.execution import StoppedProcesses
from hearth.ledger import POSTURE_LOST, postures_alone
from hearth.operations._find import JournalNote
from hearth.record import percent_decode
from hearth.recorder import journal_is_live

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger import Ledger, LedgerHome, LedgerPostures

__all__ = ["StoppedRun", "despite", "journals_running", "outcomes"]

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedRun:
    """A run that was under way at a lockdown. `outcome`: its status, `killed` (no seal: recover it), or `running`.

    `note` says what had to be done to its process, "" for nothing.
    """

    execution_id: str
    plan_id: str | None
    outcome: str
    seconds: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "execution_id": self.execution_id,
            "plan_id": self.plan_id,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "note": self.note,
        }


@contextmanager
def despite(home: LedgerHome, error: LedgerError) -> Iterator[tuple[LedgerPostures, str]]:
    """Give the postures of a ledger that is refused for anything else; `error` says why.

    Whoever changes the database's schema must not have the kill switch off with it.
    """
    try:
        with postures_alone(home) as opened:
            yield opened
    except LedgerError as second:
        if POSTURE_LOST not in str(second):
            second.add_note(f"the posture was NOT changed. {POSTURE_LOST}")
        second.add_note(f"the ledger was refused before: {error}")
        raise
    _log.warning("%s. The posture alone was changed", error)


def journals_running(home: LedgerHome) -> list[JournalNote]:
    """Return the runs under way by their journals' names alone."""
    try:
        paths = sorted(path for path in home.journals.iterdir() if path.name.endswith(".journal"))
    except OSError:
        return []
    return [
        JournalNote(path=path, execution_id=percent_decode(path.name.removesuffix(".journal")), running=True)
        for path in paths
        if journal_is_live(path)
    ]


def outcomes(
    home: LedgerHome, ledger: Ledger | None, running: list[JournalNote], began: float, wait: float
) -> tuple[StoppedRun, ...]:
    ended: dict[str, float] = {}
    stopped = StoppedProcesses(home.locks)
    while len(ended) < len(running) and time.monotonic() < began + wait:
        for note in running:
            if str(note.path) not in ended and not journal_is_live(note.path):
                ended[str(note.path)] = time.monotonic() - began
        stopped.attend(note.path for note in running if str(note.path) not in ended)
        time.sleep(_PAUSE_SECONDS)
    return tuple(
        StoppedRun(
            execution_id=note.execution_id or note.path.name,
            plan_id=note.plan_id,
            outcome=_outcome(ledger, note) if str(note.path) in ended else "running",
            seconds=ended.get(str(note.path), time.monotonic() - began),
            note=stopped.said_of(note.path),
        )
        for note in running
    )


def _outcome(ledger: Ledger | None, note: JournalNote) -> str:
    if ledger is None:  # nothing but its posture can be read: the journal is gone where the record was stored
        return "killed" if note.path.exists() else "sealed"
    deadline = time.monotonic() + 1.0  # between the journal's last line and the ledger's row there is a moment
    while True:
        try:
            return str(ledger.get(note.execution_id or "").status)
        except ExecutionNotFoundError:
            if time.monotonic() > deadline:
                return "killed"
        except HearthError:
            return "killed"
        time.sleep(_PAUSE_SECONDS)
