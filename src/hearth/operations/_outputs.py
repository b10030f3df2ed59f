"""Reading back what a step wrote, whole: the record has its digest and its end."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hearth.errors import LedgerError
from hearth.execution import ContentStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger import LedgerHome

__all__ = ["read_output"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 16


def read_output(home: LedgerHome, digest: str) -> Iterator[bytes]:
    """Yield a kept output in pieces, in bounded memory.

    LedgerError where it is not kept, and, at the end of what was yielded, where it is not what its digest says.
    """
    if not _DIGEST.fullmatch(digest):
        raise LedgerError(f"{digest!r} is not a SHA-256 in lower-case hex")
    path = ContentStore(home.outputs).path(digest)
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                yield chunk
    except FileNotFoundError:
        raise LedgerError(f"the output with the SHA-256 {digest} is not kept here") from None
    except OSError as error:
        raise LedgerError(f"{path}: the output cannot be read: {error.strerror}") from error
    if found.hexdigest() != digest:
        raise LedgerError(f"{path}: the output is not what the record says: it was changed, or the disk is bad")
