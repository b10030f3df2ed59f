"""A process that is killed while it writes to the index of the log: no leaf is doubled or lost, and nothing sticks."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Records, fsck, log_init, log_status, log_update, recover, verify_log
from tests.unit.ledger._records import make_sealed_record, store_as_run

if TYPE_CHECKING:
    from pathlib import Path

RUN = """
import sys
from pathlib import Path
from hearth.evidence import LogTeller
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import ExecutionObserver, Journal

home = LedgerHome(Path(sys.argv[1]))
with Ledger.open(home) as ledger, Journal.create(home.journal_path("run")) as journal:
    observer = ExecutionObserver("run", "plan", live_mode="DRY_RUN", ledger_id=ledger.ledger_id, journal=journal)
    journal.sync()
    LogTeller(ledger).opened("run")
    with observer.step(0, "Act"):
        pass
    observer.mark_completed()
    ledger.store(observer.get_execution_record("DRY_RUN"))
    LogTeller(ledger).sealed("run")
home.journal_path("run").unlink()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    home = LedgerHome.create(tmp_path_factory.mktemp("logged") / ".hearth")
    with Ledger.open(home, create=True) as ledger:
        for number in range(40):
            ledger.store(make_sealed_record(f"before-{number}"))
    log_init(home, origin="example.org/killed")
    return home


def copy_of(home: LedgerHome, folder: Path) -> LedgerHome:
    shutil.copytree(home.root, folder / ".hearth")
    return LedgerHome(folder / ".hearth")


def require_whole(home: LedgerHome) -> None:
    """The log goes on and tells of each event once."""
    with Records(home) as records:
        assert all(one.ok for one in recover(records))
    log_update(home)
    store_as_run(home, make_sealed_record("after"))
    report = verify_log(home).report
    assert report.problems == ()
    assert report.waiting == 0
    assert fsck(home).findings == ()


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
@pytest.mark.parametrize("name", ["index.db", "index.db-journal"])
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_killed_at_writes(whole: LedgerHome, tmp_path: Path, name: str, step: int) -> None:
    killed = 0
    while True:
        home = copy_of(whole, tmp_path / str(killed))
        watched = home.root / "transparency" / name
        inject = f"inject=pwrite64:signal=SIGKILL:when={killed + 1}"
        strace = [
            "strace",
            "-f",
            "-o",
            str(tmp_path / "calls"),
            "-P",
            str(watched),
            "-e",
            "trace=pwrite64",
            "-e",
            inject,
        ]
        ended = subprocess.run([*strace, sys.executable, "-c", RUN, str(home.root)], check=False, timeout=60)
        require_whole(home)
        if ended.returncode == 0:
            break
        killed += step
    assert killed


def test_an_index_that_is_damaged_anywhere_is_made_anew(whole: LedgerHome, tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311 - samples
    for number in range(12):
        home = copy_of(whole, tmp_path / str(number))
        path = home.root / "transparency" / "index.db"
        data = bytearray(path.read_bytes())
        place = chance.randrange(len(data))
        if number % 3:
            data[place : place + 64] = chance.randbytes(64)
        else:
            del data[place:]
        path.write_bytes(data)
        before = log_status(home).size
        store_as_run(home, make_sealed_record("after"))
        assert log_status(home).size == before + 2
