"""A disk that is full, cannot be written, holds locks or has lost bits: only errors of the house come out."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import HearthError, LedgerError
from hearth.ledger import Ledger, LedgerHome, _database
from hearth.recorder import ExecutionObserver

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from hearth.record import ExecutionRecord

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and limits are POSIX's")

FULL = """
import resource, sys
from hearth.errors import LedgerError
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import ExecutionObserver

def record(execution_id, size):
    observer = ExecutionObserver(execution_id, "plan")
    for step in range(size):
        observer.record_step_started(step, "step " + "word " * 200)
    observer.mark_completed()
    return observer.get_execution_record("LIVE")

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

home = LedgerHome(sys.argv[1])
limit(4096)
try:
    Ledger.open(home, create=True)
except LedgerError as error:
    print("create:", error)
print(sorted(path.name for path in home.root.iterdir() if path.is_file()))
limit(-1)
with Ledger.open(home, create=True) as ledger:
    ledger.store(record("first", 3))
    limit(200_000)
    try:
        ledger.store(record("large", 500))
    except LedgerError as error:
        print("store:", error)
    print([summary.execution_id for summary in ledger.list()], bool(ledger.get("first").verify()))
    limit(-1)
    print(ledger.store(record("large", 500)), ledger.count())
"""

READ_ONLY = """
import sys
from hearth.errors import LedgerError
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import ExecutionObserver

observer = ExecutionObserver("run-2", "plan")
observer.mark_completed()
try:
    with Ledger.open(LedgerHome(sys.argv[1])) as ledger:
        ledger.store(observer.get_execution_record("LIVE"))
except LedgerError as error:
    print(error)
