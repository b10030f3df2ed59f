"""The time of an entry as text: the second is formatted once, the microseconds each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_time_text"]

_SECOND = 1_000_000_000


def make_time_text(time_ns: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Return a function that gives the present UTC time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`.

    Whatever the clock does (also stepping back), the text is what the clock said. Call it under a lock.
    """
    begins = ends = 0
    prefix = ""

    def now() -> str:
        nonlocal begins, ends, prefix
        moment = time_ns()
        if not begins <= moment < ends:
            begins = moment // _SECOND * _SECOND
            ends = begins + _SECOND
            prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(begins // _SECOND))
        # Six digits with leading zeros, cut out of ten: formatting with a width takes three times as long.
        return f"{prefix}{str(moment - begins + _SECOND)[1:7]}Z"

    return now
