"""A short journal cut at every byte, and every byte of it flipped."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import HearthError, JournalDamagedError, RecorderError
from hearth.record import ExecutionRecord, ExecutionStatus, SealCause
from hearth.recorder import Recovery, read_journal, recover_journal, verify_journal
from tests.unit.recorder._support import flipped, journal_bytes, lines_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Place:
    """A folder to put one journal after another into."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.journal"
        self.quarantine = folder / "quarantine"

    def put(self, content: bytes) -> None:
        for folder in (self.path.parent, self.quarantine):
            if folder.exists():
                for entry in folder.iterdir():
                    if entry.is_file():
                        entry.unlink()
        self.path.write_bytes(content)

    def recover(self) -> Recovery:
        return recover_journal(self.path, quarantine=self.quarantine)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sealed journal of five entries, non-ASCII characters in it."""
    return journal_bytes(tmp_path_factory.mktemp("made") / "run.journal", steps=1)


@pytest.fixture(scope="module")
def unsealed(sealed: bytes) -> bytes:
    """The same without its seal."""
    return b"".join(sealed.splitlines(keepends=True)[:-1])


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of recoveries: what they sync is tested elsewhere."""
    monkeypatch.setattr("hearth.recorder._recovery.os.fsync", lambda _: None)


def whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def test_cut_at_every_byte_exactly_the_whole_lines_are_kept(place: Place, sealed: bytes) -> None:
    for length in range(len(sealed)):
        content = sealed[:length]
        kept = whole_lines(content)
        place.put(content)
        recovery = place.recover()
        if not kept:
            assert (recovery.outcome, recovery.discarded) == ("empty", length)
            assert recovery.original is not None
            assert recovery.original.read_bytes() == content
            continue
        record = recovery.record
        assert record is not None
        assert (recovery.outcome, recovery.discarded) == ("recovered", length - len(kept)), length
        assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
        assert place.path.read_bytes().startswith(kept)
        assert [entry.sequence for entry in record.entries] == list(range(kept.count(b"\n") + 1))
        assert verify_journal(place.path), length
        if length % 8 == 0:
            assert record.verify(), (length, record.verify())
            assert read_journal(place.path) == record
        assert recovery.original is not None
        assert recovery.original.read_bytes() == content, "as it was found"


def test_the_uncut_journal_is_left_alone(place: Place, sealed: bytes) -> None:
    place.put(sealed)
    assert place.recover().outcome == "sealed"
    assert place.path.read_bytes() == sealed


def outcome_of(place: Place, content: bytes) -> tuple[str, Any]:
    """What recovery makes of these bytes: `damaged` with the line, or the outcome with the record."""
    place.put(content)
    try:
        recovery = place.recover()
    except JournalDamagedError as error:
        assert not place.path.exists(), "out of the way"
        (kept,) = place.quarantine.iterdir()
        assert kept.read_bytes() == content, "as it was found"
        return "damaged", error.line
    return recovery.outcome, recovery.record


MASKS = (0x01, 0x80)


@pytest.mark.parametrize("mask", MASKS)
def test_every_byte_flipped(place: Place, unsealed: bytes, mask: int) -> None:
    """Before the last line: refused and quarantined, never sealed over. In the last line: torn, and cut off."""
    lines = unsealed.splitlines(keepends=True)
    true = lines_in(unsealed)
    last = len(unsealed) - len(lines[-1])
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for position in range(len(unsealed)):
        outcome, found = outcome_of(place, flipped(unsealed, position, mask))
        line = sum(start <= position for start in starts)
        if position < last:
            assert (outcome, found) == ("damaged", line), position
        else:
            assert outcome == "recovered", position
            assert verify_journal(place.path)
            assert len(found.entries) == len(lines), "the whole lines before it, and the seal"
            assert [entry.step_name for entry in found.entries[:-1]] == [entry["step_name"] for entry in true[:-1]]
            assert found.marks[-1].details["discarded_bytes"] >= len(lines[-1]) - 1


@pytest.mark.parametrize("mask", MASKS)
def test_every_byte_of_a_sealed_journal_flipped(place: Place, sealed: bytes, mask: int) -> None:
    lines = sealed.splitlines(keepends=True)
    last = len(sealed) - len(lines[-1])
    for position in range(len(sealed)):
        content = flipped(sealed, position, mask)
        outcome, found = outcome_of(place, content)
        if position < last:
            assert outcome == "damaged", position
        else:
            assert outcome == "recovered", position
            assert found.status is ExecutionStatus.INCOMPLETE, "what the damaged seal said is not believed"
        place.put(content)
        assert not verify_journal(place.path)


def test_a_line_taken_out_doubled_or_exchanged(place: Place, unsealed: bytes) -> None:
    lines = unsealed.splitlines(keepends=True)
    for number in range(len(lines) - 1):
        assert outcome_of(place, b"".join(lines[:number] + lines[number + 1 :]))[0] == "damaged"
        assert outcome_of(place, b"".join(lines[: number + 1] + lines[number:]))[0] == "damaged"
        exchanged = [*lines]
        exchanged[number], exchanged[number + 1] = exchanged[number + 1], exchanged[number]
        assert outcome_of(place, b"".join(exchanged))[0] == "damaged"


