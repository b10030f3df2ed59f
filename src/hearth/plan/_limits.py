"""The bounds of a plan: whatever a file holds, reading it takes bounded time and memory.

Every bound is far above what a plan that a person reviews needs; large data belongs into an input file, which is
only hashed. What crosses a bound is refused with a PlanError that names it.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "LARGEST_INTEGER",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INPUT_FILES",
    "MAX_NODES",
    "MAX_NUMBER_LENGTH",
    "MAX_PROBLEMS",
    "MAX_STEPS",
    "MAX_TIMEOUT",
]

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a plan file, and characters of all its texts after substitution."""

MAX_DEPTH: Final = 32
"""Mappings and lists inside each other; below the 64 of a record, and far below Python's own recursion limit."""

MAX_NODES: Final = 20_000
"""Values, keys not counted."""

MAX_STEPS: Final = 1_000

MAX_NUMBER_LENGTH: Final = 64
"""Characters of a number as written; longer ones are refused before they are converted."""

LARGEST_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader takes exactly (RFC 8785, section 3.2.2.3; I-JSON)."""

MAX_TIMEOUT: Final = 30 * 24 * 3600
"""Seconds: thirty days."""

MAX_INPUT_FILES: Final = 10_000

MAX_PROBLEMS: Final = 100
"""Problems reported at once; the rest are counted."""
