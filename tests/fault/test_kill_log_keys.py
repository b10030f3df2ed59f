"""kill -9 in the middle of a change of the log's key: the log, its keys and what is published still hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import NoteKey
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import (
    LogKeys,
    fsck,
    initialise,
    log_init,
    log_status,
    publish_log,
    rotate_log_key,
    verify_log,
)
from tests.fault._victims import GROUNDS
from tests.unit.ledger._records import make_sealed_record

ROOT = Path(__file__).parents[2]
DRIVER = """
import sys
from pathlib import Path
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import log_status, publish_log, revoke_log_key, rotate_log_key
from tests.fault._victims import kill_at_moments

folder = Path(sys.argv[1])

def work(ground):
    home, public = LedgerHome(folder / ground / ".hearth"), folder / ground / "public"
    rotate_log_key(home)
    publish_log(home, public)
    with Ledger.open(home) as ledger:
        ledger.postures.lock_down(who="ann", why="kill -9", source="test")
    publish_log(home, public)
    before = log_status(home)
    rotate_log_key(home)
    revoke_log_key(home, str(before.keys[-1]), before.size)
    publish_log(home, public)

kill_at_moments(work, int(sys.argv[2]), stretch=1.2)
"""


def wrong(public: Path, keys: LogKeys) -> str:
    """Return what is wrong with a published log, "" where it holds."""
    try:
        return "; ".join(verify_log(None, folder=public, keys=keys).report.problems)
    except EvidenceError as error:
        return "is revoked from size" if "is revoked from size" in str(error) else str(error)


def changes_of_keys(tmp_path: Path, moments: int) -> None:
    home = initialise(tmp_path / "template" / ".hearth").home
    with Ledger.open(home) as ledger:
        for number in range(20):
            ledger.store(make_sealed_record(f"run-{number}"))
    first = NoteKey.parse(str(log_init(home).keys[0]))
    publish_log(home, tmp_path / "template" / "public")
    folder = tmp_path / "k"
    for seed in (*range(moments), *GROUNDS):
        shutil.copytree(tmp_path / "template", folder / str(seed))
    driver = [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder), str(moments)]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60 + moments * 5)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    states: Counter[int] = Counter()
    for seed in range(moments):
        home, public = LedgerHome(folder / str(seed) / ".hearth"), folder / str(seed) / "public"
        keys = LogKeys((first,))
        # But for this: a revocation is published before the checkpoint that a key in force signed.
        assert wrong(public, keys) in ("", "is revoked from size"), "what is published holds at each moment"
        assert {one.severity for one in fsck(home).findings} <= {"leftover"}
        publish_log(home, public)
        states[len(log_status(home).keys)] += 1
        assert verify_log(home).ok
        rotate_log_key(home)
        publish_log(home, public)
        report = verify_log(None, folder=public, keys=keys)
        assert report.ok, report.report.problems
        assert report.report.checkpoint.size == log_status(home).size
        assert fsck(home, repair=True).findings == ()
        shutil.rmtree(folder / str(seed))
    assert len(states) > 1, "choose other moments"


def test_killed_changes_of_keys(tmp_path: Path) -> None:
    changes_of_keys(tmp_path, 15)


@pytest.mark.soak
def test_hundreds_of_killed_changes_of_keys(tmp_path: Path) -> None:
    changes_of_keys(tmp_path, 400)
