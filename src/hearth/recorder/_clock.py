"""The time of an entry as text: the second is formatted once, the microseconds each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_time_text"]


def make_time_text(time_ns: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Return a function that gives the present UTC time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`.

    Whatever the clock does (also stepping back), the text is what the clock said. Call it under a lock.
    """
    second: int | None = None
    prefix = ""

    def now() -> str:
        nonlocal second, prefix
        microseconds = time_ns() // 1000
        whole = microseconds // 1_000_000
        if whole != second:
            prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole))
            second = whole
        # Six digits with leading zeros: formatting with a width takes three times as long.
        return f"{prefix}{str(microseconds - whole * 1_000_000 + 1_000_000)[1:]}Z"

    return now
