"""Backups of a ledger with a transparency log: the log in one state that the database knows, and never its key."""

from __future__ import annotations

import shutil
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError, GateRefusedError, SigningError
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import (
    back_up,
    log_init,
    log_status,
    log_update,
    publish_log,
    restore_backup,
    rotate_log_key,
    run_plan,
    verify_log,
)
from hearth.plan import parse_plan
from hearth.security import LiveMode, SecurityState
from tests import approving
from tests.unit.ledger._records import make_sealed_record, store_as_run
from tests.unit.operations._ledgers import copy_of, furnish
from tests.unit.operations.test_backup import member, refused, remade

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    """A ledger with a log whose key was changed once, and with what a witness said; nobody changes it."""
    home = furnish(tmp_path_factory.mktemp("logged"))
    log_init(home, origin="example.org/log")
    rotate_log_key(home)
    kept = home.root / "transparency" / "witnesses" / "conflicts"
    kept.mkdir(parents=True, mode=0o700)
    (kept / ("a" * 64)).write_bytes(b"two checkpoints\n")
    (kept.parent / f"{'b' * 64}.note").write_bytes(b"a note\n")
    return home


@pytest.fixture(scope="module")
def archive(logged: LedgerHome) -> Path:
    return back_up(logged, logged.root.parent / "backup.tar").path


def files(home: LedgerHome) -> dict[str, bytes]:
    root = home.root / "transparency"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def is_left_out(name: str) -> bool:
    return name.endswith((".pem", ".lock", ".new", "index.db"))


def test_the_log_is_restored_without_keys_locks_and_what_is_derived(
    logged: LedgerHome, archive: Path, tmp_path: Path
) -> None:
    draft = logged.root / "transparency" / "log" / ".checkpoint.0123abcd.new"
    draft.write_bytes(b"half")
    again = back_up(logged, tmp_path / "again.tar")
    draft.unlink()
    restored = restore_backup(again.path, tmp_path / "new")
    assert restored.report.findings == ()
    there = files(logged)
    assert files(restored.home) == {name: data for name, data in there.items() if not is_left_out(name)}
    assert {"key.pem", "key-2.pem"} <= there.keys()
    assert {"settings.json", "signed.json", "log/keys", "log/checkpoint", f"witnesses/conflicts/{'a' * 64}"} <= files(
        restored.home
    ).keys()
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if "pem" in name]


def test_a_restored_log_holds_and_says_that_its_key_is_needed(
    logged: LedgerHome, archive: Path, tmp_path: Path
) -> None:
    restored = restore_backup(archive, tmp_path / "new")
    key = restored.home.root / "transparency" / "key-2.pem"
    assert any("private key is not in a backup" in note and str(key) in note for note in restored.notes)
    assert any("makes a second history" in note for note in restored.notes)
    assert verify_log(restored.home).ok
    with Ledger.open(restored.home) as ledger:
        ledger.postures.lock_down(who="ann", why="drill", source="test")
    with pytest.raises(SigningError, match=r"bring your copy of it back.*another key cannot go on") as caught:
        log_update(restored.home)
    assert str(key) in str(caught.value)
    shutil.copy(logged.root / "transparency" / "key-2.pem", key)
    assert len(log_update(restored.home).added) == 1
    assert verify_log(restored.home).ok


def test_without_its_key_a_restored_ledger_runs_nothing(home: LedgerHome, key: Path, tmp_path: Path) -> None:
    log_init(home)
    home = restore_backup(back_up(home, tmp_path / "b.tar").path, tmp_path / "ledger" / ".hearth").home
    plan = parse_plan({"plan": "p", "steps": [{"name": "Go", "shell": "touch went"}]}, folder=tmp_path)
    request = approving.approve(home, plan, key)
    with pytest.raises(GateRefusedError, match="the log's private key is not there"):
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="r")
    assert not (tmp_path / "went").exists()
    with Ledger.open(home) as ledger:  # and the approval was not used up
        assert ledger.approvals.find(request).use is None
        assert ledger.postures.load().posture.security is not SecurityState.DEGRADED


