"""A command as a child of HEARTH itself, within reach as far as its process group goes.

The way of every POSIX system, and of Linux where nothing better can be had (see `_supervised`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from hearth.execution._groups import exit_descriptor, group_exists, members
from hearth.execution._guardian import GUARDIAN

if TYPE_CHECKING:
    from hearth.execution._leader import Command

__all__ = ["Grouped"]

_GIVEN_UP: list[subprocess.Popen[bytes]] = []  # processes that KILL did not end; the guardian goes on watching them


class Grouped:
    """A Leader. OSError and ValueError when it cannot be started."""

    def __init__(self, command: Command) -> None:
        result = command.result_pipe
        self._process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=command.cwd,
            env=command.env,
            start_new_session=True,
            pass_fds=(*(result[1:] if result else ()), *command.passed),
        )
        # Guards the group's number, which must not be used once it is given back.
        self._lock = threading.RLock()
        self.pid = self._process.pid
        self.gone = False
        self.reach = "group"
        self.left = 0
        GUARDIAN.watch(self.pid)
        ends = (self._process.stdin, self._process.stdout, self._process.stderr)
        self.stdin, self.stdout, self.stderr = (-1 if end is None else end.fileno() for end in ends)
        self._exit_end = exit_descriptor(self.pid)

    @property
    def exit_code(self) -> int | None:
        """How it ended, None as long as that is not known."""
        return self._process.returncode

    @property
    def unkilled(self) -> tuple[int, ...]:
        """The group, as long as anything of it lives."""
        return () if self.gone else (self.pid,)

    @property
    def descriptor(self) -> int:
        """A descriptor of the process, where the platform has such; nobody hears the end of a group."""
        return self._exit_end if self.exit_code is None else -1

    def look(self) -> None:
        """See whether it has ended, then whether its group has."""
        # As long as a member lives, the system gives the group's number to nobody else.
        with self._lock:
            if not self.gone and self._process.poll() is not None:
                self.gone = not group_exists(self.pid)

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self, *, count: bool) -> None:
        """Send TERM to the group."""
        if count:
            self.left = members(self.pid)
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process could not answer

    def kill(self) -> None:
        """Kill the group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock:
            if not self.gone:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)

    def close(self, patience: float) -> None:
        """Kill what is left, wait for the process, and give everything back."""
        process = self._process
        if process.returncode is None:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
        elif not self.gone:
            self.kill()
        if process.returncode is not None:
            GUARDIAN.release(self.pid)
        else:
            _GIVEN_UP.append(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        with self._lock:
            self.gone = True
            if self._exit_end >= 0:
                os.close(self._exit_end)
                self._exit_end = -1
