"""Whether a posture that was written is there: it is read back on a connection of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from hearth.errors import LedgerError
from hearth.ledger._database import explain, told

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.security import KeptPosture, Posture

__all__ = ["POSTURE_LOST", "lost", "read_back"]

POSTURE_LOST = (
    "Runs go on: end their processes, whose journals in the ledger's folder `journals` are named after them, then keep "
    "a copy of the whole folder and restore the last backup"
)
"""What is to be done where the posture cannot be worsened."""

_BUSY_SECONDS = 10.0


def read_back(path: Path, kept: KeptPosture) -> None:
    """Raise LedgerError unless another connection finds the posture that was just written."""
    query = "SELECT security, boundary FROM postures WHERE version = ?"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as database:
            database.text_factory = told
            found = database.execute(query, (kept.version,)).fetchone()
    except sqlite3.Error as error:
        raise lost(path, kept.posture, explain(error)) from error
    if found != (str(kept.posture.security), str(kept.posture.boundary)):
        raise lost(path, kept.posture, "it is not there when it is read back: a foreign trigger may be at work")


def lost(path: Path, posture: Posture, why: object) -> LedgerError:
    """Return the error that says that a posture does not stand."""
    return LedgerError(f"{path}: the posture {posture} does NOT stand ({why}). {POSTURE_LOST}")
