"""An exclusive lock on an open file, by which two recorders never write one journal."""

from __future__ import annotations

import sys
import time

__all__ = ["lock_soon", "try_lock"]

_PAUSE_SECONDS = 0.002


def lock_soon(descriptor: int, seconds: float = 0.5) -> bool:
    """Lock the file exclusively, waiting a moment for somebody who only looks whether it is locked."""
    end = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


if sys.platform == "win32":
    import msvcrt

    # Beyond any journal's end: Windows locks bytes, and readers must still read the content.
    _FAR = 2**62

    def try_lock(descriptor: int) -> bool:
        """Lock the file exclusively until it is closed; return False when somebody else holds it."""
        import os

        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock the file exclusively until it is closed; return False when somebody else holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