@pytest.mark.parametrize(
    "rubbish", [b"\n", b"x", b"rubbish\n", b"\x00" * 4096, b"{}\n", b"\xff\xfe\n", b"0" * 64 + b" {}\n"]
)
def test_rubbish_in_the_middle_and_at_the_end(place: Place, unsealed: bytes, sealed: bytes, rubbish: bytes) -> None:
    lines = unsealed.splitlines(keepends=True)
    for number in range(len(lines)):
        content = b"".join(lines[:number]) + rubbish + b"".join(lines[number:])
        assert outcome_of(place, content)[0] == "damaged", number
    outcome, record = outcome_of(place, unsealed + rubbish)
    assert outcome == "recovered"
    assert record.marks[-1].details["discarded_bytes"] == len(rubbish)
    assert outcome_of(place, sealed + rubbish)[0] == "damaged", "behind a seal nothing is torn"


def test_a_block_of_zeros_in_place_of_the_tail(place: Place, unsealed: bytes) -> None:
    """As some file systems leave it after a power cut."""
    for length in range(0, len(unsealed), 97):
        kept = whole_lines(unsealed[:length])
        outcome, record = outcome_of(place, unsealed[:length] + b"\x00" * (len(unsealed) - length))
        if kept:
            assert outcome == "recovered"
            assert record.verify()
            assert len(record.entries) == kept.count(b"\n") + 1
        else:
            assert outcome == "empty"


def test_a_large_torn_tail_is_read_in_pieces(place: Place, unsealed: bytes) -> None:
    rubbish = b"x" * 3_000_000
    place.put(unsealed + rubbish)
    assert place.recover().discarded == len(rubbish)


# --- crashes during recovery ------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


class Guard:
    """Counts calls that change the disk, and ends the process before or after the wanted one."""

    def __init__(self, wanted: int, *, after: bool) -> None:
        self.wanted = wanted
        self.after = after
        self.calls = 0

    def around(self, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.wanted and not self.after:
                raise Crash
            result = real(*arguments, **options)
            if self.calls == self.wanted and self.after:
                raise Crash
            return result

        return call


def steps_of_recovery(place: Place, content: bytes) -> Iterator[int]:
    """Recover again and again, each time ending at the next call that changes the disk; yields after each crash."""
    for number in range(2, 200):
        place.put(content)
        # Twice each: the call did not happen, or it did.
        guard = Guard(number // 2, after=number % 2 == 1)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "replace", "link", "rename", "fsync", "write", "unlink", "mkdir"):
                if hasattr(os, name):
                    patch.setattr(os, name, guard.around(getattr(os, name)))
            try:
                place.recover()
                crashed = False
            except (Crash, HearthError):
                crashed = True
        if guard.calls < guard.wanted:
            return
        if crashed:
            yield number


@pytest.mark.parametrize("torn", [b"", b"torn"])
def test_a_crash_at_each_step_of_recovery_and_recovery_again(place: Place, unsealed: bytes, torn: bytes) -> None:
    content = unsealed + torn
    crashes = 0
    for number in steps_of_recovery(place, content):
        crashes += 1
        present = [entry.read_bytes() for entry in place.path.parent.iterdir() if entry.is_file()]
        assert content in present, "the file as it was found is never lost"
        record = place.recover().record
        assert record is not None, number
        assert record.verify(), number
        assert (record.status, len(record.entries)) == (ExecutionStatus.INCOMPLETE, 5)
        assert verify_journal(place.path)
        kept = [entry.read_bytes() for entry in place.path.parent.iterdir() if entry.is_file()]
        assert content in kept, number
        assert not [entry.name for entry in place.path.parent.iterdir() if "recovering" in entry.name]
        assert place.recover().outcome == "sealed"
    assert crashes >= 6, "it was really interrupted"


def test_a_crash_at_each_step_of_quarantine(place: Place, unsealed: bytes) -> None:
    content = unsealed.replace(b'"n":0', b'"n":7')
    crashes = 0
    for _ in steps_of_recovery(place, content):
        crashes += 1
        found = [
            entry for folder in (place.path.parent, place.quarantine) if folder.exists() for entry in folder.iterdir()
        ]
        assert content in [entry.read_bytes() for entry in found if entry.is_file()]
        if place.path.exists():
            with pytest.raises(JournalDamagedError):
                place.recover()
        else:
            with pytest.raises(RecorderError):
                place.recover()
    assert crashes >= 2


def test_recovery_makes_the_seal_durable_before_it_takes_the_journals_name(
    place: Place, unsealed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync = os.fsync

    def told(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            order.append(name)
            return real(*arguments, **options)

        return call

    def fsync(descriptor: int) -> None:
        order.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("hearth.recorder._recovery.os.fsync", fsync)
    monkeypatch.setattr(os, "replace", told("replace", os.replace))
    monkeypatch.setattr(os, "link", told("link", os.link))
    place.put(unsealed)
    assert place.recover().outcome == "recovered"
    assert order.index("sync file") < order.index("replace")
    assert order.index("link") < order.index("replace"), "the original has its second name before"
    assert order[-1] == "sync folder"


def test_the_recovered_record_is_the_same_for_everyone(place: Place, unsealed: bytes) -> None:
    place.put(unsealed)
    record = place.recover().record
    assert record is not None
    assert ExecutionRecord.from_dict(record.to_dict()) == read_journal(place.path) == record
