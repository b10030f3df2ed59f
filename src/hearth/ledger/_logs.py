"""LedgerLogs: which transparency log a ledger has, by the word of its database, so that one taken away is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from hearth.ledger._tables import logs
from hearth.record import format_time, utc_now

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hearth.ledger._database import Database

__all__ = ["LedgerLogs"]

_LAST = select(logs.c.log_key).order_by(logs.c.id.desc()).limit(1)


class LedgerLogs:
    """Notes the first key of the ledger's log, a verifier key. A log that took another's place is another row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def present(self) -> str | None:
        """Return the first key of the log that the ledger has; None where it never had one."""
        found = self._database.read(lambda connection: connection.scalar(_LAST))
        return None if found is None else str(found)

    def note(self, log_key: str) -> None:
        """Note that the ledger has the log of this key from now on, durably; nothing where that is noted already."""

        def work(connection: Connection) -> None:
            if connection.scalar(_LAST) != log_key:
                connection.execute(insert(logs).values(log_key=log_key, created=format_time(utc_now())))

        self._database.write(work)
