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

    Whatever the clock does (also stepping back), the text is what the clock said. Call it under a lock, which may let a
    signal handler of the same thread in.
    """
    begins = 1 << 99  # microseconds; no clock is there
    second, second_text = -1 << 99, ""
    prefix = ""

    def now() -> str:
        nonlocal begins, second, second_text, prefix
        moment = time_ns() // 1_000
        past = moment - begins
        if not 0 <= past < 1_000:  # noqa: PLR2004 - microseconds in a millisecond
            past = moment % 1_000
            of_moment = moment // 1_000_000
            text = second_text
            if second != of_moment:
                text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(of_moment))
            to_millisecond = f"{text}{moment // 1_000 % 1_000:03d}"
            # All of it behind the last call: a signal handler may ask for the time, or raise, in the middle.
            begins = moment - past
            second, second_text, prefix = of_moment, text, to_millisecond
        return prefix + _TAILS[past]

    return now
