"""The Merkle tree of RFC 6962 (section 2.1, with its hashes and proofs; RFC 9162 names the same)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    SubtreeHash = Callable[[int, int], bytes]
    """Returns the root of the complete subtree at (level, index): that of the 2^level leaves from index·2^level on."""

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "Frontier",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root_from_inclusion",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()
_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(00 ‖ entry)."""
    return _sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(01 ‖ left ‖ right)."""
    return _sha256(b"\1" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: all that is needed to add leaves and to tell the root, O(log n) hashes.

    `roots` are those of the complete subtrees of which the tree consists, largest first: one for each bit of `size`.
    """

    __slots__ = ("roots", "size")

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self.roots = list(roots)
        if size < 0 or len(self.roots) != size.bit_count() or any(len(one) != HASH_SIZE for one in self.roots):
            raise EvidenceError(f"a tree of {size} leaves has {max(size, 0).bit_count()} complete subtrees")

    @classmethod
    def read(cls, size: int, read: SubtreeHash) -> Frontier:
        """Return that of a tree that is kept elsewhere."""
        roots, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                roots.append(read(level, start >> level))
                start += 1 << level
        return cls(size, roots)

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        size, roots = self.size, self.roots
        while size & 1:
            leaf = _sha256(b"\1" + roots.pop() + leaf).digest()
            size >>= 1
        roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the tree's root."""
        if not self.roots:
            return EMPTY_ROOT
        *others, root = self.roots
        for left in reversed(others):
            root = node_hash(left, root)
        return root


def tree_root(size: int, read: SubtreeHash) -> bytes:
    """Return the root of the first `size` leaves."""
    return Frontier.read(size, read).root()


def inclusion_proof(index: int, size: int, read: SubtreeHash) -> list[bytes]:
    """Return the hashes that lead from a leaf to the root of the first `size` leaves, the leaf's sibling first."""
    if not 0 <= index < size:
        raise EvidenceError(f"a log of {size} entries has no entry {index}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, read))
            end = middle
        else:
            proof.append(_range_root(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(older: int, newer: int, read: SubtreeHash) -> list[bytes]:
    """Return the hashes that show that the first `older` of `newer` leaves are what they were (section 2.1.2)."""
    if not 0 < older <= newer:
        raise EvidenceError(f"there is no proof of consistency from a log of {older} entries to one of {newer}")
    proof: list[bytes] = []
    start, end, whole = 0, newer, True
    while older != end - start:
        middle = _split(end - start)
        if older <= middle:
            proof.append(_range_root(start + middle, end, read))
            end = start + middle
        else:
            proof.append(_range_root(start, start + middle, read))
            start, older, whole = start + middle, older - middle, False
    if not whole:
        proof.append(_range_root(start, end, read))
    return proof[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that a proof gives for a leaf's hash (section 2.1.1); EvidenceError for one that gives none."""
    if not 0 <= index < size:
        raise EvidenceError(f"a log of {size} entries has no entry {index}")
    _require_hashes((leaf, *proof))
    root, position, last = leaf, index, size - 1
    remaining = iter(proof)
    for one in remaining:
        if last == 0:
            raise EvidenceError(f"the proof of inclusion of entry {index} in {size} has too many hashes: {len(proof)}")
        if position & 1 or position == last:
            root = node_hash(one, root)
            while not position & 1:  # on the right edge a subtree without a sibling rises until it has one
                position >>= 1
                last >>= 1
        else:
            root = node_hash(root, one)
        position >>= 1
        last >>= 1
    if last != 0:
        raise EvidenceError(f"the proof of inclusion of entry {index} in {size} has too few hashes: {len(proof)}")
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise EvidenceError unless the leaf's hash is at `index` of the tree with this size and root."""
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise EvidenceError(
            f"entry {index} is not in the log of {size} entries with this root: the proof leads elsewhere"
        )


def verify_consistency(older: int, newer: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise EvidenceError unless the tree of `newer` leaves begins with that of `older` (RFC 9162, section 2.1.4.2)."""
    if not 0 < older <= newer:
        raise EvidenceError(f"nothing shows that a log of {newer} entries continues one of {older}")
    _require_hashes(proof)
    wrong = f"the log of {newer} entries does not continue the one of {older}"
    if older == newer:
        if proof or old_root != new_root:
            raise EvidenceError(f"{wrong}: they have the same size, and are not the same")
        return
    if not proof:
        raise EvidenceError(f"{wrong}: the proof is empty")
    # Where the older tree is one complete subtree, the proof begins with its root, which is not repeated in it.
    path = list(proof) if older & (older - 1) else [old_root, *proof]
    found = _roots_from_consistency(older, newer, path)
    if found is None:
        raise EvidenceError(f"{wrong}: the proof has not as many hashes as it takes")
    if found[0] != old_root:
        raise EvidenceError(f"{wrong}: the proof does not give the older root")
    if found[1] != new_root:
        raise EvidenceError(f"{wrong}: the proof does not give the newer root")


def _roots_from_consistency(older: int, newer: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the older and the newer root to which a path leads; None where it has too few or too many hashes."""
    position, last = older - 1, newer - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            return None
        if position & 1 or position == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, one)
        position >>= 1
        last >>= 1
    return (old, new) if last == 0 else None


def _require_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise EvidenceError(f"a hash in a proof does not have {HASH_SIZE} bytes")


def _split(size: int) -> int:
    """Return the largest power of two below a size of at least two."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(start: int, end: int, read: SubtreeHash) -> bytes:
    """Return the root of the leaves from `start` to before `end`, a range at which the tree was split."""
    size = end - start
    roots = []
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            roots.append(read(level, start >> level))
            start += 1 << level
    *others, root = roots
    for left in reversed(others):
        root = node_hash(left, root)
    return root
