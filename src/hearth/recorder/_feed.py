"""How an observer's lines come to its sink: into a list, by a statement that nothing can interrupt."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from hearth.errors import RecorderError
from hearth.recorder._journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.recorder._sink import JournalSink

__all__ = ["Feed", "feed_of"]

_UNKNOWN = (
    "handing an entry over to the recorder's sink did not end well, so what is recorded is unknown; "
    "nothing may act any more"
)
_REENTERED = (
    "the recorder was called by a signal handler while its sink was taking an entry, and cannot make this one durable "
    "now; nothing may act on it"
)


class Feed(Protocol):
    """Takes lines from `accepted`, always the same list. `Journal` is one; other sinks get one by `feed_of`."""

    @property
    def accepted(self) -> list[bytes]:
        """Where the lines are put, in order."""

    @property
    def prompt(self) -> bool:
        """Whether `sync` finds lines that no `nudge` announced."""

    def stop_at_death(self, refuse: Callable[[str], object]) -> None:
        """Call `refuse(why)` when nothing more can be recorded."""

    def nudge(self) -> None:
        """Take notice of new lines; RecorderError when the sink is dead. The caller holds the observer's lock."""

    def sync(self) -> None:
        """Return only when every line accepted so far is durable; raise RecorderError otherwise."""

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that the sink holds, without LF."""


def feed_of(sink: JournalSink) -> Feed:
    """Return the sink itself where it is our own Journal, else what feeds its `append`."""
    return sink if type(sink) is Journal else _SinkFeed(sink)


class _SinkFeed:
    """Hands lines over to a sink's `append`, one after the other also where a signal handler records meanwhile.

    The handler's line waits for the one before it, so the handler can record and seal, but not sync. An exception out
    of the sink leaves the outcome unknown: nothing is accepted any more.
    """

    prompt = False

    def __init__(self, sink: JournalSink) -> None:
        self.accepted: list[bytes] = []
        self._sink = sink
        self._refuse: Callable[[str], object] = lambda _: None
        self._handing: int | None = None  # the thread that is doing so
        self._failure: str | None = None

    def stop_at_death(self, refuse: Callable[[str], object]) -> None:
        self._refuse = refuse

    def nudge(self) -> None:
        me = threading.get_ident()
        if self._handing == me:
            return
        if self._failure is not None or self._handing is not None:  # handing: a thread of before a fork
            raise RecorderError(self._failure or _UNKNOWN)
        try:
            self._handing = me
            while self.accepted:
                self._sink.append(self.accepted[0])
                del self.accepted[0]
        except BaseException:
            self._failure = _UNKNOWN
            self._refuse(_UNKNOWN)
            raise
        finally:
            self._handing = None

    def sync(self) -> None:
        if self._failure is not None:
            raise RecorderError(self._failure)
        if self._handing == threading.get_ident():
            raise RecorderError(_REENTERED)
        self._sink.sync()

    def lines(self) -> Iterator[bytes]:
        return self._sink.lines()
