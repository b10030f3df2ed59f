"""A log on disk: what is added stays, what was signed is never denied, and a crash between two syncs costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import (
    Checkpoint,
    Note,
    NoteKey,
    TransparencyLog,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from hearth.evidence._log_files import LogFiles
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ORIGIN = "example.com/log"
WRITES = 7  # files that the append of the crash test writes


class Place:
    """A log in a folder, the file that tells what was signed, and its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "log"
        self.signed = folder / "state" / "signed.json"
        self.key = SigningKey.generate()
        self.log = TransparencyLog.create(self.folder, self.signed, self.key, origin=ORIGIN)

    def opened(self) -> TransparencyLog:
        return TransparencyLog(self.folder, self.signed, lambda: self.key, (self.key.public,))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_a_new_log_is_empty_and_signed(place: Place) -> None:
    note = Note.parse(place.log.note())
    assert note.verified_by([NoteKey(ORIGIN, place.key.public)])
    assert Checkpoint.parse(note.text) == place.log.checkpoint()
    assert (place.log.checkpoint().origin, place.log.checkpoint().size) == (ORIGIN, 0)
    with pytest.raises(EvidenceError, match="there is a log"):
        TransparencyLog.create(place.folder, place.signed, place.key, origin=ORIGIN)


def test_what_is_added_can_be_shown(place: Place) -> None:
    first = place.log.append([b"one", b"two"])
    older = place.log.checkpoint()
    second = place.opened().append(b"more %d" % number for number in range(600))
    assert (first, second) == (range(2), range(2, 602))
    newer = place.opened().checkpoint()
    assert [place.log.entry(0), place.log.entry(1), place.log.entry(601)] == [b"one", b"two", b"more 599"]
    assert len(list(place.log.entries())) == 602
    verify_inclusion(1, newer.size, leaf_hash(b"two"), place.log.inclusion(1), newer.root)
    verify_inclusion(1, 2, leaf_hash(b"two"), place.log.inclusion(1, 2), older.root)
    verify_consistency(2, 602, older.root, newer.root, place.log.consistency(2))
    assert place.log.append([]) == range(602, 602)
    assert names(place.folder) == {
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/90",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/90",
    }, "partial tiles that wider ones have replaced are gone"
    for wrong in (602, -1):
        with pytest.raises(EvidenceError, match="no entry"):
            place.log.entry(wrong)
    with pytest.raises(EvidenceError, match="has 602 entries"):
        place.log.inclusion(0, 603)


class CrashError(Exception):
    """The process was killed here."""


@pytest.mark.parametrize("kept", range(WRITES + 1))
def test_a_crash_at_every_write_leaves_a_log_that_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The files of one append, each written or not; then the next process adds, and all that was signed holds."""
    place.log.append(b"old %d" % number for number in range(300))
    before = place.log.checkpoint()
    signed = [before]
    count = 0
    write = LogFiles.write

    def crashing(self: LogFiles, files: Iterable[tuple[str, bytes]]) -> None:
        nonlocal count
        for one in files:
            if count == kept:
                raise CrashError
            write(self, [one])
            count += 1

    monkeypatch.setattr(LogFiles, "write", crashing)
    try:
        place.opened().append(b"new %d" % number for number in range(300))
    except CrashError:
        crashed = True
    else:
        crashed = False
    monkeypatch.undo()
    told = json.loads(place.signed.read_bytes())
    if told["size"] > before.size:
        signed.append(Checkpoint(ORIGIN, told["size"], bytes.fromhex(told["root"])))
    log = place.opened()
    log.append([b"after"])
    now = log.checkpoint()
    assert now.size == signed[-1].size + 1
    for one in signed:
        verify_consistency(one.size, now.size, one.root, now.root, log.consistency(one.size))
    entries = list(log.entries())
    assert entries[:300] == [b"old %d" % number for number in range(300)]
    assert entries[-1] == b"after"
    assert crashed == (kept < WRITES)


def test_the_crashes_reach_past_the_last_write(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the test above counts there are no more than it goes through."""
    place.log.append(b"old %d" % number for number in range(300))
    written: list[str] = []
    write = LogFiles.write

    def counting(self: LogFiles, files: Iterable[tuple[str, bytes]]) -> None:
        files = list(files)
        written.extend(name for name, _ in files)
        write(self, files)

    monkeypatch.setattr(LogFiles, "write", counting)
    place.log.append(b"new %d" % number for number in range(300))
    assert len(written) == WRITES
    assert written[-2:] == [place.signed.name, "checkpoint"]


