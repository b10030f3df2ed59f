"""The posture of a ledger whose schema somebody has changed: it can still be worsened, and nothing else be done."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from hearth.errors import LedgerError
from hearth.ledger._database import explain
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
    query = "SELECT security, boundary FROM postures WHERE version = ?"
    try:
        with closing(sqlite3.connect(f"{home.database.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as database:
            found = database.execute(query, (kept.version,)).fetchone()
    except sqlite3.Error as error:
        raise LedgerError(_lost(home, kept, explain(error))) from error
    if found != (str(kept.posture.security), str(kept.posture.boundary)):
        raise LedgerError(_lost(home, kept, "it is not there when it is read back: a foreign trigger may be at work"))


def _lost(home: LedgerHome, kept: KeptPosture, why: str) -> str:
    return (
        f"{home.database}: the posture {kept.posture} does NOT stand ({why}). Runs go on: end their processes, which "
        "`hearth list` names, then keep a copy of the whole folder and restore the last backup"
    )
