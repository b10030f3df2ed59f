"""A posture store that tells of what this process changes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.security import KeptPosture, PostureStore

__all__ = ["NoticedPostures"]


class NoticedPostures:
    """Fulfils `PostureStore` by another one, and sends `escalation` or `restore` for each change made through it.

    So each change is told once, by the process that made it, however many processes notice it.
    """

    def __init__(self, store: PostureStore, send: Callable[[str, Mapping[str, Any]], object]) -> None:
        self._store = store
        self._send = send

    def load(self) -> KeptPosture:
        """Return what the store holds."""
        return self._store.load()

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        """Change the store; a change that was made is told of."""
        before = self._store.load()
        if not self._store.compare_and_set(expected, new):
            return False
        worse = new.posture.worse_than(before.posture)
        self._send(
            "escalation" if worse else "restore",
            {
                "status": str(new.posture.security),
                "security_state": str(new.posture.security),
                "boundary_state": str(new.posture.boundary),
                "before": str(before.posture),
                "version": new.version,
                "who": new.who,
                "reason": new.why,
            },
        )
        return True
