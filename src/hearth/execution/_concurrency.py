"""How many runs of a plan are under way at a time, over all processes that share a folder of locks."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from hearth.errors import ConcurrencyRefusedError
from hearth.record import percent_encode
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["plan_slot", "running_executions"]

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


def running_executions(folder: Path) -> frozenset[str]:
    """Return the ids of the executions that hold a slot now; OSError when that cannot be found out.

    A slot is taken before a run makes its folder, and given back after that is removed.
    """
    running = set()
    for path in folder.glob("*.lock"):
        with path.open("r+b", buffering=0) as file:
            if not try_lock(file.fileno()):
                running.add(file.read(_LONGEST).decode("utf-8", "replace"))
    return frozenset(running)


def _take(folder: Path, plan_id: str, limit: int, execution_id: str) -> BinaryIO:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    holders = []
    for number in range(limit):
        path = folder / f"{percent_encode(plan_id)}.{number}.lock"
        file = os.fdopen(os.open(path, _FLAGS, 0o600), "r+b", buffering=0)
        try:
            if try_lock(file.fileno()):
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
