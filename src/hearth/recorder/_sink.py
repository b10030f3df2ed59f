"""JournalSink: where an observer's entries become durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JournalSink"]


class JournalSink(Protocol):
    """The port through which an observer writes; `Journal` is the file, tests bring others.

    A sink belongs to one observer. Once any call has raised, every later one raises too: after an unknown outcome
    there is no honest way on. Beside these methods a sink may have `claim()` (refuse a second observer) and `check()`
    (raise when nothing more can be recorded), which Stage 4 calls before every step.
    """

    def append(self, line: bytes) -> None:
        """Accept one whole line (`event_hash SP JCS(entry) LF`) in order; durable soon, not yet.

        Raises RecorderError when the sink failed before. Must not block for longer than its own back pressure.
        """

    def sync(self) -> None:
        """Return only when every line accepted so far is durable; raise RecorderError otherwise."""

    def close(self) -> None:
        """Make everything durable and let go of the sink. Calling it again does nothing."""

    def lines(self) -> Iterator[bytes]:
        """Yield the lines accepted so far (without LF), from the first, as they are stored."""
