"""The right edge of a log as tiles: what appending needs in memory, and the files that have to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._merkle import leaf_hash, node_hash, tree_root
from hearth.evidence._tiles import TILE_WIDTH, TileHashes, bundle, bundle_path, split_bundle, tile_path, tile_sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadFile = Callable[[str], bytes]

__all__ = ["GrowingTiles"]

_HEIGHT = 8


class GrowingTiles:
    """The unfinished tiles of a log of `size` entries: at most 255 hashes a level, and 255 entries.

    `append` adds an entry; `take_files` gives what changed since it was last called: full tiles, and the partial ones
    of now. The tree's root is told by `root`. The content of the tiles that it starts from is read by `read`.
    """

    def __init__(self, size: int, read: ReadFile) -> None:
        self.size = size
        self._edges: list[list[bytes]] = []
        self._files: list[tuple[str, bytes]] = []
        hashes = TileHashes(size, read)
        for level, count in tile_sizes(size):
            width = count % TILE_WIDTH
            self._edges.append(list(hashes.tile(level, count // TILE_WIDTH)) if width else [])
        self._entries = _last_entries(size, read)
        for entry, found in zip(self._entries, self._edges[0] if self._edges else (), strict=True):
            if leaf_hash(entry) != found:
                raise EvidenceError("the log's last entries are not those that its tiles tell of: a file was changed")

    def append(self, entry: bytes) -> int:
        """Add an entry; return its index."""
        index = self.size
        self._entries.append(entry)
        self._push(0, leaf_hash(entry))
        self.size = index + 1
        if len(self._entries) == TILE_WIDTH:
            self._files.append((bundle_path(index // TILE_WIDTH), bundle(self._entries)))
            self._entries = []
        return index

    def root(self) -> bytes:
        """Return the tree's root."""
        return tree_root(self.size, self._subtree)

    def take_files(self, *, partial: bool = True) -> list[tuple[str, bytes]]:
        """Return the files to be written, by their paths in the log's folder; without `partial` only the full ones."""
        files, self._files = self._files, []
        if not partial:
            return files
        for level, count in tile_sizes(self.size):
            if edge := self._edges[level]:
                files.append((tile_path(level, count // TILE_WIDTH, len(edge)), b"".join(edge)))
        if self._entries:
            files.append((bundle_path(self.size // TILE_WIDTH, len(self._entries)), bundle(self._entries)))
        return files

    def _push(self, level: int, one: bytes) -> None:
        if level == len(self._edges):
            self._edges.append([])
        edge = self._edges[level]
        edge.append(one)
        if len(edge) < TILE_WIDTH:
            return
        # The size is still that from before this entry, so its tile is the one that has just become full.
        self._files.append((tile_path(level, self.size >> _HEIGHT * (level + 1)), b"".join(edge)))
        self._edges[level] = []
        while len(edge) > 1:
            edge = [node_hash(edge[place], edge[place + 1]) for place in range(0, len(edge), 2)]
        self._push(level + 1, edge[0])

    def _subtree(self, level: int, index: int) -> bytes:
        """Return the root of one of the complete subtrees of which the tree consists: they all lie at the edge."""
        tile_level, height = divmod(level, _HEIGHT)
        start = (index << height) % TILE_WIDTH
        hashes = self._edges[tile_level][start : start + (1 << height)]
        while len(hashes) > 1:
            hashes = [node_hash(hashes[place], hashes[place + 1]) for place in range(0, len(hashes), 2)]
        return hashes[0]


def _last_entries(size: int, read: ReadFile) -> list[bytes]:
    index, width = divmod(size, TILE_WIDTH)
    if not width:
        return []
    path = bundle_path(index, width)
    try:
        return split_bundle(read(path), width)
    except FileNotFoundError:
        raise EvidenceError(f"the log's bundle of entries {path} is missing") from None
