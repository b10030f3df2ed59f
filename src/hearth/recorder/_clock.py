"""The time of an entry as text: formatted once for each millisecond, as a busy recorder asks several hundred times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_time_text"]

_TAILS = [f"{microsecond:03d}Z" for microsecond in range(1000)]


def make_time_text(time_ns: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Return a function that gives the present UTC time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`.

    Whatever the clock does (also stepping back), the text is what the clock said. Call it under a lock.
    """
    begins = 1 << 99  # microseconds; no clock is there
    second, second_text = -1, ""
    prefix = ""

    def now() -> str:
        nonlocal begins, second, second_text, prefix
        moment = time_ns() // 1_000
        if not 0 <= moment - begins < 1_000:  # noqa: PLR2004 - microseconds in a millisecond
            begins = moment - moment % 1_000
            if second != moment // 1_000_000 or not second_text:
                second = moment // 1_000_000
                second_text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            prefix = f"{second_text}{begins // 1_000 % 1_000:03d}"
        return prefix + _TAILS[moment - begins]

    return now
