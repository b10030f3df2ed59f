"""LedgerPostures: the posture of a ledger, seen and changed by every process on it."""

from __future__ import annotations

import threading
from datetime import datetime  # noqa: TC003 - part of the public signatures
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, type_coerce
from sqlalchemy.types import NullType

from hearth.errors import GateRefusedError, LedgerError, RecordError
from hearth.ledger._look import GRACE_SECONDS, Look
from hearth.ledger._tables import executions, postures
from hearth.record import format_time, parse_time, utc_now
from hearth.security import BoundaryState, KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hearth.ledger._database import Database
    from hearth.security import Finding

__all__ = ["LedgerPostures"]

_COLUMNS = ("version", "security", "boundary", "who", "why", "source", "created", "envelope")
_NEWEST = f"SELECT {', '.join(_COLUMNS)} FROM postures ORDER BY version DESC LIMIT 2"  # noqa: S608 - constants


class LedgerPostures:
    """Fulfils `hearth.security.PostureStore` over the table `postures` of one ledger.

    Without a row the posture is OPERATIONAL/NOMINAL, version 0. Every change is a new row and none is ever changed or
    removed: of two changes at a time one finds its version taken. `load` costs some microseconds while nothing
    changes, so it may be asked before every step and fifty times a second beside it. What cannot be read, contradicts
    itself or has lost rows raises LedgerError; a row that betters the posture without a signed act counts as such.
    """

    def __init__(self, database: Database, *, grace: float = GRACE_SECONDS) -> None:
        self._database = database
        self._look = Look(database.path, _NEWEST, grace=grace)
        self._lock = threading.Lock()
        self._rows: list[tuple[Any, ...]] = []
        self._kept = KeptPosture()

    def load(self) -> KeptPosture:
        """Return the newest posture that any process has committed; a busy database is waited for two seconds."""
        with self._lock:  # else a look that began earlier would seem to have lost rows
            rows = self._look.rows()
            if rows is self._rows:
                return self._kept
            kept = self._newest(rows)
            if kept.version < self._kept.version:
                raise self._damaged(
                    f"the newest posture is version {kept.version}, but version {self._kept.version} was there; "
                    "rows were removed"
                )
            self._kept, self._rows = kept, rows
            return kept

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        """Add a row with the version after `expected`, durably, if that is still the newest one.

        GateRefusedError for a version other than the next one, and for a better posture without an envelope.
        """
        if new.version != expected + 1:
            raise GateRefusedError(f"version {new.version} of the posture does not follow version {expected}")
        row = {
            "version": new.version,
            "security": str(new.posture.security),
            "boundary": str(new.posture.boundary),
            "who": _text(new.who),
            "why": _text(new.why),
            "source": _text(new.source),
            "created": format_time(new.created or utc_now()),
            "envelope": new.envelope,
        }

        def work(connection: Connection) -> bool:
            newest = connection.execute(select(*_columns()).order_by(postures.c.version.desc()).limit(1)).all()
            if (newest[0].version if newest else 0) != expected:
                return False
            before = self._read(tuple(newest[0])).posture if newest else Posture()
            if before.worse_than(new.posture) and new.envelope is None:
                raise GateRefusedError(
                    f"the posture {before} is not restored without an operator's signature; use `hearth restore`"
                )
            connection.execute(insert(postures).values(**row))
            return True

        return self._database.write(work)

    def lock_down(self, *, who: str, why: str, source: str) -> None:
        """Add a row with the worst posture there is, whatever stands before it: for rows that cannot be read."""

        def work(connection: Connection) -> None:
            version = connection.execute(select(func.max(postures.c.version))).scalar_one_or_none() or 0
            connection.execute(
                insert(postures).values(
                    version=version + 1,
                    security=str(SecurityState.LOCKDOWN),
                    boundary=str(BoundaryState.LOCKDOWN),
                    who=_text(who),
                    why=_text(why),
                    source=_text(source),
                    created=format_time(utc_now()),
                )
            )

        self._database.write(work)

    def history(self, *, after: int = 0) -> list[KeptPosture]:
        """Return every posture with a later version than `after`, oldest first; LedgerError for damaged or lost rows.

        Whether signatures hold is the caller's to check.
        """
        query = select(*_columns()).where(postures.c.version > after).order_by(postures.c.version)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        kept = [self._read(tuple(row)) for row in rows]
        for place, one in enumerate(kept, after + 1):
            if one.version != place:
                raise self._damaged(f"version {place} of the posture is missing")
        return kept

    def restored_after(self, finding: Finding) -> bool:
        """Tell whether an operator has restored the posture after this very finding of this source was kept."""
        kept = self.history()
        found = [one.version for one in kept if (one.why, one.source) == (_text(finding.reason), _text(finding.source))]
        return bool(found) and any(one.version > found[-1] and one.envelope is not None for one in kept)

    def last_written(self) -> datetime | None:
        """Return the latest time at which this ledger says that it was written: of its newest posture and record."""
        stored = type_coerce(executions.c.stored, NullType())
        query = select(stored).order_by(executions.c.id.desc()).limit(1)
        found = self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        times = [self.load().created, None if found is None else self._time(found)]
        return max((moment for moment in times if moment is not None), default=None)

    def close(self) -> None:
        """Close the connection that looks."""
        self._look.close()

    def _newest(self, rows: list[tuple[Any, ...]]) -> KeptPosture:
        if not rows:
            return KeptPosture()
        newest = self._read(rows[0])
        if newest.posture == Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN):
            return newest  # nothing is worse, so what stands before it does not matter
        before = self._read(rows[1]) if len(rows) > 1 else KeptPosture()
        if newest.version != before.version + 1:
            raise self._damaged(f"version {newest.version - 1} of the posture is missing")
        if before.posture.worse_than(newest.posture) and newest.envelope is None:
            raise self._damaged(
                f"version {newest.version} betters the posture from {before.posture} to {newest.posture} "
                "without an operator's signature"
            )
        return newest

    def _read(self, row: tuple[Any, ...]) -> KeptPosture:
        version, security, boundary, who, why, source, created, envelope = row
        states = SecurityState.__members__.get(security), BoundaryState.__members__.get(boundary)
        texts_hold = all(isinstance(text, str) for text in (who, why, source))
        if (
            type(version) is not int
            or version < 1
            or states[0] is None
            or states[1] is None
            or not texts_hold
            or not isinstance(envelope, bytes | None)
        ):
            raise self._damaged(f"version {version!r} of the posture is not readable")
        return KeptPosture(Posture(states[0], states[1]), version, who, why, source, self._time(created), envelope)

    def _time(self, text: object) -> datetime:
        try:
            return parse_time(text)  # type: ignore[arg-type]
        except RecordError as error:
            raise self._damaged(f"a time in it is not readable: {error}") from None

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError(
            f"{self._database.path}: {what}; this is tampering or a bad disk. Nothing runs on this ledger. Keep a copy "
            "of the whole folder, then restore the last backup, or lock it down: `hearth lockdown --reason TEXT`"
        )


def _columns() -> list[Any]:
    # NullType: a damaged row may hold anything, and a conversion would fail in its own way.
    return [type_coerce(postures.c[name], NullType()).label(name) for name in _COLUMNS]


def _text(value: str) -> str:
    """Return a text as a file can hold it: lone surrogates as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()