"""


def record(execution_id: str) -> ExecutionRecord:
    observer = ExecutionObserver(execution_id, "plan")
    observer.record_step_started(0, "step")
    observer.record_step_failed(0, "step", "no luck")
    observer.mark_failed()
    return observer.get_execution_record("LIVE")


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    home = LedgerHome.create(tmp_path / ".hearth")
    with Ledger.open(home, create=True) as ledger:
        for number in range(5):
            ledger.store(record(f"run-{number}"))
    return home


@posix_only
def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    home = LedgerHome.create(tmp_path / ".hearth")
    run = subprocess.run([sys.executable, "-c", FULL, str(home.root)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    created, left, stored, listed, again = run.stdout.splitlines()
    assert created.startswith("create:")
    assert "ree space" in created
    assert left == "[]"
    assert stored.startswith("store:")
    assert "Check free space" in stored
    assert listed == "['first'] True"
    assert again == "True 2"


def test_a_database_that_may_not_grow(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "_SETTINGS", (*_database._SETTINGS, "PRAGMA max_page_count = 20"))

    def fill() -> None:
        for number in range(5, 200):
            ledger.store(record(f"run-{number}"))

    with Ledger.open(home) as ledger, pytest.raises(LedgerError, match=r"disk is full.*nothing was stored\. Free some"):
        fill()
    monkeypatch.undo()
    with Ledger.open(home) as ledger:
        names = list(ledger.iterate_ids())
        assert names == [f"run-{number}" for number in range(len(names))]
        assert all(ledger.get(name).verify() for name in names)


@posix_only
def test_a_folder_that_cannot_be_written(home: LedgerHome) -> None:
    # Root passes every check of modes, unless it gives that capability up.
    powerless = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root without setpriv cannot give up its capabilities")
        powerless = [setpriv, "--bounding-set=-all", "--inh-caps=-all"]
    content = home.database.read_bytes()
    home.database.chmod(0o400)
    home.root.chmod(0o500)
    try:
        run = subprocess.run(
            [*powerless, sys.executable, "-c", READ_ONLY, str(home.root)], capture_output=True, text=True, check=False
        )
    finally:
        home.root.chmod(0o700)
    assert (run.returncode, run.stderr) == (0, "")
    assert "ledger.db: " in run.stdout
    assert "Check" in run.stdout
    assert home.database.read_bytes() == content


def test_a_lock_that_is_held_for_too_long(home: LedgerHome) -> None:
    holder = sqlite3.connect(home.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Ledger.open(home, busy_seconds=0.3) as ledger:
        assert ledger.count() == 5
        with pytest.raises(LedgerError, match=r"busy for 0\.3 s; nothing was changed.*try again") as caught:
            ledger.store(record("run-5"))
        assert "locked" not in str(caught.value)
        holder.execute("ROLLBACK")
        assert ledger.store(record("run-5"))
    holder.close()


def test_a_lock_that_is_released_in_time(home: LedgerHome) -> None:
    holder = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: holder.execute("ROLLBACK"))
    with Ledger.open(home) as ledger:
        release.start()
        assert ledger.store(record("run-5"))
    release.join()
    holder.close()


def test_a_lock_on_everything_is_waited_for_by_readers_too(home: LedgerHome) -> None:
    holder = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match=r"busy for 0\.2 s"):
        Ledger.open(home, busy_seconds=0.2)
    release = threading.Timer(0.2, holder.close)
    release.start()
    with Ledger.open(home) as ledger:
        assert ledger.count() == 5
    release.join()


def test_a_database_that_is_deleted_or_replaced_while_open(home: LedgerHome, tmp_path: Path) -> None:
    other = LedgerHome.create(tmp_path / "other")
    Ledger.open(other, create=True).close()
    with Ledger.open(home) as ledger:
        home.database.rename(home.root / "moved.db")
        with pytest.raises(LedgerError, match="moved, deleted or replaced while it was open"):
            ledger.store(record("run-5"))
        shutil.copy(other.database, home.database)
        with pytest.raises(LedgerError, match="moved, deleted or replaced while it was open"):
            ledger.store(record("run-5"))
        with pytest.raises(LedgerError, match="moved, deleted or replaced while it was open"):
            ledger.count()


def test_a_database_that_is_replaced_during_a_write_acknowledges_nothing(home: LedgerHome) -> None:
    with Ledger.open(home) as ledger:

        def replace_it(connection: Connection) -> None:
            connection.exec_driver_sql("DELETE FROM executions")
            home.database.rename(home.root / "moved.db")

        with pytest.raises(LedgerError, match="may be lost"):
            ledger._database.write(replace_it)


def test_connecting_never_makes_a_file(tmp_path: Path) -> None:
    database = _database.Database(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match=r"cannot be opened.*Check that it is there"):
        database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    database.close()
    assert not (tmp_path / "ledger.db").exists()


def test_threads_share_one_ledger(home: LedgerHome) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(15):
                assert ledger.store(record(f"{name}-{number}"))
                assert ledger.get(f"{name}-{number}").verify()
        except BaseException as error:  # noqa: BLE001 - for the main thread to show
            failures.append(error)

    with Ledger.open(home) as ledger:
        threads = [threading.Thread(target=work, args=(f"thread{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert ledger.count() == 5 + 8 * 15


def read_everything(home: LedgerHome) -> None:
    with Ledger.open(home, busy_seconds=0.2) as ledger:
        for summary in ledger.list(text="no luck", status="failed", plan="p*"):
            summary.to_dict()
        ledger.count(text="step")
        for name in ledger.iterate_ids():
            ledger.get(ledger.find_id(name)).verify()
            ledger.disclosures(name)
        ledger.store(record("another"))


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_give_errors_of_the_house_only(home: LedgerHome, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    whole = home.database.read_bytes()
    for _ in range(12):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3, 50])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        for path in home.root.glob("ledger.db*"):
            path.unlink()
        home.database.write_bytes(damaged)
        try:
            read_everything(home)
        except HearthError as error:
            assert str(error)  # noqa: PT017 - whichever error it is, it says something
