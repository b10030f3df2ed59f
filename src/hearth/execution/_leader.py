"""A command that was started, and what one can do about it: the port that both ways of starting one fulfil."""

from __future__ import annotations

import errno
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Command", "Leader", "why_not_started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `stdin` None is the null device.

    The child inherits the write end of `result_pipe` (read end, write end), and the descriptors of `passed`.
    """

    argv: tuple[str, ...]
    cwd: Path | str
    env: Mapping[str, str]
    stdin: bytes | None = None
    result_pipe: tuple[int, int] | None = None
    passed: tuple[int, ...] = ()


class Leader(Protocol):
    """The first process of a command, leader of a session of its own, and all that belongs to it.

    `pid` is its number, `stdin` (-1 where nothing is to be written), `stdout` and `stderr` are this side's ends of its
    pipes. `gone` says that nothing of the command lives, as far as it can be reached; `reach` says how far that is
    (ProcessOutcome). `left` is how many processes outlived it, once `terminate` has counted them.
    """

    pid: int
    stdin: int
    stdout: int
    stderr: int
    gone: bool
    reach: str
    left: int

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None until that is known."""
        ...

    @property
    def unkilled(self) -> tuple[int, ...]:
        """The processes that KILL has not ended."""
        ...

    @property
    def descriptor(self) -> int:
        """What becomes readable when there is something for `look` to see; -1: look from time to time."""
        ...

    def look(self) -> None:
        """Take in what has happened; does not wait."""
        ...

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        ...

    def terminate(self, *, count: bool) -> None:
        """Send TERM to all that belongs to it; count them first where they have outlived it."""
        ...

    def kill(self) -> None:
        """Kill all that belongs to it, at once; any thread may call this, at any time, also after `close`."""
        ...

    def close(self, patience: float) -> None:
        """Kill what is left, wait for its end, at most so many seconds, and give every descriptor back."""
        ...


def why_not_started(command: Command, error: Exception) -> str:
    """Return what to tell about a command that could not be started."""
    program = command.argv[0]
    number = error.errno if isinstance(error, OSError) else None
    if not os.path.isdir(command.cwd):  # noqa: PTH112 - it may be a str
        return f"cannot start {program!r}: the folder to start it in is not there: {command.cwd}"
    if number == errno.ENOENT and (any(sign in program for sign in "|;&<>") or (" " in program and "/" not in program)):
        line = shlex.quote(program)
        return f"cannot start {program!r}: a command is a program and its words, without a shell; use sh -c {line}"
    if number == errno.ENOENT and os.sep not in program:
        return f"cannot start {program!r}: there is no such command in PATH ({command.env.get('PATH', '')})"
    if number == errno.ENOEXEC:
        return f"cannot start {program!r}: it is no program, and its first line names no interpreter (#!…)"
    if number == errno.E2BIG:
        return f"cannot start {program!r}: the arguments or the script are too long for the system; use a file"
    return f"cannot start {program!r}: {getattr(error, 'strerror', None) or error}"
