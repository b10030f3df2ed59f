"""kill -9 in the middle of a change of the log's key: the log, its keys and what is published still hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

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
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from pathlib import Path

# One process loads everything once and forks a victim for each moment.
DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import log_status, publish_log, revoke_log_key, rotate_log_key

folder, seeds = Path(sys.argv[1]), range(int(sys.argv[2]))

def victim(name):
    home, public = LedgerHome(folder / name / ".hearth"), folder / name / "public"
    rotate_log_key(home)
    publish_log(home, public)
    with Ledger.open(home) as ledger:
        ledger.postures.lock_down(who="ann", why="kill -9", source="test")
    publish_log(home, public)
    before = log_status(home)
    rotate_log_key(home)
    revoke_log_key(home, str(before.keys[-1]), before.size)
    publish_log(home, public)

victim("whole")
started = time.monotonic()
victim("measured")
longest = (time.monotonic() - started) * 1.2

for seed in seeds:
    begun, ready = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(ready, b"!")
            victim(str(seed))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(0)
    os.close(ready)
    os.read(begun, 1)
    os.close(begun)
    time.sleep(random.Random(seed).uniform(0.0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
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
    for seed in (*range(moments), "whole", "measured"):
        shutil.copytree(tmp_path / "template", folder / str(seed))
    driver = [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder), str(moments)]
    done = subprocess.run(driver, capture_output=True, text=True, check=False, timeout=60 + moments * 5)
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
