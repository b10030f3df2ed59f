"""Before the first step: what outside of the journal has to know of a run before it acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.recorder import JournalSink

__all__ = ["Announcement"]


class Announcement:
    """Tells of a run once, when its opening is durable in its journal and no step has started.

    `tell` raises RecorderUnfitError where it cannot: the run is sealed then, and no step starts.
    """

    def __init__(self, execution_id: str, journal: JournalSink | None, tell: Callable[[str], object] | None) -> None:
        self._execution_id = execution_id
        self._journal = journal
        self._tell = tell

    def before(self, check: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a check of steps that tells at the first of them, then calls `check`."""

        def both(step: Any) -> None:  # noqa: ANN401 - any plan's
            tell, self._tell = self._tell, None
            if tell is not None:
                if self._journal is not None:
                    self._journal.sync()
                tell(self._execution_id)
            check(step)

        return both
