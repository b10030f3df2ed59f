"""Writing it down as it happens: the observer, its journal, and recovery after a crash."""

from __future__ import annotations

from hearth.recorder._journal import Journal
from hearth.recorder._known_end import KnownEnd
from hearth.recorder._lock import try_lock
from hearth.recorder._observer import ExecutionObserver
from hearth.recorder._reading import read_journal, verify_journal
from hearth.recorder._recovery import Recovery, journal_is_live, recover_journal
from hearth.recorder._sink import JournalSink
from hearth.recorder._step import StepRecording

__all__ = [
    "ExecutionObserver",
    "Journal",
    "JournalSink",
    "KnownEnd",
    "Recovery",
    "StepRecording",
    "journal_is_live",
    "read_journal",
    "recover_journal",
    "try_lock",
    "verify_journal",
]
