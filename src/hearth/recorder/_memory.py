"""Where an observer without a journal keeps its entries: joined in blocks, as an object for each takes a tenth more."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EntryMemory"]


class EntryMemory:
    """Bare entries, in order. `append` is a list's own; `fold` is to be called now and then, under the same lock."""

    __slots__ = ("_blocks", "_recent", "append")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._recent: list[bytes] = []
        self.append = self._recent.append

    def fold(self) -> None:
        """Join what came since the last call. Without memory for that, everything stays as it is."""
        with suppress(MemoryError):
            count = len(self._recent)
            block = [b"\n".join(self._recent)]  # canonical JSON holds no line break
            # Interpreters act on signals at calls, so not between these two.
            self._blocks += block
            del self._recent[:count]

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            yield from block.split(b"\n")
        yield from self._recent
