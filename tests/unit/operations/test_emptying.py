"""Bytes of what was erased leave the database's files: at once, or by fsck where a crash or a reader kept that off."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError
from hearth.ledger import Ledger, LedgerHome
from hearth.ledger._retention import LedgerRetention
from hearth.operations import back_up, fsck, initialise, purge, redact, restore_backup
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "Wendeltreppe-41"
PATHS = ("/details/customer",)


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    """A ledger with values of customers beside its records, and rows of others around them."""
    made = initialise(tmp_path / ".hearth").home
    with Ledger.open(made) as ledger:
        for number in range(12):
            observer = ExecutionObserver(f"run-{number}", "p", redactor=Redactor(disclosable=("customer",)))
            for step in range(8):
                observer.record_step_started(step, "Ask", {"customer": f"{SECRET} {number} {step} " + "x" * 300})
                observer.record_step_completed(step, "Ask")
            observer.mark_completed()
            ledger.store(observer.get_execution_record("DRY_RUN").with_disclosures(observer.disclosures))
    return made


def readable(home: LedgerHome, what: str) -> list[str]:
    """Return the names of the ledger's files in which the bytes of a text stand."""
    return [str(path) for path in home.root.rglob("*") if path.is_file() and what.encode() in path.read_bytes()]


def killed(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Do something whose process dies when all is committed, and before the database is written anew."""

    def die(_: LedgerRetention) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LedgerRetention, "empty", die)
        with pytest.raises(KeyboardInterrupt):
            work()


def erase(home: LedgerHome, number: int = 3) -> object:
    return redact(home, f"run-{number}", PATHS, reason="they asked")


def remove(home: LedgerHome, name: str) -> object:
    return purge(home, executions=[name], reason="now", now=datetime.now(UTC) + timedelta(days=365))


def test_what_a_dead_process_erased_is_named_and_goes_by_fsck(
    home: LedgerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(monkeypatch, lambda: erase(home))
    (finding,) = fsck(home).findings
    assert finding.kind == "erased"
    assert "bytes may still be in the database's files" in finding.what
    with pytest.raises(LedgerError, match=r"erased already, and bytes of it may be .* until `hearth fsck --repair`"):
        erase(home)
    report = fsck(home, repair=True)
    assert report.findings == ()
    assert [one.kind for one in report.repaired] == ["erased"]
    assert readable(home, f"{SECRET} 3 ") == []
    assert readable(home, f"{SECRET} 4 ")
    with pytest.raises(LedgerError, match=r"erased already$"):
        erase(home)


def test_the_next_erasure_or_purge_takes_it_along(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(monkeypatch, lambda: erase(home, 3))
    erase(home, 4)
    assert readable(home, f"{SECRET} 3 ") == []
    assert fsck(home).findings == ()
    killed(monkeypatch, lambda: remove(home, "run-5"))
    assert {one.kind for one in fsck(home).findings} == {"erased"}
    remove(home, "run-6")
    assert readable(home, f"{SECRET} 5 ") == []
    assert fsck(home).findings == ()


def test_a_backup_never_holds_it(home: LedgerHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Free pages are overwritten when rows go; bytes that SQLite left in them are what a copy would take along.
    killed(monkeypatch, lambda: erase(home))
    with closing(sqlite3.connect(home.database)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE left_behind (text)")
        database.executemany("INSERT INTO left_behind VALUES (?)", [(f"{SECRET} 3 {number}",) for number in range(500)])
        database.execute("DROP TABLE left_behind")
        database.commit()
    assert readable(home, f"{SECRET} 3 ")
    back_up(home, tmp_path / "backup.tar")
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert archive.getmember("ledger.db")
    assert f"{SECRET} 3 ".encode() not in (tmp_path / "backup.tar").read_bytes()
    assert f"{SECRET} 4 ".encode() in (tmp_path / "backup.tar").read_bytes()
    assert restore_backup(tmp_path / "backup.tar", tmp_path / "restored").report.findings == ()


def test_a_reader_keeps_it_off_and_that_is_said(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth.ledger import _retention
    from hearth.operations._fsck import _database

    monkeypatch.setattr(_retention, "_CHECKPOINT_SECONDS", 0.1)
    monkeypatch.setattr(_database, "_WAIT_SECONDS", 0.1)
    with closing(sqlite3.connect(home.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM executions").fetchone()
        done = redact(home, "run-3", PATHS, reason="they asked")
        assert not done.emptied
        report = fsck(home, repair=True)
        assert [one.kind for one in report.findings] == ["erased"]
        assert any("somebody reads in it" in note or "locked" in note for note in report.notes), report.notes
    assert fsck(home, repair=True).findings == ()
    assert readable(home, f"{SECRET} 3 ") == []


def test_what_was_refused_leaves_nothing_to_do(home: LedgerHome) -> None:
    with Ledger.open(home) as ledger:
        ledger.retention.hold("execution", "run-3", who="ann", why="an audit")
    with pytest.raises(LedgerError, match="on hold"):
        erase(home)
    assert fsck(home).findings == ()
    assert readable(home, f"{SECRET} 3 ")


def test_without_room_to_write_it_anew_what_was_erased_is_erased(
    home: LedgerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: LedgerRetention) -> bool:
        raise LedgerError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerRetention, "empty", full)
        done = redact(home, "run-3", PATHS, reason="they asked")
    assert done.erasure is not None
    assert not done.emptied
    assert [one.kind for one in fsck(home).findings] == ["erased"]
    assert fsck(home, repair=True).findings == ()
