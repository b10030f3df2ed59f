"""PostureWatch: a thread that looks, while runs are under way, whether another process has worsened the posture."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PostureWatch"]

# A lockdown waits for half of it in the mean: well within the 200 ms in which a step is to be dead.
_INTERVAL_SECONDS = 0.02
_SENSE_EVERY = 5
_JOIN_SECONDS = 1.0


class PostureWatch:
    """Calls `look` fifty times a second and `sense` ten times, from `start` to `stop`.

    What either of them raises is doubt: a sensor that died. `doubt(why)` is told, and the watch goes on.
    """

    def __init__(self, look: Callable[[], object], sense: Callable[[], object], doubt: Callable[[str], object]) -> None:
        self._look = look
        self._sense = sense
        self._doubt = doubt
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hearth-posture", daemon=True)

    def start(self) -> None:
        """Begin; RuntimeError when the system has no thread left, so that no run begins unwatched."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still looks."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End; waits a moment for a look under way."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _watch(self) -> None:
        turn = 0
        while not self._ended.wait(_INTERVAL_SECONDS):
            turn += 1
            try:
                self._look()
                if turn % _SENSE_EVERY == 0:
                    self._sense()
            except Exception as error:  # noqa: BLE001 - whatever it is, what it would have seen is unknown now
                if not self._ended.is_set():
                    self._doubt(str(error) or type(error).__name__)
