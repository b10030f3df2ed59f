"""kill -9 in a purge, an erasure, a backup or a restore: each ends with fsck, and what was promised is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from hearth.ledger import Ledger, LedgerHome
from hearth.operations import back_up, fsck, initialise, log_init, purge, redact, restore_backup, verify_log
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver
from tests.fault._victims import GROUNDS
from tests.unit.ledger._records import make_sealed_record

ROOT = Path(__file__).parents[2]
RECORDS = 10
MANY = 100
DRIVER = """
import sys
from datetime import timedelta
from pathlib import Path
import sqlalchemy.dialects.sqlite, sqlalchemy.connectors.asyncio
from hearth.ledger import LedgerHome
from hearth.operations import back_up, purge, redact, restore_backup
from tests.fault._victims import kill_at_moments

what, folder = sys.argv[1], Path(sys.argv[2])

def work(ground):
    home = LedgerHome(folder / ground / ".hearth")
    if what == "purge":
        purge(home, older_than=timedelta(seconds=1), reason="kill -9")
    elif what == "redact":
        redact(home, "told", ["/details/customer"], reason="kill -9")
    elif what == "backup":
        back_up(home, folder / ground / "backup.tar")
    else:
        restore_backup(folder / "backup.tar", folder / ground / "restored")

kill_at_moments(work, int(sys.argv[3]), stretch=1.75)
"""


@pytest.fixture
def template(tmp_path: Path) -> LedgerHome:
    """A ledger with outputs and plans that its records, and only they, refer to."""
    from hearth.execution import ContentStore

    home = initialise(tmp_path / "template" / ".hearth").home
    home.policy.write_text("retention: {minimum_age: 1s}\n", encoding="utf-8")
    store = ContentStore(home.outputs)
    with Ledger.open(home) as ledger:
        for number in range(RECORDS):
            digest = store.put(f"output {number}\n".encode() * 200)
            ledger.store(make_sealed_record(f"run-{number}", effect=f"wrote {digest}", error="x" * 5000))
    return home


def kill(what: str, folder: Path, moments: int) -> None:
    driver = [sys.executable, "-W", "ignore", "-c", DRIVER, what, str(folder), str(moments)]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60 + moments * 5)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr


def spread(different: int, moments: int) -> None:
    """Under load a few moments may all be early, or all be late; many may not."""
    assert moments < MANY or 0 < different < moments, f"{different} of {moments}: choose other moments"


def purges(template: LedgerHome, folder: Path, moments: int) -> None:
    for seed in (*range(moments), *GROUNDS):
        shutil.copytree(template.root, folder / str(seed) / ".hearth")
    kill("purge", folder, moments)
    states = set()
    for seed in range(moments):
        home = LedgerHome(folder / str(seed) / ".hearth")
        report = fsck(home)
        assert report.ok, report.findings
        assert {finding.kind for finding in report.findings} <= {"orphan", "leftover", "erased"}
        with Ledger.open(home) as ledger:
            left, gone = set(ledger.iterate_ids()), {one["execution_id"] for one in ledger.retention.tombstones()}
        assert not left & gone
        assert left | gone == {f"run-{number}" for number in range(RECORDS)}, "a record went without a tombstone"
        fsck(home, repair=True)
        assert fsck(home).findings == ()
        assert len([path for path in home.outputs.glob("??/*") if path.is_file()]) == len(left)
        states.add(len(gone))
        again = purge(home, older_than=timedelta(seconds=1), reason="the same again comes to its end")
        assert {record.outcome for record in again.records} <= {"purged"}
        assert fsck(home).findings == ()
        shutil.rmtree(folder / str(seed))
    spread(len(states), moments * 2)


CUSTOMER = "Wendeltreppe-41"


def disclosing(home: LedgerHome) -> None:
    """Have a ledger keep a log, and values beside a record, with others around them."""
    for name, value in (("told", CUSTOMER), ("other", "Hauptplatz-3")):
        observer = ExecutionObserver(name, "p", redactor=Redactor(disclosable=("customer",)))
        for step in range(20):
            observer.record_step_started(step, "Ask", {"customer": f"{value} {step} " + "x" * 200})
            observer.record_step_completed(step, "Ask")
        observer.mark_completed()
        with Ledger.open(home) as ledger:
            ledger.store(observer.get_execution_record("DRY_RUN").with_disclosures(observer.disclosures))
    log_init(home)


def erasures(template: LedgerHome, folder: Path, moments: int) -> None:
    disclosing(template)
    for seed in (*range(moments), *GROUNDS):
        shutil.copytree(template.root, folder / str(seed) / ".hearth")
    kill("redact", folder, moments)
    erased = 0
    for seed in range(moments):
        home = LedgerHome(folder / str(seed) / ".hearth")
        report = fsck(home)
        assert {finding.kind for finding in report.findings} <= {"erased", "log", "leftover"}, report.findings
        with Ledger.open(home) as ledger:
            left, said = ledger.disclosures("told"), ledger.erasures.of("told")
        assert (len(left), len(said)) in {(20, 0), (0, 1)}, "a value went without a word, or a word came without it"
        if said:
            erased += 1
        else:
            redact(home, "told", ["/details/customer"], reason="the same again comes to its end")
        fsck(home, repair=True)
        verdict = verify_log(home)
        assert verdict.ok, verdict.report.problems
        assert fsck(home).findings == ()
        held = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
        assert CUSTOMER.encode() not in held
        assert held.count(b"Hauptplatz-3") == 20
        shutil.rmtree(folder / str(seed))
    spread(erased, moments)


def backups(template: LedgerHome, folder: Path, moments: int) -> None:
    for seed in (*range(moments), *GROUNDS):
        (folder / str(seed)).mkdir(parents=True)
        (folder / str(seed) / ".hearth").symlink_to(template.root)
    kill("backup", folder, moments)
    there = 0
    for seed in range(moments):
        place = folder / str(seed)
        path = place / "backup.tar"
        if path.exists():
            there += 1
            assert restore_backup(path, place / "restored").report.findings == ()
        assert all(one.name.startswith(".") for one in place.iterdir() if one.name not in {"backup.tar", "restored"})
    spread(there, moments)
    assert fsck(template).findings == ()


def restores(template: LedgerHome, folder: Path, moments: int) -> None:
    back_up(template, folder / "backup.tar")
    for seed in (*range(moments), *GROUNDS):
        (folder / str(seed)).mkdir()
    kill("restore", folder, moments)
    there = 0
    for seed in range(moments):
        target = folder / str(seed) / "restored"
        if target.exists():
            there += 1
            assert fsck(target).findings == (), "a folder with this name is a whole ledger"
        else:
            assert restore_backup(folder / "backup.tar", target).report.findings == ()
        shutil.rmtree(folder / str(seed))
    spread(there, moments)


def test_killed_purges(template: LedgerHome, tmp_path: Path) -> None:
    purges(template, tmp_path / "p", 20)


def test_killed_erasures(template: LedgerHome, tmp_path: Path) -> None:
    erasures(template, tmp_path / "e", 20)


def test_killed_backups(template: LedgerHome, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    backups(template, tmp_path / "b", 20)


def test_killed_restores(template: LedgerHome, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    restores(template, tmp_path / "r", 20)


@pytest.mark.soak
@pytest.mark.parametrize("kind", [purges, erasures, backups, restores])
def test_two_hundred_moments(kind: object, template: LedgerHome, tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    kind(template, tmp_path / "k", 200)  # type: ignore[operator]


WRITER = """
import sys
from pathlib import Path
from hearth.execution import ContentStore
from hearth.ledger import Ledger, LedgerHome
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver
from tests.unit.ledger._records import make_sealed_record
home, name, number = LedgerHome(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
store = ContentStore(home.outputs)
with Ledger.open(home) as ledger:
    for at in range(number):
        digest = store.put(f"{name} {at}".encode())
        ledger.store(make_sealed_record(f"{name}-{at}", effect=f"wrote {digest}"))
        print(f"{name}-{at}", flush=True)
"""


def test_backups_while_four_processes_store_records(template: LedgerHome, tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(template.root)]
    writers = [
        subprocess.Popen([*command, f"w{number}", "120"], cwd=repository, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    stored: list[int] = []
    number = 0
    while any(writer.poll() is None for writer in writers):
        with Ledger.open(template) as ledger:
            before = set(ledger.iterate_ids())
        restored = restore_backup(back_up(template, tmp_path / f"{number}.tar").path, tmp_path / f"r{number}")
        assert restored.report.ok, restored.report.findings
        with Ledger.open(restored.home) as ledger:
            assert before <= set(ledger.iterate_ids()), "a record that was stored before is missing"
            stored.append(ledger.count())
        number += 1
    for writer in writers:
        assert writer.wait() == 0
        assert writer.stdout is not None
        writer.stdout.close()
    assert len(set(stored)) > 1, stored
    assert fsck(template).findings == ()
    with Ledger.open(template) as ledger:
        assert ledger.count() == RECORDS + 480
