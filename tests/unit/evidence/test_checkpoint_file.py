"""What is said of a damaged checkpoint names the file, whoever reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import Checkpoint, LogFiles, NoteKey, TransparencyLog, check_log, publish
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.evidence import Note

ORIGIN = "example.com/log"


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda data: data + b"x", "is no signed checkpoint .*Bring it back"),
        (lambda data: data.replace(b"\n2\n", b"\nzwei\n"), "is no signed checkpoint .*Bring it back"),
        (lambda data: data.replace(b"\n2\n", b"\n3\n"), "is not signed by the log.*was changed|does not verify"),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin=ORIGIN)
    log.append([b"one", b"two"])
    published = tmp_path / "public"
    publish(log, published)
    for folder in (log.files.folder, published):
        file = folder / "checkpoint"
        whole = file.read_bytes()
        file.write_bytes(damage(whole))

        def checked(folder: Path = folder) -> None:
            known = NoteKey(ORIGIN, key.public)

            def verify(note: Note) -> Checkpoint:
                assert note.verified_by([known])
                return Checkpoint.parse(note.text)

            check_log(LogFiles(folder), verify)

        readers: list[Callable[[], object]] = [checked, lambda: publish(log, published)]
        if folder == log.files.folder:
            readers += [log.checkpoint, lambda: log.append([b"three"]), lambda: log.proof(0)]
        for reader in readers:
            with pytest.raises(EvidenceError, match=said) as caught:
                reader()
            assert str(folder) in str(caught.value)
        file.write_bytes(whole)
