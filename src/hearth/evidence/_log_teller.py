"""Telling a ledger's log of a run: before it acts, and when it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hearth.errors import HearthError, RecorderUnfitError
from hearth.evidence._ledger_log import update_log

if TYPE_CHECKING:
    from hearth.ledger import Ledger

__all__ = ["LogTeller"]

_log = logging.getLogger(__name__)


class LogTeller:
    """Has the log of a ledger, where it has one, take up what is new. Where there is none, nothing is done."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def opened(self) -> None:
        """Take up that a run is open, before it acts; RecorderUnfitError where that fails: no evidence, no action."""
        try:
            update_log(self._ledger)
        except (HearthError, OSError) as error:
            what = f"the transparency log cannot tell of this run, so no step starts: {error}"
            raise RecorderUnfitError(what) from error

    def sealed(self, what: str) -> None:
        """Take up what has happened; where that fails it is a warning, and the next update takes it up."""
        try:
            update_log(self._ledger)
        except (HearthError, OSError) as error:
            _log.warning(
                "%s is in the ledger, and the transparency log does not tell of it yet: %s; `hearth log update` does",
                what,
                error,
            )