def test_a_log_that_was_set_back_is_refused(place: Place, tmp_path: Path) -> None:
    place.log.append([b"one"])
    shutil.copytree(place.folder, tmp_path / "old")
    place.log.append([b"two", b"three"])
    shutil.rmtree(place.folder)
    (tmp_path / "old").rename(place.folder)
    for call in (place.log.checkpoint, lambda: place.log.append([b"other"]), lambda: place.log.entry(0)):
        with pytest.raises(EvidenceError, match="was set back: it has 1 entries, and 3 were signed"):
            call()
    shutil.rmtree(place.folder)
    with pytest.raises(EvidenceError, match="was signed with this name before"):
        TransparencyLog.create(place.folder, place.signed, place.key, origin=ORIGIN)


def test_what_tells_how_far_it_was_signed_is_needed(place: Place) -> None:
    place.log.append([b"one"])
    content = place.signed.read_bytes()
    place.signed.unlink()
    with pytest.raises(EvidenceError, match="is gone, which says how far"):
        place.log.append([b"two"])
    for wrong in (b"{}", b"[]", b"\xff", content.replace(b"example", b"another"), content.replace(b": 1,", b": 0,")):
        place.signed.write_bytes(wrong)
        with pytest.raises(EvidenceError):
            place.log.append([b"two"])
    other = json.loads(content)
    place.signed.write_text(json.dumps(other | {"root": "00" * 32}))
    with pytest.raises(EvidenceError, match="another state was signed"):
        place.log.append([b"two"])
    place.signed.write_bytes(content)
    assert place.log.append([b"two"]) == range(1, 2)


def test_another_key_or_an_edited_file_is_refused(place: Place) -> None:
    place.log.append([b"one", b"two"])
    key = SigningKey.generate()
    other = TransparencyLog(place.folder, place.signed, lambda: key, (key.public,))
    with pytest.raises(EvidenceError, match="not signed by the log's key"):
        other.checkpoint()
    path = place.folder / "tile/entries/000.p/2"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"two", b"TWO"))
    with pytest.raises(EvidenceError, match="a file was changed"):
        place.log.append([b"three"])
    path.write_bytes(content)
    tile = place.folder / "tile/0/000.p/2"
    tile.write_bytes(tile.read_bytes()[32:] * 2)
    with pytest.raises(EvidenceError, match="changed"):
        place.log.append([b"three"])


def test_many_add_at_once_and_nothing_is_lost(place: Place) -> None:
    logs = [place.opened() for _ in range(4)]
    threads = [
        threading.Thread(target=lambda log=log, who=who: [log.append([b"%d-%d" % (who, one)]) for one in range(12)])
        for who, log in enumerate(logs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(place.log.entries()) == sorted(b"%d-%d" % (who, one) for who in range(4) for one in range(12))


def test_a_disk_that_is_full_leaves_the_log_as_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.log.append([b"one"])
    before, there = place.log.checkpoint(), names(place.folder)
    sync = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        place.log.append([b"two"])
    monkeypatch.setattr(os, "fsync", sync)
    assert (place.log.checkpoint(), names(place.folder)) == (before, there)
    assert place.log.append([b"two"]) == range(1, 2)


def test_what_is_superseded_may_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who adds to a log is never told that nothing was added when all of it is signed and published."""
    place.log.append([b"one"])

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(LogFiles, "remove", refuse)
        assert place.log.append([b"two"]) == range(1, 2)
    assert list(place.opened().entries()) == [b"one", b"two"]


def test_a_note_of_what_was_signed_that_was_set_back_is_no_leave_to_sign_less(place: Place) -> None:
    """Else one fork could be signed after another: the note says how far, and never less than the log itself."""
    place.log.append(b"old %d" % number for number in range(5))
    kept = place.signed.read_bytes()
    place.log.append([b"more"])
    place.signed.write_bytes(kept)
    with pytest.raises(EvidenceError, match="it was changed or set back"):
        place.opened().append([b"next"])
    with pytest.raises(EvidenceError, match="it was changed or set back"):
        place.opened().checkpoint()
