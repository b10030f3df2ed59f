"""The rows of postures: how they are read, whatever somebody has put into them, and which cannot be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import RecordError
from hearth.record import parse_time
from hearth.security import BoundaryState, KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from sqlalchemy import Connection

__all__ = ["SELECT", "DoubtError", "Row", "last_given", "read", "require_unsigned", "since_signed", "split", "text_of"]

Row = tuple[Any, ...]


def _as_bytes(name: str) -> str:
    # A damaged row may hold anything. The driver fails over a text that is not UTF-8, and then nobody could read the
    # rows beside it either.
    return f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) END"


SELECT = (
    f"SELECT version, {', '.join(map(_as_bytes, ('security', 'boundary', 'who', 'why', 'source', 'created')))}, "  # noqa: S608 - constants
    "CASE typeof(envelope) WHEN 'blob' THEN envelope WHEN 'null' THEN NULL ELSE x'' END FROM postures"
)
_GIVEN = "SELECT seq FROM sqlite_sequence WHERE name = 'postures'"
# The last version that SQLite ever gave comes first, as a negative one.
_SINCE_SIGNED = (
    f"SELECT * FROM ({SELECT} WHERE version >= coalesce("  # noqa: S608 - constants
    "(SELECT max(version) FROM postures WHERE envelope IS NOT NULL), "
    f"(SELECT min(version) FROM postures)) UNION ALL SELECT -({_GIVEN}), {', '.join(['NULL'] * 7)} "
    "FROM sqlite_sequence WHERE name = 'postures') ORDER BY 1"
)


def since_signed(connection: sqlite3.Connection) -> list[Row]:
    return connection.execute(_SINCE_SIGNED).fetchall()


def last_given(connection: Connection) -> int:
    """Return the last version that SQLite gave; 0 for none."""
    found = connection.exec_driver_sql(_GIVEN).scalar_one_or_none()
    return found if isinstance(found, int) else 0


def split(rows: list[Row]) -> tuple[int, list[Row]]:
    """Return the last version that SQLite gave, and the rows behind what says so."""
    if rows and isinstance(rows[0][0], int) and rows[0][0] < 0:
        return -rows[0][0], rows[1:]
    return 0, rows


class DoubtError(Exception):
    """The rows are not what HEARTH writes; the message says where, `means` what that may come from."""

    def __init__(self, what: str, means: str = "this is tampering or a bad disk") -> None:
        super().__init__(what)
        self.means = means


def require_unsigned(before: KeptPosture, kept: KeptPosture) -> None:
    """Raise DoubtError unless `kept` is a posture that needs no signature: one that is worse than the one before."""
    if before.posture.worse_than(kept.posture):
        raise DoubtError(
            f"version {kept.version} betters the posture from {before.posture} to {kept.posture} without an "
            "operator's signature"
        )
    if not kept.posture.worse_than(before.posture):
        # HEARTH keeps changes only, so this was something else once.
        raise DoubtError(f"version {kept.version} of the posture changes nothing, and no operator signed it")


def read(row: Row) -> KeptPosture:
    version, *texts, envelope = row
    try:
        security, boundary, who, why, source, created = (text.decode() for text in texts)
        posture = Posture(SecurityState(security), BoundaryState(boundary))
    except (AttributeError, ValueError):  # no text, no UTF-8, no state
        raise DoubtError(f"version {version} of the posture is not readable") from None
    if version < 1:
        raise DoubtError(f"there is a version {version} of the posture, and the first one is 1")
    return KeptPosture(posture, version, who, why, source, _time(created), envelope)


def _time(text: object) -> datetime:
    try:
        return parse_time(text)  # type: ignore[arg-type]
    except RecordError as error:
        raise DoubtError(f"a time in it is not readable: {error}") from None


def text_of(value: str) -> str:
    """Return a text as a file can hold it: lone surrogates as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()
