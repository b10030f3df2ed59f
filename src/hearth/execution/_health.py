"""Before every step: can the recorder go on, and is there room for what it has to write?"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from hearth.errors import RecorderUnfitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.recorder import JournalSink
    from hearth.security import Policy

__all__ = ["RecorderHealth"]

_MEGABYTE = 1 << 20
_READ_ONLY = getattr(os, "ST_RDONLY", 0)


class RecorderHealth:
    """Looks at a run's journal and at the volume it lies on; costs some microseconds, and writes nothing.

    A journal that cannot record any more raises RecorderError: nothing can be sealed there. One that still can, but has
    too little room or lies on a volume that is read-only or cannot be asked, raises RecorderUnfitError, so that the run
    is sealed while that is possible. A sink without `check` has none, one without `path` takes no room.
    """

    def __init__(self, journal: JournalSink | None, policy: Policy, *, folder: Path | None = None) -> None:
        """`folder`: where the journal will lie, as long as there is none."""
        self._check: Callable[[], object] = getattr(journal, "check", _nothing)
        path: Path | None = getattr(journal, "path", None)
        self._folder = folder if path is None else path.parent
        self._policy = policy

    def check(self) -> None:
        """Raise when the next step's start would have no evidence, or a run no room to end in."""
        self._check()
        folder = self._folder
        if folder is None:
            return
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
        if free < self._policy.free_space:
            raise RecorderUnfitError(
                f"{folder}: {free / _MEGABYTE:.1f} MB are free where the journal lies, and it needs "
                f"{self._policy.free_space / _MEGABYTE:g} MB; make room, or lower `journal: free_space_mb:` in "
                f"{self._policy.source}"
            )

    def before(self, check: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a check of steps that looks here first, then calls `check`."""

        def both(step: Any) -> None:  # noqa: ANN401 - any plan's
            self.check()
            check(step)

        return both


def _look_at(folder: Path) -> tuple[int, bool]:
    """Return the bytes that this user may still write, and whether the volume is read-only."""
    if hasattr(os, "statvfs"):
        volume = os.statvfs(folder)
        return volume.f_bavail * volume.f_frsize, bool(volume.f_flag & _READ_ONLY)
    return shutil.disk_usage(folder).free, False


def _nothing() -> None:
    """Stand in for a check that a sink does not have."""
