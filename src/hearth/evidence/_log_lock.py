"""One process at a time writes in a log's folder, or in a witness's."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hearth.errors import EvidenceBusyError
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["locked"]

_PATIENCE = 60.0  # seconds, as with the ledger: many processes on a slow disk take their time, and nobody queues
_PAUSE = 0.005


@contextmanager
def locked(folder: Path, name: str = ".lock", *, patience: float | None = None) -> Iterator[None]:
    """Hold the folder's lock; it ends with the process.

    EvidenceBusyError when others have held it for a minute, or for `patience` seconds.
    """
    patience = _PATIENCE if patience is None else patience
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(folder / name, flags, 0o600)
    try:
        end = time.monotonic() + patience
        while not try_lock(descriptor):
            if time.monotonic() > end:
                raise EvidenceBusyError(
                    f"another process has been writing in {folder} for {patience:g} seconds; try it again"
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)
