"""Publishing a log: tiles before the checkpoint, whatever happens in between."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hearth.evidence import Checkpoint, LogFiles, Note, NoteKey, TransparencyLog, check_log, publish
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

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
