"""The Merkle tree against the definition of RFC 6962, written out as it stands there."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import EvidenceError
from hearth.evidence import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

MOST = 600
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(MOST)]
# The tree that RFC 6962's authors test with: these entries, and the roots of the first 0 to 8 of them.
ENTRIES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
ENTRIES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@cache
def definition(start: int, end: int) -> bytes:
    """MTH of section 2.1."""
    size = end - start
    if size == 0:
        return hashlib.sha256(b"").digest()
    if size == 1:
        return LEAVES[start]
    split = 1
    while split * 2 < size:
        split *= 2
    return node_hash(definition(start, start + split), definition(start + split, end))


def read(level: int, index: int) -> bytes:
    return definition(index << level, (index + 1) << level)


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_published_roots(size: int) -> None:
    frontier = Frontier()
    for entry in ENTRIES[:size]:
        frontier.append(leaf_hash(entry))
    assert frontier.root().hex() == ROOTS[size]


def test_a_growing_tree_has_the_root_of_the_definition_at_every_size() -> None:
    frontier = Frontier()
    for size in range(MOST):
        assert frontier.root() == definition(0, size) == tree_root(size, read)
        assert frontier.roots == Frontier.read(size, read).roots
        frontier.append(LEAVES[size])


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 129, 255, 256, 257, 600])
def test_every_entry_is_shown_to_be_included(size: int) -> None:
    root = definition(0, size)
    for index in range(size):
        proof = inclusion_proof(index, size, read)
        verify_inclusion(index, size, LEAVES[index], proof, root)
        wrong = (index + 1) % MOST
        with pytest.raises(EvidenceError):
            verify_inclusion(index, size, LEAVES[wrong], proof, root)
        for other in ([*proof, root], proof[:-1]) if proof else ([root],):
            with pytest.raises(EvidenceError):
                verify_inclusion(index, size, LEAVES[index], other, root)


@pytest.mark.parametrize("newer", [*range(1, 70), 255, 256, 257, 600])
def test_every_older_tree_is_shown_to_be_continued(newer: int) -> None:
    for older in range(1, newer + 1):
        proof = consistency_proof(older, newer, read)
        verify_consistency(older, newer, definition(0, older), definition(0, newer), proof)
        if older == newer:
            assert proof == []
            continue
        wrong = bytes(32)
        # Of a complete subtree the proof takes the older root from whoever asks: then the newer one comes out wrong.
        with pytest.raises(EvidenceError, match="newer root" if older & (older - 1) == 0 else "older root"):
            verify_consistency(older, newer, wrong, definition(0, newer), proof)
        with pytest.raises(EvidenceError, match="newer root"):
            verify_consistency(older, newer, definition(0, older), wrong, proof)
        for other in ([*proof, wrong], proof[:-1], []):
            with pytest.raises(EvidenceError):
                verify_consistency(older, newer, definition(0, older), definition(0, newer), other)


@given(st.integers(1, MOST), st.data())
def test_a_changed_proof_shows_nothing(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, read)
    if not proof:
        return
    place = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(proof[place])
    changed[bit // 8] ^= 1 << bit % 8
    proof[place] = bytes(changed)
    with pytest.raises(EvidenceError):
        verify_inclusion(index, size, LEAVES[index], proof, definition(0, size))


def test_what_is_no_tree_and_no_proof() -> None:
    with pytest.raises(EvidenceError, match="no entry 3"):
        root_from_inclusion(3, 3, LEAVES[0], [])
    with pytest.raises(EvidenceError, match="no entry"):
        inclusion_proof(-1, 3, read)
    with pytest.raises(EvidenceError, match="32 bytes"):
        root_from_inclusion(0, 2, LEAVES[0], [b"short"])
    for older, newer in ((0, 3), (3, 2), (-1, 2)):
        with pytest.raises(EvidenceError):
            consistency_proof(older, newer, read)
        with pytest.raises(EvidenceError):
            verify_consistency(older, newer, LEAVES[0], LEAVES[0], [])
    with pytest.raises(EvidenceError, match="complete subtrees"):
        Frontier(3, [LEAVES[0]])
