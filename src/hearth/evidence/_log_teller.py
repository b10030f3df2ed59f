"""Telling a ledger's log of a run: before it acts, and when it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hearth.errors import (
    EvidenceBusyError,
    EvidenceError,
    EvidenceUsageError,
    GateRefusedError,
    HearthError,
    RecorderUnfitError,
    SigningError,
)
from hearth.evidence._ledger_log import LedgerLog, update_log
from hearth.evidence._log_key import load_log_key
from hearth.evidence._log_place import LogPlace
from hearth.record import named_in_leaf

if TYPE_CHECKING:
    from hearth.evidence._ledger_log import LogUpdate
    from hearth.ledger import Ledger

__all__ = ["LogTeller"]

_log = logging.getLogger(__name__)


class LogTeller:
    """Has the log of a ledger, where it has one, take up what is new. Where there is none, nothing is done."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def require_ready(self) -> None:
        """Raise GateRefusedError where nothing could be signed: no key, one that is revoked, a log that is unfinished.

        So it does where others keep the log busy. Whatever else is wrong with the log a run's record is to say.
        """
        if not LogPlace.of(self._ledger.home).exists:
            return
        try:
            LedgerLog(self._ledger, load_log_key).require_ready()
        except (SigningError, EvidenceUsageError, EvidenceBusyError) as error:
            raise GateRefusedError(f"nothing runs, for the transparency log could not tell of it: {error}") from error
        except (HearthError, OSError):
            return

    def opened(self, execution_id: str) -> None:
        """Take up that a run is open, before it acts; RecorderUnfitError where that fails: no evidence, no action.

        Of a long backlog no more than a second's worth is taken up with it.
        """
        try:
            update = update_log(self._ledger, whole=False)
            if update is not None and named_in_leaf(execution_id) not in update.open:
                raise EvidenceError("; ".join(update.problems) or "its journal is not among those of the ledger")
            _warn_of(update)
        except (HearthError, OSError) as error:
            what = f"the transparency log cannot tell of this run, so no step starts: {error}"
            raise RecorderUnfitError(what) from error

    def sealed(self, what: str) -> None:
        """Take up what has happened; where that fails it is a warning, and the next update takes it up."""
        try:
            _warn_of(update_log(self._ledger))
        except (HearthError, OSError) as error:
            _log.warning(
                "%s is in the ledger, and the transparency log does not tell of it yet: %s; `hearth log update` does",
                what,
                error,
            )


def _warn_of(update: LogUpdate | None) -> None:
    for problem in () if update is None else update.problems:
        _log.warning("the transparency log does not tell of %s", problem)
