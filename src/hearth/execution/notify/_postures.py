"""A posture store that tells of what this process changes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.security import KeptPosture, Posture, PostureStore

__all__ = ["NoticedPostures", "posture_notice"]


class NoticedPostures:
    """Fulfils `PostureStore` by another one, and sends `escalation` or `restore` for each change made through it.

    So each change is told once, by the process that made it, however many processes notice it. `present` says what a
    change starts from, where `load` refuses to.
    """

    def __init__(
        self,
        store: PostureStore,
        send: Callable[[str, Mapping[str, Any]], object],
        *,
        present: Callable[[], KeptPosture] | None = None,
    ) -> None:
        self._store = store
        self._send = send
        self._present = store.load if present is None else present

    def load(self) -> KeptPosture:
        """Return what the store holds."""
        return self._store.load()

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        """Change the store; a change that was made is told of."""
        before = self._present()
        if not self._store.compare_and_set(expected, new):
            return False
        self._send(*posture_notice(before.posture, new))
        return True


def posture_notice(before: Posture | None, new: KeptPosture) -> tuple[str, dict[str, Any]]:
    """Return the event that a change of the posture is, and what is told of it; None: it is not known from what."""
    return "escalation" if before is None or new.posture.worse_than(before) else "restore", {
        "status": str(new.posture.security),
        "security_state": str(new.posture.security),
        "boundary_state": str(new.posture.boundary),
        "before": "unknown" if before is None else str(before),
        "version": new.version,
        "who": new.who,
        "reason": new.why,
    }
