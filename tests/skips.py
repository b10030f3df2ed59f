"""Skips that count as failures: where all that the tests need can be installed, nothing is left out silently.

`.ci/run` sets HEARTH_SKIPS=few. Then a test may be skipped for one of the reasons below alone: what the machine is, not
what it lacks.
"""

from __future__ import annotations

import os
import re

__all__ = ["few_are_permitted", "is_permitted"]

_REASONS = (
    "root may write everywhere",
    "without an index .*",  # of overlayfs, which some kernels cannot have
    "the published (vectors do|files are) not .*",  # they lie beside some clones
    "this file system .*",
    "no (access lists|ACLs) here: .*",
    "no such name is possible here: .*",
    "the folder for temporary files is not sticky",
    "this kernel has no POSIX message queues",
    "the numbers of 32-bit programs are those of x86-64",
    "it is answered for",  # a case of a matrix that says nothing
    "no other byte says what should stand here",
    "not all tests of a file were collected",
)
_PERMITTED = re.compile("|".join(_REASONS), re.DOTALL)


def few_are_permitted() -> bool:
    """Whether a skip for another reason is a failure in this run."""
    return os.environ.get("HEARTH_SKIPS") == "few"


def is_permitted(reason: str) -> bool:
    """Whether a test may be skipped for this reason where few are permitted."""
    return _PERMITTED.fullmatch(reason.removeprefix("Skipped: ")) is not None
