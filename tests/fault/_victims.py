"""Killing forks of one process at random moments of a piece of work, each on a ground of its own."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GROUNDS", "kill_at_moments"]

GROUNDS = ("whole", "measured")
"""The grounds, besides one for each moment, that have to be there: on these the work is done to its end."""


def kill_at_moments(work: Callable[[str], object], moments: int, *, stretch: float) -> None:
    """Fork a process for each moment, have it do the work on the ground "0", "1" …, and end it with SIGKILL.

    The moments are spread over `stretch` times as long as the work takes. What goes wrong in one stands on stderr.
    """
    work("whole")  # everything is loaded then
    started = time.monotonic()
    work("measured")
    longest = (time.monotonic() - started) * stretch
    for seed in range(moments):
        begun, ready = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(ready, b"!")
                work(str(seed))
            except BaseException as error:  # noqa: BLE001 - nothing may leave a fork
                sys.stderr.write(f"{error!r}\n")
                sys.stderr.flush()
            finally:
                os._exit(0)
        os.close(ready)
        os.read(begun, 1)
        os.close(begun)
        time.sleep(random.Random(seed).uniform(0.0, longest))  # noqa: S311 - the same moments each time
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
