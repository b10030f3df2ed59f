"""Where an observer without a journal keeps its entries: joined in blocks, as an object for each takes a tenth more."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EntryMemory"]


class EntryMemory:
    """Bare entries, in order: added to `recent`, always the same list; `fold` is to be called now and then."""

    __slots__ = ("_blocks", "_folds", "recent")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._folds = 0
        self.recent: list[bytes] = []

    def fold(self) -> None:
        """Join what came since the last call. Without memory for that, everything stays as it is."""
        with suppress(MemoryError):
            folds = self._folds
            taken = self.recent[:]
            whole = slice(0, len(taken))
            block = (b"\n".join(taken),)  # canonical JSON holds no line break
            # A signal handler may have added something, or folded, in the middle of that. It cannot between a
            # comparison and the statements behind it, as these call nothing.
            if taken and self._folds == folds:
                self._blocks += block
                del self.recent[whole]
                self._folds += 1

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield from block.split(b"\n")
        yield from self.recent
