"""LogSnapshot: a log as it was at one moment, read while others add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._checkpoint_file import CHECKPOINT, parse_checkpoint
from hearth.evidence._log_files import LogFiles
from hearth.evidence._tiles import TILE_WIDTH, bundle_path, split_bundle, tile_path, tile_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LogSnapshot"]

_TRIES = 100


class LogSnapshot(LogFiles):
    """The files of a log at one moment, without a lock: full tiles never change, and the others are held in memory.

    EvidenceError where the checkpoint cannot be read, FileNotFoundError where there is none. What is missing of the
    rest is missing here, too.
    """

    def __init__(self, files: LogFiles) -> None:
        super().__init__(files.folder)
        for _ in range(_TRIES):
            data = files.read(CHECKPOINT)
            self.note = parse_checkpoint(files, data)
            self.size = Checkpoint.parse(self.note.text).size
            self._kept = {CHECKPOINT: data}
            for path in _unfinished(self.size):
                try:
                    self._kept[path] = files.read(path)
                except FileNotFoundError:
                    break  # it has grown since, or the file is missing
            else:
                return
            if files.read(CHECKPOINT) == data:
                return

    def read(self, path: str) -> bytes:
        """Return a file's content as it was; the errors are those of `LogFiles.read`."""
        kept = self._kept.get(path)
        return super().read(path) if kept is None else kept

    def entry(self, index: int) -> bytes:
        """Return an entry below `size`; whether it is what was signed a proof tells."""
        number, offset = divmod(index, TILE_WIDTH)
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        return split_bundle(self.read(bundle_path(number, width)), width)[offset]


def _unfinished(size: int) -> Iterator[str]:
    """Yield the files of a log of this size that a larger one does not have."""
    if size % TILE_WIDTH:
        yield bundle_path(size // TILE_WIDTH, size % TILE_WIDTH)
    for level, count in tile_sizes(size):
        if count % TILE_WIDTH:
            yield tile_path(level, count // TILE_WIDTH, count % TILE_WIDTH)
