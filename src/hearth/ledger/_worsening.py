"""The posture of a ledger whose schema somebody has changed: it can still be worsened, and nothing else be done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hearth.ledger._kept import read_back
from hearth.ledger._postures import LedgerPostures
from hearth.ledger._schema import open_to_worsen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger._home import LedgerHome
    from hearth.security import KeptPosture

__all__ = ["postures_alone", "require_kept"]

_BUSY_SECONDS = 10.0


@contextmanager
def postures_alone(home: LedgerHome) -> Iterator[tuple[LedgerPostures, str]]:
    """Give the postures of a ledger and its id ("" where it cannot be read), whatever else is in its database.

    Foreign triggers may swallow or change what is written: `require_kept` tells.
    """
    database, ledger_id = open_to_worsen(home, busy_seconds=_BUSY_SECONDS)
    postures = LedgerPostures(database)
    try:
        yield postures, ledger_id
    finally:
        postures.close()
        database.close()


def require_kept(home: LedgerHome, kept: KeptPosture) -> None:
    """Raise LedgerError unless another connection finds the posture that was just written."""
    read_back(home.database, kept)
