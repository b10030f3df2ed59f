"""Reading back what a step wrote, whole: the record has its digest and its end."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hearth.errors import LedgerError, RecordError
from hearth.execution import ContentStore
from hearth.operations._kept import has_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger import LedgerHome

__all__ = ["read_output"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 16


def read_output(home: LedgerHome, digest: str) -> Iterator[bytes]:
    """Return a kept output in pieces, in bounded memory. It is checked first, in a reading of its own.

    LedgerError where it is not kept or cannot be read; RecordError, before the first piece, where it is not what its
    digest says, and at the end, should it change in between.
    """
    if not _DIGEST.fullmatch(digest):
        raise LedgerError(f"{digest!r} is not a SHA-256 in lower-case hex")
    path = ContentStore(home.outputs).path(digest)
    changed = f"{path}: the output is not what the record says: it was changed, or the disk is bad"
    try:
        if not has_digest(path, digest):
            raise RecordError(changed)
        found = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                yield chunk
    except FileNotFoundError:
        raise LedgerError(f"the output with the SHA-256 {digest} is not kept here") from None
    except OSError as error:
        raise LedgerError(f"{path}: the output cannot be read: {error.strerror}") from error
    if found.hexdigest() != digest:
        raise RecordError(changed)
