"""Pre-images: what a file held, kept under its digest before anything happens to it; holes stay holes."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from hearth.errors import ObservationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["ContentKeeper", "ContentStream", "Extents", "Kept", "copy_content", "digest_of", "extents_of", "keep"]

Extents = tuple[tuple[int, int], ...]
"""Where a sparse file has data: (offset, length) in bytes, ascending."""

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)


class ContentStream(Protocol):
    """What takes one content; left without `close()`, nothing of it stays."""

    def write(self, content: bytes) -> None:
        """Add bytes at the end; OSError when they cannot be written."""

    def close(self) -> str:
        """Make the content durable, and return its SHA-256 (hex)."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Throw away what was not closed."""


class ContentKeeper(Protocol):
    """Where contents are kept whole under their SHA-256; what `close()` of a stream named survives a power failure."""

    def put_stream(self) -> ContentStream:
        """Return a stream that takes one content."""

    def path(self, digest: str) -> Path:
        """Return where the content with this digest lies, or would lie."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file's content in a store: its own digest, under which digest it lies, and where a sparse file has data.

    A sparse file is kept without its holes (`extents` is not None), so `stored` is then another digest than its own.
    """

    sha256: str
    stored: str
    extents: Extents | None


def extents_of(descriptor: int, size: int) -> Extents | None:
    """Return where a file has data; None where it has no holes, or nobody can tell (lseek(2), SEEK_DATA)."""
    if os.fstat(descriptor).st_blocks * 512 >= size or not hasattr(os, "SEEK_DATA"):
        return None
    found = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                break
            return None
        found.append((start, min(at, size) - start))
    return None if found == [(0, size)] else tuple(found)


def digest_of(descriptor: int, size: int) -> str:
    """Return the SHA-256 (hex) of a file's content, of which the holes need not be read."""
    digest = hashlib.sha256()
    for piece, hole in _pieces(descriptor, size, extents_of(descriptor, size), packed=False):
        digest.update(piece)
        _hash_zeros(digest, hole)
    return digest.hexdigest()


def keep(descriptor: int, size: int, store: ContentKeeper) -> Kept:
    """Put a file's content into a store."""
    extents = extents_of(descriptor, size)
    digest = hashlib.sha256()
    with store.put_stream() as stream:
        for piece, hole in _pieces(descriptor, size, extents, packed=False):
            if piece:
                digest.update(piece)
                stream.write(piece)
            _hash_zeros(digest, hole)
        return Kept(digest.hexdigest(), stream.close(), extents)


def copy_content(source: int, target: int, size: int, packed: Extents | None = None) -> str:
    """Write one file's content into another, empty one, holes as holes; return its SHA-256 (hex).

    With `packed` the source is a sparse file as the store keeps it: its data alone.
    """
    extents = extents_of(source, size) if packed is None else packed
    digest = hashlib.sha256()
    at = 0
    for piece, hole in _pieces(source, size, extents, packed=packed is not None):
        if piece:
            digest.update(piece)
            view = memoryview(piece)
            while view:
                written = os.write(target, view)
                view = view[written:]
            at += len(piece)
        if hole:
            _hash_zeros(digest, hole)
            at = os.lseek(target, hole, os.SEEK_CUR)
    if extents is not None:
        os.ftruncate(target, size)
    if at != size:
        raise ObservationError(f"a content has {at} bytes, and {size} were expected")
    return digest.hexdigest()


def _pieces(descriptor: int, size: int, extents: Extents | None, *, packed: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the bytes in turn, each with the length of the hole that follows it."""
    at = 0  # in the content
    if extents is None:
        while piece := os.read(descriptor, _PIECE):
            yield piece, 0
        return
    if packed:
        os.lseek(descriptor, 0, os.SEEK_SET)
    for start, length in extents:
        if start > at:
            yield b"", start - at
        if not packed:
            os.lseek(descriptor, start, os.SEEK_SET)
        left = length
        while left:
            piece = os.read(descriptor, min(left, _PIECE))
            if not piece:
                raise ObservationError("a file became shorter while it was read")
            left -= len(piece)
            yield piece, 0
        at = start + length
    if size > at:
        yield b"", size - at


def _hash_zeros(digest: hashlib._Hash, count: int) -> None:
    while count > 0:
        digest.update(_ZEROS[: min(count, _PIECE)])
        count -= _PIECE
