"""The journals that this process writes: closed when it ends, abandoned in a process forked from it."""

from __future__ import annotations

import atexit
import os
import weakref
from contextlib import suppress
from typing import Protocol

from hearth.errors import RecorderError

__all__ = ["writers"]


class _Writer(Protocol):
    def close(self) -> None: ...

    def abandon(self) -> None: ...


writers: weakref.WeakSet[_Writer] = weakref.WeakSet()


def _abandon_all() -> None:
    for journal in list(writers):
        journal.abandon()


@atexit.register
def _close_all() -> None:
    """Write what was accepted in the last milliseconds of a process that ends without closing its journals."""
    for journal in list(writers):
        with suppress(RecorderError):
            journal.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
