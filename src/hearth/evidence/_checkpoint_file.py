"""The signed checkpoint in a log's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._note import Note

if TYPE_CHECKING:
    from hearth.evidence._log_files import LogFiles

__all__ = ["CHECKPOINT", "parse_checkpoint", "read_checkpoint"]

CHECKPOINT = "checkpoint"
"""Its path in the folder."""


def read_checkpoint(files: LogFiles) -> Note:
    """Return the note in a log's folder, whose text is a checkpoint; nothing is verified.

    FileNotFoundError where there is none, EvidenceError, which names the file, where it is something else.
    """
    return parse_checkpoint(files, files.read(CHECKPOINT))


def parse_checkpoint(files: LogFiles, data: bytes) -> Note:
    """Return the note that a checkpoint's file has as its content."""
    try:
        note = Note.parse(data)
        Checkpoint.parse(note.text)
    except EvidenceError as error:
        raise EvidenceError(
            f"{files.folder / CHECKPOINT} is no signed checkpoint ({error}): it was changed or damaged. Bring it back "
            "from a copy of the log"
        ) from None
    return note
