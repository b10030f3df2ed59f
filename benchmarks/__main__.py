"""`make bench`: all of it in one run, as a table; the exit code says whether every budget is kept."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

from benchmarks import memory, recording, running, sandboxing, stopping, transparency, verifying
from benchmarks._report import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._report import Line

_ALL: tuple[Callable[[], list[Line]], ...] = (
    recording.in_memory,
    recording.durable,
    recording.starts,
    recording.seals,
    verifying.verifying,
    memory.memory,
    running.stage4,
    running.help_start,
    running.sizes,
    stopping.lockdown,
    sandboxing.sandbox_starts,
    sandboxing.sandbox_compiling,
    sandboxing.sandbox_files,
    transparency.transparency_log,
)


def main() -> int:
    """Measure, print the table, and return 1 when a budget is missed. Names of functions select some of them."""
    chosen = [measure for measure in _ALL if not sys.argv[1:] or measure.__name__ in sys.argv[1:]]
    lines: list[Line] = []
    for measure in chosen:
        print(f"measuring {measure.__name__} …", file=sys.stderr, flush=True)
        lines += measure()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}\n")
    print(table(lines))
    return 1 if any(line.kept is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
