"""Delivering a notice to a command: JSON on its standard input, no shell, killed when its time is up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hearth.errors import TaskError
from hearth.execution._cancellation import Cancellation
from hearth.execution._environment import scrubbed_environment
from hearth.execution._process import Command, run_process, supported
from hearth.record import Redactor

if TYPE_CHECKING:
    from hearth.execution.notify._notice import Notice

__all__ = ["run_command"]

_TIMED_OUT = "timed out"
_KEPT = 2048
_SHOWN = 200
_ANYWHERE = "/"  # a folder that is always there: the ledger's disk may be what has failed


def run_command(words: tuple[str, ...], notice: Notice, *, timeout: float, cancellation: Cancellation) -> str:
    """Run the command to its end; return what went wrong, or "".

    It runs in a session of its own, in `/`, with HEARTH's scrubbed environment. After `timeout` seconds, or when
    `cancellation` is requested, its whole group is killed at once; children that outlive it are killed too. Its output
    is dropped, but for the end of stderr where it fails.
    """
    if not supported():
        return "commands need a POSIX system; use a url"
    said = _Tail()
    ending = Cancellation()
    timer = threading.Timer(timeout, ending.request, (_TIMED_OUT,), {"immediate": True})
    timer.daemon = True
    command = Command(
        argv=notice.fill(words), cwd=_ANYWHERE, env=scrubbed_environment({}, {}), stdin=notice.body + b"\n"
    )
    with cancellation.on_request(lambda: ending.request(cancellation.reason, immediate=True)):
        timer.start()
        try:
            outcome = run_process(
                command, sinks={"stdout": _Nothing(), "stderr": said}, timeout=None, cancellation=ending
            )
        except TaskError as error:
            return str(error)
        finally:
            timer.cancel()
    if outcome.stopped:
        return f"killed after {timeout:g} s" if ending.reason == _TIMED_OUT else ending.reason
    code = outcome.exit_code or 0
    if code == 0:
        return ""
    how = f"exit status {code}" if code > 0 else f"ended by signal {-code}"
    last = said.last_line()
    return f"{how}: {last}" if last else how


class _Nothing:
    """Drops what it is given."""

    def feed(self, chunk: bytes) -> None:
        """Drop it."""


class _Tail:
    """Keeps the end of a stream."""

    def __init__(self) -> None:
        self._end = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._end = (self._end + chunk)[-_KEPT:]

    def last_line(self) -> str:
        """Return the last line that says something, in one piece, without secrets that show by their form."""
        lines = [line for line in self._end.decode("utf-8", "replace").splitlines() if line.strip()]
        text = Redactor().text(lines[-1]) if lines else ""
        return "".join(character if character.isprintable() else " " for character in text).strip()[:_SHOWN]
