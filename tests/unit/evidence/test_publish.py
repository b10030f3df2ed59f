"""Publishing a log: tiles before the checkpoint, whatever happens in between."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import Checkpoint, LogFiles, Note, NoteKey, TransparencyLog, check_log, publish
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ORIGIN = "example.com/log"


class CrashError(Exception):
    """The process was killed here."""


def test_a_crash_at_any_file_leaves_a_folder_that_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the folder meanwhile, or after a crash, finds all that its checkpoint tells of."""
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    log.append(b"old %d" % number for number in range(300))
    write, written = LogFiles.write, 0
    left = 0

    def crashing(self: LogFiles, files: Iterable[tuple[str, bytes]]) -> None:
        nonlocal written
        for one in files:
            if written == left:
                raise CrashError
            written += 1
            write(self, [one])

    def verified(note: Note) -> Checkpoint:
        assert note.verified_by([NoteKey(ORIGIN, key.public)])
        return Checkpoint.parse(note.text)

    public = tmp_path / "public"
    publish(log, public)
    log.append(b"new %d" % number for number in range(900))
    monkeypatch.setattr(LogFiles, "write", crashing)
    crashed = True
    while crashed:
        written, left = 0, left + 1
        with suppress(CrashError):
            crashed = publish(log, public) is None
        report = check_log(LogFiles(public), verified)
        assert report.ok, report.problems
        assert report.checkpoint.size == (300 if crashed else 1200)
    assert left > 3


def test_what_a_dead_process_left_goes_and_what_is_of_others_stays(tmp_path: Path) -> None:
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    log.append(b"old %d" % number for number in range(300))
    public = tmp_path / "public"
    publish(log, public)
    drafts = [public / ".checkpoint.01234567.new", public / "tile/0/001.p/.44.89abcdef.new"]
    others = [public / ".well-known.new", public / "index.html", public / "tile/0/.note.txt"]
    for path in (*drafts, *others):
        path.write_bytes(b"half")
    publish(log, public)
    assert not any(path.exists() for path in drafts)
    assert all(path.exists() for path in others)


def test_what_is_lost_of_the_folder_comes_back(tmp_path: Path) -> None:
    """A file that is missing or cut is written anew by the next publishing, whether the log has grown or not."""
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    log.append(b"old %d" % number for number in range(700))
    public = tmp_path / "public"
    publish(log, public)

    def problems() -> tuple[str, ...]:
        found = check_log(LogFiles(public), lambda note: Checkpoint.parse(note.text))
        return found.problems

    lost = [
        "tile/0/002.p/188",
        "tile/entries/002.p/188",
        "tile/1/000.p/2",
        "tile/0/000",
        "tile/entries/000",
        "tile/0/001",
    ]
    for number, name in enumerate(lost):
        for damage in ("gone", "cut"):
            file = public / name
            if damage == "gone":
                file.unlink()
            else:
                file.write_bytes(file.read_bytes()[:-1])
            assert problems(), name
            if number >= 4:
                log.append([b"more"])
            publish(log, public)
            assert problems() == (), name


def test_a_checkpoint_that_nobody_signed_proves_nothing(tmp_path: Path) -> None:
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    log.append([b"one", b"two"])
    public = tmp_path / "public"
    publish(log, public)
    note = Note.parse((public / "checkpoint").read_bytes())
    for text in (note.text.replace("\n2\n", "\n9\n"), note.text[:-6] + "AAAA=\n"):
        (public / "checkpoint").write_bytes(Note(text, note.signatures).to_bytes())
        with pytest.raises(EvidenceError, match="is not signed by the log: it was changed, and proves nothing"):
            publish(log, public)
    (public / "checkpoint").unlink()
    assert publish(log, public).checkpoint.size == 2


@pytest.mark.parametrize(
    "text", ['{"origin":"x","size":1e999,"root":""}', "[" * 100_000, "{}", '{"origin":"x","size":true,"root":""}', "3"]
)
def test_a_note_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    (tmp_path / "signed.json").write_text(text)
    with pytest.raises(EvidenceError, match=r"signed\.json, which says how far the log was signed, cannot be read"):
        log.checkpoint()
