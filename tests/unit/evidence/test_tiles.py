"""Tiles: their names, their bundles, and the tree that they give at every size."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import EvidenceError
from hearth.evidence import (
    Frontier,
    GrowingTiles,
    TileHashes,
    bundle_path,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tile_path,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from hearth.evidence._tiles import bundle, split_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable

SIZES = {*range(1, 601), *(power + more for power in (65_536, 65_792) for more in (-1, 0, 1)), 40_000, 70_000}


class Files(dict[str, bytes]):
    """The files of a log, in memory."""

    def read(self, path: str) -> bytes:
        try:
            return self[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def take(self, tiles: GrowingTiles) -> None:
        self.update(tiles.take_files())


def entry(number: int) -> bytes:
    return b"entry %d" % number


def grown(entries: Iterable[bytes]) -> Files:
    files = Files()
    tiles = GrowingTiles(0, files.read)
    for one in entries:
        tiles.append(one)
    files.take(tiles)
    return files


def test_names() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(1, 0) == "tile/1/000"
    assert tile_path(2, 999, 17) == "tile/2/999.p/17"
    assert tile_path(0, 1000, 1) == "tile/0/x001/000.p/1"
    assert bundle_path(5, 255) == "tile/entries/005.p/255"
    assert bundle_path(70_000) == "tile/entries/x070/000"


def test_every_size_has_the_root_and_proofs_of_its_tree() -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    files, frontier = Files(), Frontier()
    tiles = GrowingTiles(0, files.read)
    roots = {}
    for size in range(1, 70_001):
        tiles.append(entry(size - 1))
        frontier.append(leaf_hash(entry(size - 1)))
        if size not in SIZES:
            continue
        files.take(tiles)
        root = roots[size] = frontier.root()
        hashes = TileHashes(size, files.read)
        assert tiles.root() == tree_root(size, hashes) == root
        for index in {0, size - 1, chance.randrange(size)}:
            proof = inclusion_proof(index, size, hashes)
            verify_inclusion(index, size, leaf_hash(entry(index)), proof, root)
        older = chance.choice(list(roots))
        verify_consistency(older, size, roots[older], root, consistency_proof(older, size, hashes))
        assert GrowingTiles(size, files.read).root() == root, "who comes later goes on from the files"


def test_only_the_tiles_of_the_specification_are_written() -> None:
    files = grown(map(entry, range(256 * 256 + 256 + 3)))
    assert {path for path in files if path.startswith("tile/1/")} == {"tile/1/000", "tile/1/001.p/1"}
    assert {path for path in files if path.startswith("tile/2/")} == {"tile/2/000.p/1"}
    assert len([path for path in files if path.startswith("tile/0/")]) == 257 + 1
    assert len(files["tile/0/000"]) == 8192
    assert len(files["tile/0/257.p/3"]) == 3 * 32
    assert split_bundle(files["tile/entries/257.p/3"], 3) == [entry(number) for number in range(65_792, 65_795)]
    assert not any("/.p/" in path or path.endswith(".p/0") for path in grown(map(entry, range(256))))


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert split_bundle(bundle(entries), len(entries)) == entries


def test_what_is_no_bundle() -> None:
    whole = bundle([b"one", b"two"])
    for data, width in ((whole, 1), (whole, 3), (whole[:-1], 2), (whole + b"\0", 2), (b"\xff\xff", 1), (b"", 1)):
        with pytest.raises(EvidenceError):
            split_bundle(data, width)
    with pytest.raises(EvidenceError, match="65536 bytes"):
        bundle([bytes(65_536)])
    assert len(bundle([bytes(65_535)])) == 65_537


@pytest.mark.parametrize("path", ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"])
def test_a_file_that_is_missing_cut_or_changed_is_noticed(path: str) -> None:
    whole = grown(map(entry, range(300)))
    assert path in whole
    without = Files({name: content for name, content in whole.items() if name != path})
    with pytest.raises(EvidenceError, match="missing"):
        GrowingTiles(300, without.read)
    with pytest.raises(EvidenceError):
        GrowingTiles(300, Files({**whole, path: whole[path][:-1]}).read)
    changed = Files({**whole, path: whole[path][:-1] + bytes([whole[path][-1] ^ 1])})
    try:
        root = GrowingTiles(300, changed.read).root()
    except EvidenceError:
        return
    assert root != GrowingTiles(300, whole.read).root()


def test_a_partial_tile_that_was_cleared_away_is_read_from_the_full_one() -> None:
    whole = grown(map(entry, range(256)))
    hashes = TileHashes(44, whole.read)
    frontier = Frontier()
    for number in range(44):
        frontier.append(leaf_hash(entry(number)))
    assert tree_root(44, hashes) == frontier.root()


def test_what_a_log_does_not_have() -> None:
    hashes = TileHashes(300, grown(map(entry, range(300))).read)
    for level, index in ((0, 300), (8, 1), (9, 0), (16, 0)):
        with pytest.raises(EvidenceError):
            hashes(level, index)