def test_an_older_state_does_not_replace_what_was_published(logged: LedgerHome, archive: Path, tmp_path: Path) -> None:
    """The restored log is an old one: what was kept elsewhere tells, and a second history is not published."""
    home = copy_of(logged, tmp_path)
    store_as_run(home, make_sealed_record("after the backup"))
    publish_log(home, tmp_path / "public")
    restored = restore_backup(archive, tmp_path / "new").home
    for name in ("key.pem", "key-2.pem"):
        shutil.copy(logged.root / "transparency" / name, restored.root / "transparency" / name)
    found = verify_log(restored, since=tmp_path / "public" / "checkpoint")
    assert any("set back" in problem for problem in found.report.problems)
    store_as_run(restored, make_sealed_record("something else"))
    with pytest.raises(EvidenceError, match="another history"):
        publish_log(restored, tmp_path / "public")


def test_what_was_signed_stands_elsewhere_and_is_not_in_the_backup(tmp_path: Path) -> None:
    home = furnish(tmp_path)
    signed, key = tmp_path / "disk" / "signed.json", tmp_path / "disk" / "log.pem"
    log_init(home, origin="example.org/log", key_file=key, signed_file=signed)
    done = back_up(home, tmp_path / "b.tar")
    with tarfile.open(done.path) as tar:
        assert not [name for name in tar.getnames() if "signed" in name]
    restored = restore_backup(done.path, tmp_path / "one")
    assert any(f"{signed}: less is never signed again" in note for note in restored.notes)
    assert any(f"read from {key}" in note for note in restored.notes)
    assert log_status(restored.home).size == log_status(home).size

    store_as_run(home, make_sealed_record("after the backup"))
    with pytest.raises(EvidenceError, match="was set back"):  # the file elsewhere knows better than the backup
        log_update(restored.home)

    shutil.copytree(home.root / "transparency" / "log", restored.home.root / "transparency" / "log", dirs_exist_ok=True)
    # With the newer log it goes on, and what the database lost is named.
    store_as_run(restored.home, make_sealed_record("after the restoration"))
    problems = verify_log(restored.home).report.problems
    assert ["after the backup" in problem for problem in problems] == [True, True]  # opened, and sealed

    signed.unlink()
    other = restore_backup(done.path, tmp_path / "two")
    assert any("not in a backup and not there" in note and str(signed) in note for note in other.notes)
    with pytest.raises(EvidenceError, match="bring it back"):
        log_update(other.home)


def test_a_backup_beside_a_growing_log_knows_each_of_its_leaves(logged: LedgerHome, tmp_path: Path) -> None:
    home = copy_of(logged, tmp_path)
    stop = threading.Event()
    stored: list[str] = []

    def grow() -> None:
        while not stop.is_set() and len(stored) < 300:
            store_as_run(home, make_sealed_record(f"grown-{len(stored)}"))
            stored.append("")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for number in range(3):
            restored = restore_backup(back_up(home, tmp_path / f"{number}.tar").path, tmp_path / f"at-{number}")
            assert not restored.report.damaged, restored.report.findings
            wrong = verify_log(restored.home).report.problems
            assert wrong == ()
    finally:
        stop.set()
        thread.join()
    assert stored


@pytest.mark.parametrize(
    "name",
    [
        "transparency/key.pem",
        "transparency/index.db",
        "transparency/.lock",
        "transparency/log/.checkpoint.0123abcd.new",
        "transparency/log/tile/64/000",
        "transparency/log/tile/0/0000",
        "transparency/log/tile/0/x001/../000",
        "transparency/log/tile/0/000.p/0",
        "transparency/log/../settings.json",
        "transparency/settings.json\n",
        "transparency/witnesses/conflicts/x",
        "transparency/log",
    ],
)
def test_names_that_no_log_has_are_refused(archive: Path, tmp_path: Path, name: str) -> None:
    assert "no ledger's folder has" in refused(
        remade(archive, tmp_path, lambda members: members.insert(1, member(name))), tmp_path
    )
