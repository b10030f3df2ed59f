"""Tiles: the hashes and entries of a log as files that never change once they are full (C2SP tlog-tiles, v1)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._merkle import HASH_SIZE, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    ReadFile = Callable[[str], bytes]
    """Returns the content of a file by its path in the log's folder; FileNotFoundError where there is none."""

__all__ = ["TILE_WIDTH", "TileHashes", "bundle", "bundle_path", "split_bundle", "tile_path", "tile_sizes"]

TILE_WIDTH = 256
_HEIGHT = 8  # levels of the tree in a tile: 2^8 hashes at its bottom
_LARGEST_ENTRY = (1 << 16) - 1
_LARGEST_BUNDLE = TILE_WIDTH * (_LARGEST_ENTRY + 2)
_KEPT = 512  # tiles, of 8 KiB each
_GROUP = 1000


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return where a tile of hashes lies; one of fewer than 256 hashes is partial."""
    return f"tile/{level}/{_number(index)}{'' if width == TILE_WIDTH else f'.p/{width}'}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return where a bundle of entries lies."""
    return f"tile/entries/{_number(index)}{'' if width == TILE_WIDTH else f'.p/{width}'}"


def tile_sizes(size: int) -> Iterator[tuple[int, int]]:
    """Yield each level of a log's tiles, and how many hashes it has there."""
    level = 0
    while size:
        yield level, size
        level, size = level + 1, size >> _HEIGHT


def bundle(entries: Iterable[bytes]) -> bytes:
    """Return entries as a bundle holds them: each after its length, two bytes, the higher first."""
    pieces = []
    for entry in entries:
        if len(entry) > _LARGEST_ENTRY:
            raise EvidenceError(f"an entry of {len(entry)} bytes is refused; the most is {_LARGEST_ENTRY}")
        pieces += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(pieces)


def split_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle; EvidenceError where it does not hold just so many."""
    entries: list[bytes] = []
    place = 0
    while place + 2 <= len(data) <= _LARGEST_BUNDLE and len(entries) < width:
        length = int.from_bytes(data[place : place + 2], "big")
        place += 2 + length
        entries.append(data[place - length : place])
    if place != len(data) or len(entries) != width:
        raise EvidenceError(f"a bundle does not hold the {width} entries that it should")
    return entries


class TileHashes:
    """Reads the roots of complete subtrees from the tiles of a log of so many entries.

    A call with (level, index) returns what the proofs of this room need. EvidenceError where a tile is missing or has
    another size than it should; whether its content is true only the root tells.
    """

    def __init__(self, size: int, read: ReadFile) -> None:
        self._size = size
        self._read = read
        self._tiles: OrderedDict[tuple[int, int], Sequence[bytes]] = OrderedDict()

    def __call__(self, level: int, index: int) -> bytes:
        """Return the root of the 2^level leaves from index·2^level on."""
        tile_level, height = divmod(level, _HEIGHT)
        first, count = index << height, 1 << height
        tile, offset = divmod(first, TILE_WIDTH)
        hashes = list(self.tile(tile_level, tile)[offset : offset + count])
        if len(hashes) != count:
            raise EvidenceError(f"a log of {self._size} entries has no complete subtree {index} at level {level}")
        while len(hashes) > 1:
            hashes = [node_hash(*hashes[place : place + 2]) for place in range(0, len(hashes), 2)]
        return hashes[0]

    def tile(self, level: int, index: int) -> Sequence[bytes]:
        """Return the hashes of one tile."""
        place = (level, index)
        if place in self._tiles:
            self._tiles.move_to_end(place)
            return self._tiles[place]
        width = min(TILE_WIDTH, (self._size >> level * _HEIGHT) - index * TILE_WIDTH)
        if width <= 0:
            raise EvidenceError(f"a log of {self._size} entries has no tile {index} at level {level}")
        data = self._content(level, index, width)
        hashes = [data[start : start + HASH_SIZE] for start in range(0, width * HASH_SIZE, HASH_SIZE)]
        self._tiles[place] = hashes
        if len(self._tiles) > _KEPT:
            self._tiles.popitem(last=False)
        return hashes

    def _content(self, level: int, index: int, width: int) -> bytes:
        """Return a tile's bytes; where a partial one is gone, the full one begins with it."""
        path = tile_path(level, index, width)
        try:
            data = self._read(path)
        except FileNotFoundError:
            path = tile_path(level, index)
            try:
                data = self._read(path)[: width * HASH_SIZE]
            except FileNotFoundError:
                raise EvidenceError(f"the log's tile {path} is missing") from None
        if len(data) != width * HASH_SIZE:
            raise EvidenceError(f"the log's tile {path} has {len(data)} bytes, and not {width * HASH_SIZE}")
        return data


def _number(index: int) -> str:
    """Return an index in groups of three digits, all but the last marked with an x: 1234067 is x001/x234/067."""
    groups = [f"{index % _GROUP:03}"]
    while index >= _GROUP:
        index //= _GROUP
        groups.append(f"x{index % _GROUP:03}")
    return "/".join(reversed(groups))
