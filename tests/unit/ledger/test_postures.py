"""LedgerPostures: one posture for all processes, compare-and-set by rows, and nothing good from bad bytes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hearth.errors import GateRefusedError, LedgerDamagedError, LedgerError, SigningError
from hearth.ledger import Ledger, LedgerPostures
from hearth.ledger._database import Database
from hearth.security import BoundaryState, Finding, KeptPosture, Posture, SecurityState
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome

DEGRADED = Posture(SecurityState.DEGRADED)
LOCKED = Posture(SecurityState.LOCKDOWN)


def worsen(ledger: Ledger, posture: Posture, version: int = 1, why: str = "a test") -> bool:
    return ledger.postures.compare_and_set(version - 1, KeptPosture(posture, version, "Ada", why, "test"))


def vouch(kept: KeptPosture) -> None:
    """Vouch for one envelope: what signatures are is the business of `security`, and of tests above."""
    if kept.envelope != b"signed":
        raise SigningError("nobody signed that")


def restore(ledger: Ledger, version: int, posture: Posture = Posture()) -> bool:  # noqa: B008 - frozen
    ledger.postures.believe(vouch)
    return ledger.postures.compare_and_set(
        version - 1, KeptPosture(posture, version, "Ada", "well", "operator", None, b"signed")
    )


def forge(home: LedgerHome, version: int, posture: Posture = Posture(), envelope: bytes | None = None) -> None:  # noqa: B008 - frozen
    execute(
        home,
        "INSERT INTO postures VALUES (?, ?, ?, 'x', 'x', 'operator', '2025-09-01T12:00:00.000000Z', ?)",
        version,
        str(posture.security),
        str(posture.boundary),
        envelope,
    )


def execute(home: LedgerHome, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(statement, values)


def test_a_new_ledger_is_well(ledger: Ledger) -> None:
    assert ledger.postures.load() == KeptPosture()
    assert ledger.postures.history() == []
    assert ledger.postures.last_written() is None


def test_a_change_is_seen_by_every_other_opening(ledger: Ledger, home: LedgerHome) -> None:
    with Ledger.open(home) as other:
        assert other.postures.load().version == 0
        assert worsen(ledger, LOCKED)
        kept = other.postures.load()
    assert (kept.posture, kept.version, kept.who, kept.why, kept.source) == (LOCKED, 1, "Ada", "a test", "test")
    assert kept.created is not None
    assert abs((kept.created - datetime.now(UTC)).total_seconds()) < 60
    with Ledger.open(home) as later:
        assert later.postures.load() == kept


def test_what_was_decided_on_an_older_version_is_refused(ledger: Ledger) -> None:
    assert worsen(ledger, DEGRADED)
    assert not worsen(ledger, LOCKED)
    assert ledger.postures.load().posture == DEGRADED
    assert worsen(ledger, LOCKED, 2)
    with pytest.raises(GateRefusedError, match="version 7 of the posture does not follow version 2"):
        ledger.postures.compare_and_set(2, KeptPosture(LOCKED, 7))


def test_a_better_posture_needs_a_signature(ledger: Ledger) -> None:
    worsen(ledger, LOCKED)
    with pytest.raises(GateRefusedError, match="without an operator's signature"):
        worsen(ledger, DEGRADED, 2)
    with pytest.raises(GateRefusedError, match="nobody has said whose signature counts"):
        ledger.postures.compare_and_set(1, KeptPosture(Posture(), 2, "Ada", "well", "operator", None, b"signed"))
    assert restore(ledger, 2)
    assert ledger.postures.load().envelope == b"signed"
    with pytest.raises(SigningError):
        ledger.postures.compare_and_set(2, KeptPosture(Posture(), 3, "Ada", "well", "operator", None, b"else"))


def test_what_changes_nothing_is_not_kept(ledger: Ledger) -> None:
    with pytest.raises(GateRefusedError, match="OPERATIONAL/NOMINAL already"):
        worsen(ledger, Posture())
    worsen(ledger, LOCKED)
    with pytest.raises(GateRefusedError, match="LOCKDOWN/NOMINAL already"):
        worsen(ledger, LOCKED, 2)


def test_a_signature_is_verified_once_and_anew_on_demand(ledger: Ledger, home: LedgerHome) -> None:
    asked: list[int] = []
    trusted = [True]

    def counting(kept: KeptPosture) -> None:
        asked.append(kept.version)
        if not trusted[0]:
            raise SigningError("the key has left")

    worsen(ledger, LOCKED)
    assert restore(ledger, 2)
    ledger.postures.believe(counting)
    for _ in range(3):
        assert ledger.postures.load().version == 2
        execute(home, "INSERT INTO refusals (created, plan_digest, code, who) VALUES ('', '', '', '')")
    worsen(ledger, DEGRADED, 3)
    assert ledger.postures.load().posture == DEGRADED
    assert asked == [2]
    trusted[0] = False
    assert ledger.postures.load().posture == DEGRADED
    ledger.postures.verify_anew()
    with pytest.raises(LedgerDamagedError, match=r"the key has left\); a key has left the policy since, or"):
        ledger.postures.load()
    assert ledger.postures.judged()[0].posture == LOCKED, "nothing vouches for what came after the lockdown"


@pytest.mark.parametrize(
    "rows, worst",
    [
        ([(2, Posture(), b"\0")], LOCKED),
        ([(2, Posture(), b"")], LOCKED),
        ([(2, Posture(), None)], LOCKED),
        ([(2, Posture(), None), (3, Posture(), None)], LOCKED),
        ([(2, Posture(), b"\0"), (3, Posture(), None)], LOCKED),
        ([(2, Posture(), b"\0"), (3, DEGRADED, None)], LOCKED),
        ([(2, Posture(SecurityState.DEGRADED, BoundaryState.ELEVATED), None)], None),
        ([(2, LOCKED, None)], LOCKED),
        ([(2, LOCKED, b"\0")], LOCKED),
        (
            [(3, Posture(boundary=BoundaryState.LOCKDOWN), None)],
            Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN),
        ),
        ([(0, Posture(), None)], Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)),
        ([(-7, Posture(), None)], Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)),
    ],
)
@pytest.mark.parametrize("earlier", [0, 2])
def test_what_nobody_signed_betters_nothing(
    ledger: Ledger, home: LedgerHome, rows: list[tuple[int, Posture, bytes | None]], worst: Posture | None, earlier: int
) -> None:
    """Also behind a restoration that holds; and an operator answers for it by another one."""
    ledger.postures.believe(vouch)
    if earlier:
        worsen(ledger, Posture(SecurityState.COMPROMISED))
        restore(ledger, earlier)
    worsen(ledger, LOCKED, earlier + 1)
    for version, posture, envelope in rows:
        if earlier and version < 1:
            pytest.skip("it is answered for")
        forge(home, version + earlier if version > 1 else version, posture, envelope)
    with Ledger.open(home) as other:
        other.postures.believe(vouch)
        for one in (ledger, other):
            with pytest.raises(LedgerDamagedError, match=r"hearth restore --reason TEXT"):
                one.postures.load()
            kept, doubt = one.postures.judged()
            assert doubt
            assert kept.posture == (worst or Posture(SecurityState.LOCKDOWN, BoundaryState.ELEVATED))
        assert restore(other, kept.version + 1, DEGRADED)
        assert ledger.postures.load().posture == other.postures.load().posture == DEGRADED


def test_a_text_that_is_not_utf_8_is_doubt_that_an_operator_can_answer_for(ledger: Ledger, home: LedgerHome) -> None:
    worsen(ledger, DEGRADED)
    execute(home, "UPDATE postures SET why = CAST(x'ff' AS TEXT)")
    kept, doubt = ledger.postures.judged()
    assert (str(kept.posture), kept.version) == ("LOCKDOWN/LOCKDOWN", 1)
    assert "version 1 of the posture is not readable" in doubt
    assert restore(ledger, 2)
    assert ledger.postures.load().posture == Posture()
    with pytest.raises(LedgerDamagedError, match="version 1 of the posture is not readable"):
        ledger.postures.history()


def test_a_row_that_this_process_saw_and_is_another_now_is_doubt(ledger: Ledger, home: LedgerHome) -> None:
    worsen(ledger, LOCKED)
    ledger.postures.load()
    execute(home, "UPDATE postures SET security = 'DEGRADED'")
    with pytest.raises(LedgerDamagedError, match="the row was changed"):
        ledger.postures.load()
    assert ledger.postures.judged()[0].posture == LOCKED
    execute(home, "UPDATE postures SET security = 'OPERATIONAL'")
    with Ledger.open(home) as other, pytest.raises(LedgerDamagedError, match="changes nothing, and no operator"):
        other.postures.load()


def test_rows_that_this_process_saw_and_are_gone_may_have_been_a_lockdown(ledger: Ledger, home: LedgerHome) -> None:
    worsen(ledger, DEGRADED)
    ledger.postures.load()
    execute(home, "DELETE FROM postures")
    assert [str(ledger.postures.judged()[0].posture), ledger.postures.judged()[0].version] == ["LOCKDOWN/LOCKDOWN", 1]


def test_rows_that_are_cut_off_are_missed_by_whoever_looks(ledger: Ledger, home: LedgerHome) -> None:
    worsen(ledger, DEGRADED)
    worsen(ledger, LOCKED, 2)
    execute(home, "DELETE FROM postures WHERE version = 2")
    with Ledger.open(home) as other:
        with pytest.raises(LedgerDamagedError, match=r"newest posture is version 1, but version 2 was there"):
            other.postures.load()
        kept, doubt = other.postures.judged()
        assert (str(kept.posture), kept.version, bool(doubt)) == ("LOCKDOWN/LOCKDOWN", 2, True)
    execute(home, "DELETE FROM postures")
    gone = "newest posture is version 0, but version 2 was there"
    with Ledger.open(home) as other, pytest.raises(LedgerDamagedError, match=gone):
        other.postures.load()
    restore(ledger, 3)  # an operator answers for it, behind the versions that are gone
    with Ledger.open(home) as other:
        other.postures.believe(lambda _: None)
        assert other.postures.load().version == 3


def test_the_history_has_every_change(ledger: Ledger) -> None:
    worsen(ledger, DEGRADED, why="one")
    worsen(ledger, LOCKED, 2, why="two \ud800")
    assert [(kept.version, kept.why) for kept in ledger.postures.history()] == [(1, "one"), (2, "two \\ud800")]
    assert [kept.version for kept in ledger.postures.history(after=1)] == [2]


def test_a_lasting_finding_is_known_once_an_operator_restored(ledger: Ledger) -> None:
    finding = Finding(security=SecurityState.DEGRADED, reason="a bad row", source="verify", lasting=True)
    postures = ledger.postures
    assert not postures.restored_after(finding)
    postures.compare_and_set(0, KeptPosture(DEGRADED, 1, "", "a bad row", "verify"))
    assert not postures.restored_after(finding)
    restore(ledger, 2)
    assert postures.restored_after(finding)
    postures.compare_and_set(2, KeptPosture(DEGRADED, 3, "", "a bad row", "verify"))
    assert not postures.restored_after(finding)


def test_the_ledger_says_when_it_was_last_written(ledger: Ledger) -> None:
    ledger.store(make_sealed_record())
    stored = ledger.postures.last_written()
    assert stored is not None
    future = datetime(2999, 1, 1, tzinfo=UTC)
    ledger.postures.compare_and_set(0, KeptPosture(DEGRADED, 1, "", "x", "y", future))
    assert ledger.postures.last_written() == future


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE postures SET security = 'SUNNY'",
        "UPDATE postures SET boundary = x'00ff'",
        "UPDATE postures SET security = CAST(x'ff' AS TEXT)",
        "UPDATE postures SET created = 'yesterday'",
        "UPDATE postures SET why = 7.5 || x'fe'",
        "UPDATE postures SET envelope = 'text'",
        "UPDATE postures SET version = 5 WHERE version = 2",
        "DELETE FROM postures",
        "DELETE FROM postures WHERE version = 1",
        "INSERT INTO postures VALUES (3, 'OPERATIONAL', 'NOMINAL', '', '', '', '2025-09-01T12:00:00.000000Z', NULL)",
    ],
)
def test_damage_is_never_a_good_posture(ledger: Ledger, home: LedgerHome, change: str) -> None:
    worsen(ledger, DEGRADED)
    worsen(ledger, Posture(SecurityState.COMPROMISED), 2)
    ledger.postures.load()
    execute(home, change)
    with pytest.raises(LedgerError, match=r"tampering or a bad disk|UTF-8"):
        ledger.postures.load()


def test_a_lockdown_needs_no_readable_history(ledger: Ledger, home: LedgerHome) -> None:
    worsen(ledger, DEGRADED)
    execute(home, "UPDATE postures SET security = 'SUNNY'")
    with pytest.raises(LedgerError):
        worsen(ledger, LOCKED, 2)
    ledger.postures.lock_down(who="Ada", why="in doubt", source="lockdown")
    assert ledger.postures.load().posture == Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)


def test_a_file_that_was_replaced_or_overwritten_is_noticed(ledger: Ledger, home: LedgerHome) -> None:
    ledger.postures.load()
    kept = home.database.read_bytes()
    home.database.write_bytes(b"garbage " * 4096)
    with pytest.raises(LedgerError, match="damaged"):
        ledger.postures.load()
    home.database.rename(home.root / "aside")
    with pytest.raises(LedgerError, match="not there any more"):
        ledger.postures.load()
    home.database.write_bytes(kept)
    with pytest.raises(LedgerError, match="moved, deleted or replaced"):
        ledger.postures.load()


def test_a_busy_database_is_waited_for_only_so_long(ledger: Ledger, home: LedgerHome) -> None:
    database = Database(home.database)
    postures = LedgerPostures(database, grace=0.05)
    with closing(sqlite3.connect(home.database, isolation_level=None)) as holder:
        ledger.close()
        holder.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("INSERT INTO refusals (created, plan_digest, code, who) VALUES ('', '', '', '')")
        with pytest.raises(LedgerError, match=r"busy for 0\.05 s"):
            postures.load()
        holder.execute("ROLLBACK")
        holder.execute("PRAGMA locking_mode = NORMAL").fetchall()
        holder.execute("SELECT count(*) FROM refusals").fetchall()
    assert postures.load().version == 0
    postures.close()
    database.close()


def test_of_threads_that_race_for_a_version_one_wins(ledger: Ledger) -> None:
    start, won = threading.Barrier(16), []

    def race() -> None:
        start.wait()
        won.append(worsen(ledger, LOCKED))
        assert ledger.postures.load().version == 1

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 15 + [True]


RACER = """
import sys
from hearth.ledger import Ledger, LedgerHome
from hearth.security import KeptPosture, Posture, SecurityState
with Ledger.open(LedgerHome(sys.argv[1])) as ledger:
    ledger.postures.believe(lambda kept: None)
    for _ in range(5):
        while True:
            kept = ledger.postures.load()
            well = kept.posture == Posture()
            posture, envelope = (Posture(SecurityState.DEGRADED), None) if well else (Posture(), b"signed")
            new = KeptPosture(posture, kept.version + 1, sys.argv[2], envelope=envelope)
            if ledger.postures.compare_and_set(kept.version, new):
                break
"""


def test_no_change_of_processes_that_race_is_lost(ledger: Ledger, home: LedgerHome) -> None:
    racers = [subprocess.Popen([sys.executable, "-c", RACER, str(home.root), str(number)]) for number in range(4)]
    assert [racer.wait(60) for racer in racers] == [0] * 4
    history = ledger.postures.history()
    assert [kept.version for kept in history] == list(range(1, 21))
    assert sorted(kept.who for kept in history) == sorted(str(number) for number in range(4) for _ in range(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_looks_with_a_connection_of_its_own(ledger: Ledger, home: LedgerHome) -> None:
    ledger.postures.load()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if ledger.postures.load().version == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worsen(ledger, LOCKED)
    assert ledger.postures.load().posture == LOCKED
