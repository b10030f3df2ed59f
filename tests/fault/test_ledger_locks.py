"""What a process does beside an open ledger never lets go of that ledger's locks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Records, fsck, initialise, log_init, publish_log, verify_log
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHER = """
import sys
from pathlib import Path
from hearth.ledger import Ledger, LedgerHome
from tests.unit.ledger._records import make_sealed_record
with Ledger.open(LedgerHome(Path(sys.argv[1]))) as ledger:
    ledger.store(make_sealed_record(sys.argv[2]))
"""


def read_all(home: LedgerHome) -> None:
    with Records(home) as records:
        assert [records.find(name) for name in records.ids("")]


def open_and_close(home: LedgerHome) -> None:
    Ledger.open(home).close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks, which closing any descriptor drops (fcntl(2))")
@pytest.mark.parametrize(
    "beside",
    [
        lambda home: Ledger.open(home).close(),
        read_all,
        fsck,
        verify_log,
        lambda home: publish_log(home, home.root.parent / "public"),
    ],
    ids=["open", "records", "fsck", "log verify", "publish"],
)
def test_another_process_that_closes_the_ledger_leaves_the_log_to_who_has_it_open(
    tmp_path: Path, beside: Callable[[LedgerHome], object]
) -> None:
    """The last one who closes a database removes its write-ahead log; who has lost its locks does not count."""
    home = initialise(tmp_path / ".hearth").home
    log_init(home)
    with Ledger.open(home) as ledger:
        ledger.store(make_sealed_record("one"))
        beside(home)
        subprocess.run([sys.executable, "-c", OTHER, str(home.root), "two"], check=True)
        assert (home.root / "ledger.db-wal").exists()
        ledger.store(make_sealed_record("three"))
    with Ledger.open(home) as ledger:
        assert [ledger.get(name).execution_id for name in ("one", "two", "three")] == ["one", "two", "three"]
