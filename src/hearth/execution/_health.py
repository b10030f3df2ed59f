"""Before every step: can the recorder go on, and is there room for what it has to write?"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError, RecorderUnfitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.recorder import JournalSink
    from hearth.security import Policy

__all__ = ["RecorderHealth", "require_room"]

_MEGABYTE = 1 << 20
_READ_ONLY = getattr(os, "ST_RDONLY", 0)


class RecorderHealth:
    """Looks at a run's journal and at the volume it lies on; costs some microseconds, and writes nothing.

    A journal that cannot record any more raises RecorderError: nothing can be sealed there. One that still can, but has
    too little room or lies on a volume that is read-only or cannot be asked, raises RecorderUnfitError, so that the run
    is sealed while that is possible. A sink without `check` has none, one without `path` takes no room.
    """

    def __init__(self, journal: JournalSink | None, policy: Policy) -> None:
        self._check: Callable[[], object] = getattr(journal, "check", _nothing)
        path: Path | None = getattr(journal, "path", None)
        self._folder = None if path is None else path.parent
        self._policy = policy

    def check(self) -> None:
        """Raise when the next step's start would have no evidence, or a run no room to end in."""
        self._check()
        if self._folder is not None:
            _look_for_room(self._folder, self._policy)

    def before(self, check: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a check of steps that looks here first, then calls `check`."""

        def both(step: Any) -> None:  # noqa: ANN401 - any plan's
            self.check()
            check(step)

        return both


def require_room(folder: Path, policy: Policy) -> None:
    """Raise GateRefusedError where a run whose journal is to lie in this folder would have no room.

    No recorder has failed then, for none has begun: it is a refusal, and says nothing against the system.
    """
    try:
        _look_for_room(folder, policy)
    except RecorderUnfitError as error:
        raise GateRefusedError(str(error)) from error


def _look_for_room(folder: Path, policy: Policy) -> None:
    try:
        free, read_only = _look_at(folder)
    except OSError as error:
        raise RecorderUnfitError(
            f"{folder}: how much room there is for the journal cannot be told: {error.strerror or error}; "
            "a volume that cannot be asked is not written to. Mend it, then run the plan again"
        ) from error
    if read_only:
        raise RecorderUnfitError(
            f"{folder}: the volume of the journal is read-only now; the system's log says why. Mend it, then run "
            "the plan again"
        )
    if free < policy.free_space:
        raise RecorderUnfitError(
            f"{folder}: {free / _MEGABYTE:.1f} MB are free where the journal lies, and it needs "
            f"{policy.free_space / _MEGABYTE:g} MB; make room, or lower `journal: free_space_mb:` in "
            f"{policy.source}"
        )


def _look_at(folder: Path) -> tuple[int, bool]:
    """Return the bytes that this user may still write, and whether the volume is read-only."""
    if hasattr(os, "statvfs"):
        volume = os.statvfs(folder)
        return volume.f_bavail * volume.f_frsize, bool(volume.f_flag & _READ_ONLY)
    return shutil.disk_usage(folder).free, False


def _nothing() -> None:
    """Stand in for a check that a sink does not have."""
