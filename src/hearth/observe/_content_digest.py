"""ContentDigest: the SHA-256 of files, whose holes cost a step nothing to make, and whoever reads them time."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from hearth.errors import ObservationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ContentDigest", "TooManyHolesError"]

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_MOST_HOLES = 8 << 30  # bytes of one file: some five seconds
_MOST_HOLES_IN_ALL = 16 << 30


class TooManyHolesError(Exception):
    """A file has more bytes in its holes than are counted."""


class ContentDigest:
    """Hashes files. What was written is read, however much; of holes (bytes that nobody wrote) there is a limit.

    `stop` says why to end at once ("": go on); it is asked before each piece. For several threads, one each.
    """

    def __init__(self, stop: Callable[[], str] | None = None) -> None:
        self._stop = stop
        self._holes = _MOST_HOLES_IN_ALL

    def check(self) -> None:
        """Raise ObservationError where it is to stop."""
        if self._stop is not None and (why := self._stop()):
            raise ObservationError(f"what the step did was not read to its end: {why}")

    def of(self, descriptor: int) -> tuple[str, int]:
        """Return a file's SHA-256 (hex) and how many bytes were read; TooManyHolesError, ObservationError, OSError."""
        digest = hashlib.sha256()
        length = 0
        left = min(_MOST_HOLES, self._holes)
        for start, end in _data(descriptor):
            left -= start - length
            if left < 0:
                raise TooManyHolesError
            self._holes -= start - length
            while length < start:
                self.check()
                piece = _ZEROS[: start - length]
                digest.update(piece)
                length += len(piece)
            os.lseek(descriptor, start, os.SEEK_SET)
            while length < end:
                self.check()
                read = os.read(descriptor, min(_PIECE, end - length))
                if not read:
                    return digest.hexdigest(), length
                digest.update(read)
                length += len(read)
        while read := os.read(descriptor, _PIECE):  # it grew, or its size says nothing (proc(5))
            self.check()
            digest.update(read)
            length += len(read)
        return digest.hexdigest(), length


def _data(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data, as (start, end), and its end as an empty one; all of it where that is not told."""
    status = os.fstat(descriptor)
    size = status.st_size
    here = 0
    while here < size:
        start, end = here, size
        if getattr(status, "st_blocks", size) * 512 < size:
            try:
                start = os.lseek(descriptor, here, os.SEEK_DATA)
                end = os.lseek(descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break  # nothing but a hole up to the end
        yield start, end
        here = end
    yield size, size
