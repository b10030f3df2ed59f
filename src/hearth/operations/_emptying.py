"""What was erased goes from the database's files, too: at once, or, where a crash or a reader kept that off, later."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import HearthError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.ledger import Ledger, LedgerHome

__all__ = ["Emptying", "emptying", "is_emptying_due"]

_NAME = "emptying"


def is_emptying_due(home: LedgerHome) -> bool:
    """Whether bytes of what was erased may still be in the database's files; asked while holding `upkeep`."""
    return _mark(home).exists()


@contextmanager
def emptying(home: LedgerHome, ledger: Ledger) -> Iterator[Emptying]:
    """Note durably that the database is to be emptied, before anything is erased in this block.

    What ends without `finish` leaves the note, for `hearth fsck --repair`; an error of HEARTH's own, which says that
    nothing was erased, takes it back.
    """
    mark = _mark(home)
    due = mark.exists()
    if not due:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
        sync_directory(mark.parent)
    try:
        yield Emptying(ledger, mark)
    except HearthError:
        if not due:
            mark.unlink(missing_ok=True)
        raise


class Emptying:
    """What remains to be done after something was erased."""

    def __init__(self, ledger: Ledger, mark: Path) -> None:
        self._ledger = ledger
        self._mark = mark

    def finish(self) -> bool:
        """Write the database anew without what was erased; False where it is in use, or there is no room for that."""
        try:
            done = self._ledger.retention.empty()
        except LedgerError:
            done = False  # what was erased is erased; the note stays
        if not done:
            return False
        self._mark.unlink(missing_ok=True)  # not synced: a note that comes back has it done once more
        return True


def _mark(home: LedgerHome) -> Path:
    return home.locks / _NAME
