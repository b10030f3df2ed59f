"""LedgerPostures: the posture of a ledger, seen and changed by every process on it."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime  # noqa: TC003 - part of the public signatures
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, type_coerce
from sqlalchemy.types import NullType

from hearth.errors import GateRefusedError, HearthError, LedgerDamagedError, LedgerError, RecordError
from hearth.ledger._kept import lost, read_back
from hearth.ledger._look import GRACE_SECONDS, Look
from hearth.ledger._posture_rows import (
    SELECT,
    DoubtError,
    Row,
    last_given,
    read,
    require_unsigned,
    since_signed,
    split,
    text_of,
)
from hearth.ledger._tables import executions, postures
from hearth.record import format_time, parse_time, utc_now
from hearth.security import BoundaryState, KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from hearth.ledger._database import Database
    from hearth.security import Finding

__all__ = ["LedgerPostures"]

# Beyond it no JSON can hold a version, and no ledger gets there.
_MOST_VERSIONS = (1 << 53) - 2
_WORST = Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)


class LedgerPostures:
    """Fulfils `hearth.security.PostureStore` over the table `postures` of one ledger.

    Without a row the posture is OPERATIONAL/NOMINAL, version 0. Every change is a new row and none is ever changed or
    removed: of two changes at a time one finds its version taken.

    What is believed: the newest signed row holds when `vouch` says so, and answers for everything before it; each row
    after it (without one, each from the first on) has the next version and worsens the posture. Whatever else the rows
    say is doubt, and `load` raises LedgerDamagedError, until an operator signs a restoration anew. A LOCKDOWN in both
    parts is believed in any case, for nothing is worse.

    `load` costs some microseconds while nothing changes, so it may be asked before every step and fifty times a second
    beside it; a signature is verified once, and then again at `verify_anew`.
    """

    def __init__(self, database: Database, *, grace: float = GRACE_SECONDS) -> None:
        self._database = database
        self._look = Look(database.path, since_signed, grace=grace)
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._kept = KeptPosture()
        self._vouch: Callable[[KeptPosture], object] = _nobody
        self._vouched: Row | None = None
        self._restored = 0

    def believe(self, vouch: Callable[[KeptPosture], object]) -> None:
        """Say who vouches for signed rows: `vouch(kept)` raises a HearthError unless an operator signed just that.

        Until then no restoration is believed.
        """
        with self._lock:
            self._vouch = vouch
            self.verify_anew()

    def verify_anew(self) -> None:
        """Have the signature that the posture rests on verified again at the next look: keys may have gone since."""
        with self._lock:
            self._rows, self._vouched = [], None

    def load(self) -> KeptPosture:
        """Return the newest posture that any process has committed; a busy database is waited for two seconds.

        LedgerDamagedError for rows that are not believed (see the class), LedgerError for a database that cannot be
        read.
        """
        with self._lock:  # else a look that began earlier would seem to have lost rows
            rows = self._look.see()
            if rows is self._rows:
                return self._kept
            try:
                kept = self._believed(rows)
            except DoubtError as doubt:
                raise self._damaged(doubt) from None
            self._kept, self._rows = kept, rows
            return kept

    def judged(self) -> tuple[KeptPosture, str]:
        """Return what a change of the posture starts from, and why `load` would not believe it ("": it would).

        In doubt that is the newest row, with the worst that the posture may have been since the last restoration that
        holds: what cannot be read, or is missing, may have been LOCKDOWN. LedgerError for a database that cannot be
        read.
        """
        try:
            return self.load(), ""
        except LedgerDamagedError as error:
            return self._at_worst(), str(error)

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        """Add a row with the version after `expected`, durably, if that is still the newest one.

        LedgerError where it does not stand afterwards.
        GateRefusedError for a version other than the next one, for a posture without an envelope that is better than
        the one before in any part or no worse, and, as SigningError, for an envelope that would not be believed.
        """
        if new.version != expected + 1:
            raise GateRefusedError(f"version {new.version} of the posture does not follow version {expected}")
        if new.envelope is not None:
            self._vouch(new)
        row = {
            "version": new.version,
            "security": str(new.posture.security),
            "boundary": str(new.posture.boundary),
            "who": text_of(new.who),
            "why": text_of(new.why),
            "source": text_of(new.source),
            "created": format_time(new.created or utc_now()),
            "envelope": new.envelope,
        }

        def work(connection: Connection) -> bool:
            found = connection.exec_driver_sql(f"{SELECT} ORDER BY version DESC LIMIT 1").all()
            if max(found[0][0] if found else 0, last_given(connection)) != expected:
                return False
            if new.envelope is None:
                self._require_worse(tuple(found[0]) if found else None, new.posture)
            connection.execute(insert(postures).values(**row))
            return True

        try:
            changed = self._database.write(work)
        except LedgerDamagedError:
            raise
        except LedgerError as error:
            raise lost(self._database.path, new.posture, error) if new.envelope is None else error from error
        if changed:
            read_back(self._database.path, new)
        return changed

    def lock_down(self, *, who: str, why: str, source: str) -> KeptPosture:
        """Add a row with the worst posture there is, whatever stands before it: for rows that are not believed.

        LedgerError where the database cannot be written.
        """

        def work(connection: Connection) -> int:
            newest = connection.execute(select(func.max(postures.c.version))).scalar_one_or_none() or 0
            version = max(newest, last_given(connection)) + 1
            if version > _MOST_VERSIONS:  # SQLite gives no number after its last one
                version = newest + 1
            connection.execute(
                insert(postures).values(
                    version=version,
                    security=str(SecurityState.LOCKDOWN),
                    boundary=str(BoundaryState.LOCKDOWN),
                    who=text_of(who),
                    why=text_of(why),
                    source=text_of(source),
                    created=format_time(utc_now()),
                )
            )
            return version

        try:
            version = self._database.write(work)
        except LedgerError as error:
            raise lost(self._database.path, _WORST, error) from error
        kept = KeptPosture(_WORST, version, text_of(who), text_of(why), source, utc_now())
        read_back(self._database.path, kept)
        return kept

    def require_restorable(self) -> None:
        """Raise LedgerDamagedError where no restoration can follow: the count of versions was set beyond its end."""
        if self._database.read(last_given) > _MOST_VERSIONS:
            raise LedgerDamagedError(
                f"{self._database.path}: SQLite's count of the versions of the posture was set to a number that no "
                "ledger reaches, so nothing can be kept after it. Nothing runs on this ledger; keep a copy of the "
                "whole folder and restore the last backup"
            )

    def history(self, *, after: int = 0) -> list[KeptPosture]:
        """Return every posture with a later version than `after`, oldest first; LedgerDamagedError for a damaged row.

        Whether signatures hold, and whether a version is missing, is the caller's to check.
        """
        query = f"{SELECT} WHERE version > ? ORDER BY version"
        rows = self._database.read(lambda connection: connection.exec_driver_sql(query, (after,)).all())
        try:
            return [read(tuple(row)) for row in rows]
        except DoubtError as doubt:
            raise self._damaged(doubt) from None

    def restored_after(self, finding: Finding) -> bool:
        """Tell whether an operator has restored the posture after this very finding of this source was kept."""
        if self.judged()[1]:
            return False
        query = select(func.max(postures.c.version)).where(
            postures.c.why == text_of(finding.reason), postures.c.source == text_of(finding.source)
        )
        found = self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return found is not None and found < self._restored

    def last_written(self) -> datetime | None:
        """Return the latest time at which this ledger says that it was written: of its newest posture and record."""
        stored = type_coerce(executions.c.stored, NullType())
        query = select(stored).order_by(executions.c.id.desc()).limit(1)
        found = self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        times = [self.judged()[0].created]
        with suppress(RecordError):  # of a damaged one `hearth fsck` tells; it says nothing of the clock
            times.append(None if found is None else parse_time(found))
        return max((moment for moment in times if moment is not None), default=None)

    def close(self) -> None:
        """Close the connection that looks."""
        self._look.close()

    def _believed(self, rows: list[Row]) -> KeptPosture:
        """Return the posture that the rows since the newest signed one tell; DoubtError where they cannot be right."""
        given, rows = split(rows)
        newest, known = rows[-1][0] if rows else 0, max(given, self._kept.version)
        if newest < known:
            raise DoubtError(
                f"the newest posture is version {newest}, but version {known} was there; rows were removed"
            )
        if not rows:
            return KeptPosture()
        last = read(rows[-1])
        if last.version == self._kept.version and last != self._kept:
            raise DoubtError(f"version {last.version} of the posture is not what it was; the row was changed")
        if last.posture == _WORST:
            return last
        kept, restored = KeptPosture(), 0
        for row in rows:
            after = read(row)
            if after.envelope is not None:
                self._require_vouched(row, after)
                kept, restored = after, after.version
                continue
            if after.version != kept.version + 1:
                raise DoubtError(f"version {kept.version + 1} of the posture is missing")
            require_unsigned(kept, after)
            kept = after
        self._restored = restored
        return kept

    def _require_vouched(self, row: Row, kept: KeptPosture) -> None:
        if row == self._vouched:
            return
        try:
            self._vouch(kept)
        except HearthError as error:
            raise DoubtError(
                f"the signed act that restored the posture in version {kept.version} does not hold ({error})",
                "a key has left the policy since, or this is tampering or a bad disk",
            ) from None
        self._vouched = row

    def _at_worst(self) -> KeptPosture:
        rows, given = self._database.read(
            lambda connection: (
                connection.exec_driver_sql(f"{SELECT} ORDER BY version DESC").all(),
                last_given(connection),
            )
        )
        newest, worst = KeptPosture(_WORST, rows[0][0] if rows else 0), Posture()
        with self._lock:
            if newest.version < max(given, self._kept.version):
                worst = _WORST
            expected: int | None = None
            for row in rows:
                try:
                    kept = read(tuple(row))
                except DoubtError:
                    worst = _WORST
                    break
                if expected is None:
                    newest = kept
                elif kept.version != expected:
                    worst = _WORST
                    break
                expected = kept.version - 1
                for posture in (kept.posture, *([self._kept.posture] if kept.version == self._kept.version else [])):
                    worst = Posture(max(worst.security, posture.security), max(worst.boundary, posture.boundary))
                if kept.envelope is not None and self._holds(tuple(row), kept):
                    break
            else:
                worst = _WORST if expected else worst
        return KeptPosture(worst, max(newest.version, given), newest.who, newest.why, newest.source, newest.created)

    def _holds(self, row: Row, kept: KeptPosture) -> bool:
        try:
            self._require_vouched(row, kept)
        except DoubtError:
            return False
        return True

    def _require_worse(self, row: Row | None, posture: Posture) -> None:
        try:
            before = KeptPosture() if row is None else read(row)
        except DoubtError as doubt:
            raise self._damaged(doubt) from None
        if before.posture.worse_than(posture):
            raise GateRefusedError(
                f"the posture {before.posture} is not restored without an operator's signature; use `hearth restore`"
            )
        if not posture.worse_than(before.posture):
            raise GateRefusedError(f"the posture is {posture} already; only what changes it is kept")

    def _damaged(self, doubt: DoubtError) -> LedgerDamagedError:
        return LedgerDamagedError(
            f"{self._database.path}: {doubt}; {doubt.means}. Nothing runs on this ledger. Keep a copy "
            "of the whole folder, and look at it with `hearth state --history` and `hearth fsck`. An operator who "
            "knows what happened answers for it with `hearth restore --reason TEXT`; else restore the last backup, or "
            "lock the ledger down: `hearth lockdown --reason TEXT`"
        )


def _nobody(kept: KeptPosture) -> None:
    raise GateRefusedError(
        f"nobody has said whose signature counts for version {kept.version} of the posture; open the ledger with "
        "HearthKernel.open"
    )
