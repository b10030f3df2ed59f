"""How many runs of a plan are under way at a time, over all processes that share a folder of locks."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from hearth.errors import ConcurrencyRefusedError
from hearth.record import percent_encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["plan_slot"]

_LONGEST = 4096
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def plan_slot(folder: Path, plan_id: str, limit: int, execution_id: str) -> Iterator[None]:
    """Hold one of the `limit` slots of a plan; ConcurrencyRefusedError names the runs that hold them all.

    A slot is a locked file of `folder`. The system gives the lock back when its process ends, however it ends,
    so that a slot is never left behind; the files stay, for removing one that is locked would make two.
    """
    try:
        slot = _take(folder, plan_id, limit, execution_id)
    except OSError as error:
        raise ConcurrencyRefusedError(
            f"{error.filename or folder}: the runs of the plan {plan_id} cannot be counted: {error.strerror}; "
            "nothing was started"
        ) from error
    with slot:
        yield


def _take(folder: Path, plan_id: str, limit: int, execution_id: str) -> BinaryIO:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    holders = []
    for number in range(limit):
        path = folder / f"{percent_encode(plan_id)}.{number}.lock"
        file = os.fdopen(os.open(path, _FLAGS, 0o600), "r+b", buffering=0)
        try:
            if _try_lock(file.fileno()):
                file.truncate(0)
                file.write(execution_id.encode("utf-8", "backslashreplace")[:_LONGEST])
                return file
            holders.append(file.read(_LONGEST).decode("utf-8", "replace") or "one that is just starting")
        except BaseException:
            file.close()
            raise
        file.close()
    times = "one run" if limit == 1 else f"{limit} runs"
    raise ConcurrencyRefusedError(
        f"the plan {plan_id} allows {times} at a time, and there is {', '.join(holders)}; "
        "wait for its end, or raise `concurrency` in the plan"
    )


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # Far beyond the end: Windows locks bytes, and others still read the holder's name.
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, 2**62, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
