"""Publishing a log: its files in a folder that any web server can serve, tiles before the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._checkpoint_file import read_checkpoint
from hearth.evidence._key_history import KeyHistory
from hearth.evidence._log_files import LogFiles
from hearth.evidence._log_snapshot import LogSnapshot
from hearth.evidence._merkle import verify_consistency
from hearth.evidence._tiles import TILE_WIDTH, bundle_path, tile_path, tile_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.evidence._log import TransparencyLog

__all__ = ["Published", "publish"]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Published:
    """The checkpoint that was published, how many entries the folder had before, and how many files were written."""

    checkpoint: Checkpoint
    before: int
    files: int


def publish(log: TransparencyLog, folder: Path, history: KeyHistory | None = None) -> Published:
    """Bring a folder to the log's present state; what is there and complete, by its size, is not written again.

    The `history` of the log's keys stands beside the checkpoint (`keys`), where any was changed, and is written before
    it. EvidenceError where the folder holds a log, or a history of keys, that this one does not continue, and
    EquivocationError where both cannot be true; OSError as the system says. Nobody else may publish there meanwhile.
    """
    log.checkpoint()  # one that was set back is refused
    files = LogSnapshot(log.files)
    now = Checkpoint.parse(files.note.text)
    if not log.is_signed(files.note):
        raise EvidenceError(f"the checkpoint in {files.folder} is not signed by the log's key")
    folder.mkdir(parents=True, exist_ok=True)
    target = LogFiles(folder, public=True)
    before = _continued(log, target, now)
    target.clear_drafts()
    keys = _continued_keys(folder / "keys", history)
    written = 0
    batch: list[tuple[str, bytes]] = []
    lost = (path for path in _paths(0, before) if _is_full(path) and target.length(path) != files.length(path))
    for path in chain(lost, _paths(before, now.size)):
        content = files.read(path)
        try:
            if target.read(path) == content:
                continue
        except FileNotFoundError:
            pass
        batch.append((path, content))
        if len(batch) == _BATCH:
            written += len(batch)
            target.write(batch)
            batch = []
    target.write([*batch, *keys])
    target.write([("checkpoint", files.note.to_bytes())])
    return Published(now, before, written + len(batch) + len(keys) + 1)


def _continued(log: TransparencyLog, target: LogFiles, now: Checkpoint) -> int:
    try:
        note = read_checkpoint(target)
    except FileNotFoundError:
        return 0
    there = Checkpoint.parse(note.text)
    if there.origin == now.origin and not log.is_signed(note):
        raise EvidenceError(
            f"the checkpoint in {target.folder} is not signed by the log: it was changed, and proves nothing. Take it "
            "away, and publish again"
        )
    if there.origin != now.origin or there.size > now.size:
        raise EvidenceError(
            f"{target.folder} holds the log {there.origin} with {there.size} entries, and this is {now.origin} with "
            f"{now.size}: a published log is never replaced by another or an older one. Name another folder, or bring "
            "the newer log back"
        )
    if not there.size:
        return 0
    try:
        verify_consistency(there.size, now.size, there.root, now.root, log.consistency(there.size, now.size))
    except EvidenceError as error:
        raise EvidenceError(
            f"{target.folder} holds another history of the log {there.origin}, which this one does not continue "
            f"({error}); keep both, their checkpoints are proof"
        ) from None
    return there.size


def _continued_keys(path: Path, history: KeyHistory | None) -> list[tuple[str, bytes]]:
    """Return the history's file, where it is not there yet; a change of keys that was published is never taken back."""
    data = history.to_bytes() if history is not None and history.statements else b""
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return [(path.name, data)] if data else []
    if there == data:
        return []
    advice = "bring the log's newest history of keys back, or publish into another folder"
    if history is None:
        raise EvidenceError(f"{path} tells of keys, and this log of none: {advice}")
    try:
        history.require_continues(KeyHistory.parse(there, history.first))
    except EvidenceError as error:
        error.args = (f"{path} has another history of the log's keys: {error}; {advice}",)
        raise
    return [(path.name, data)]


def _is_full(path: str) -> bool:
    return ".p/" not in path


def _paths(before: int, size: int) -> Iterator[str]:
    """Yield the files of a log of this size; not the full ones that one of `before` entries had."""
    for number in range(before // TILE_WIDTH, -(-size // TILE_WIDTH)):
        yield bundle_path(number, min(TILE_WIDTH, size - number * TILE_WIDTH))
    for level, count in tile_sizes(size):
        for number in range((before >> 8 * level) // TILE_WIDTH, -(-count // TILE_WIDTH)):
            yield tile_path(level, number, min(TILE_WIDTH, count - number * TILE_WIDTH))
