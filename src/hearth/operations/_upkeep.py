"""One upkeep at a time: purges, backups and checks of one ledger wait for one another; runs do not wait for them."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hearth.errors import LedgerError
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["upkeep"]

_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.02


@contextmanager
def upkeep(root: Path, what: str, *, needed: bool = True, seconds: float = _WAIT_SECONDS) -> Iterator[bool]:
    """Hold the lock of a ledger's upkeep; the system gives it back when the process ends, however it ends.

    Where another holds it longer than `seconds`, or the folder cannot be written: LedgerError if it is `needed`, else
    False is yielded.
    """
    path = root / "locks" / "upkeep"  # not `*.lock`: those are the slots of plans
    descriptor = -1
    try:
        try:
            if needed:
                path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            if needed:
                raise LedgerError(f"{path}: {error.strerror}; {what} needs to write there") from error
        held = descriptor >= 0 and _locked(descriptor, seconds)
        if needed and not held:
            raise LedgerError(
                f"{root}: another backup, purge or check has been at work for {seconds:g} s; wait for its end, then "
                f"start {what} again"
            )
        yield held
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _locked(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
