"""Recovery, case by case; tests/fault cuts and flips every byte."""

from __future__ import annotations

import hashlib
import logging
import stat
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import JournalDamagedError, RecorderError
from hearth.record import ExecutionStatus, SealCause
from hearth.recorder import Recovery, read_journal, recover_journal, verify_journal
from tests.unit.recorder._support import journal_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test puts a journal."""
    return tmp_path / "run.journal"


def lines(path: Path, **options: Any) -> list[bytes]:
    return journal_bytes(path.with_name("made.journal"), **options).splitlines(keepends=True)


def recovered(path: Path, content: bytes) -> Recovery:
    path.write_bytes(content)
    return recover_journal(path)


def test_an_unsealed_journal_is_sealed_incomplete(path: Path) -> None:
    content = b"".join(lines(path, seal=False))
    recovery = recovered(path, content)
    record = recovery.record
    assert record is not None
    assert recovery.outcome == "recovered"
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    assert record.verify(), record.verify()
    assert verify_journal(path)
    assert read_journal(path) == record
    assert path.read_bytes().startswith(content), "every whole line is kept as it was"
    assert path.read_bytes().count(b"\n") == content.count(b"\n") + 1
    assert recovery.discarded == 0


def test_the_seal_says_what_was_discarded(path: Path) -> None:
    every = lines(path)
    torn = every[3][:50]
    recovery = recovered(path, b"".join(every[:3]) + torn)
    assert recovery.record is not None
    assert recovery.record.verify()
    assert recovery.discarded == 50
    seal = recovery.record.marks[-1].details
    assert seal["discarded_bytes"] == 50
    assert seal["discarded_sha256"] == hashlib.sha256(torn).hexdigest()
    assert [entry.sequence for entry in recovery.record.entries] == [0, 1, 2, 3]


def test_an_open_step_is_named_as_unknown(path: Path) -> None:
    every = lines(path)
    record = recovered(path, b"".join(every[:2])).record
    assert record is not None
    report = record.side_effects_report
    assert report.unknown_effects
    assert 0 in [why["step_index"] for why in report.unknown_effects_why]


def test_the_file_as_it_was_found_is_kept(path: Path) -> None:
    every = lines(path)
    content = b"".join(every[:3]) + b"torn"
    recovery = recovered(path, content)
    assert recovery.original is not None
    assert recovery.original != path
    assert recovery.original.read_bytes() == content


def test_the_recovered_file_is_its_owners_alone(path: Path) -> None:
    recovered(path, lines(path)[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sealed_journal_is_not_touched(path: Path) -> None:
    content = b"".join(lines(path))
    path.write_bytes(content)
    before = path.stat()
    recovery = recover_journal(path)
    assert recovery.outcome == "sealed"
    assert recovery.record is not None
    assert recovery.record.verify()
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns, path.read_bytes()) == (before.st_ino, before.st_mtime_ns, content)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_second_recovery_changes_nothing_more(path: Path) -> None:
    first = recovered(path, b"".join(lines(path)[:3]) + b"torn")
    names = sorted(entry.name for entry in path.parent.iterdir())
    content = path.read_bytes()
    second = recover_journal(path)
    assert second.outcome == "sealed"
    assert second.record == first.record
    assert path.read_bytes() == content
    assert sorted(entry.name for entry in path.parent.iterdir()) == names


@pytest.mark.parametrize("content", [b"", b"torn", b"\x00" * 100, b"\n"])
def test_an_execution_that_never_began(path: Path, content: bytes) -> None:
    recovery = recovered(path, content)
    assert (recovery.outcome, recovery.record, recovery.discarded) == ("empty", None, len(content))
    assert recovery.original is not None
    assert recovery.original.read_bytes() == content
    assert not path.exists()


def test_an_original_of_before_is_not_overwritten(path: Path) -> None:
    original = path.with_name(path.name + ".original")
    every = lines(path)
    for content in (b"never began", b"".join(every[:2]) + b"torn"):
        original.write_bytes(b"evidence of before")
        recovery = recovered(path, content)
        assert recovery.original is not None
        assert recovery.original.read_bytes() == content
        kept = [entry.read_bytes() for entry in path.parent.iterdir()]
        assert b"evidence of before" in kept
        for entry in path.parent.iterdir():
            entry.unlink()


def test_damage_is_refused_quarantined_and_alerted(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"".join(lines(path)).replace(b'"n":0', b'"n":7')
    path.write_bytes(content)
    quarantine = tmp_path / "deep" / "quarantine"
    with caplog.at_level(logging.ERROR), pytest.raises(JournalDamagedError, match="tampering or a bad disk") as raised:
        recover_journal(path, quarantine=quarantine)
    assert raised.value.line == 2
    assert not path.exists()
    (kept,) = quarantine.iterdir()
    assert kept.read_bytes() == content
    assert str(kept) == str(raised.value.path)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700


def test_a_second_damaged_journal_of_that_name_is_kept_beside_the_first(path: Path, tmp_path: Path) -> None:
    for number in (b"7", b"8"):
        path.write_bytes(b"".join(lines(path)).replace(b'"n":0', b'"n":' + number))
        with pytest.raises(JournalDamagedError):
            recover_journal(path, quarantine=tmp_path / "quarantine")
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


def test_without_a_quarantine_a_damaged_journal_stays_where_it_is(path: Path) -> None:
    content = b"".join(lines(path)).replace(b'"n":0', b'"n":7')
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError):
        recover_journal(path)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(lines(path)[:3])
    path.write_bytes(content)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("hearth.recorder._recovery.os.fsync", refuse)
    with pytest.raises(RecorderError, match="Read-only"):
        recover_journal(path)
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert recover_journal(path).outcome == "recovered"


def test_the_lock_and_the_file_are_let_go(path: Path) -> None:
    recovered(path, b"".join(lines(path)[:3]))
    for _ in range(300):  # more than a process may have open, were they kept
        assert recover_journal(path).outcome == "sealed"
