"""A command in a sandbox: started by the sandbox's server, ended with all that it started. Linux."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from typing import TYPE_CHECKING

from hearth.execution._kin import signal_family

if TYPE_CHECKING:
    from hearth.execution._leader import Command
    from hearth.observe import Layout, SandboxedProcess, SandboxEnd, SandboxServer

__all__ = ["Sandboxed"]

_LINGER = 5.0


class Sandboxed:
    """A Leader. OSError and ValueError when it cannot be started; `end` is what the sandbox said at its end.

    What the command leaves behind has a few seconds to finish: it may still write. Then the whole PID namespace dies.
    """

    def __init__(self, command: Command, server: SandboxServer, layout: Layout) -> None:
        self.reach = "descendants"
        self.gone = False
        self.left = 0
        self.end: SandboxEnd | None = None
        self._lock = threading.RLock()
        self._closed = False
        self.stdin = self.stdout = self.stderr = -1
        theirs: list[int] = []
        targets: list[int] = []
        try:
            if command.stdin is None:
                theirs.append(os.open(os.devnull, os.O_RDONLY))
            else:
                read_end, self.stdin = os.pipe()
                theirs.append(read_end)
            targets.append(0)
            for target in (1, 2):
                here, there = os.pipe()
                theirs.append(there)
                targets.append(target)
                if target == 1:
                    self.stdout = here
                else:
                    self.stderr = here
            passed = list(theirs)
            if command.result_pipe is not None:
                passed.append(command.result_pipe[1])
                targets.append(command.result_pipe[1])  # the number that the child was told
            payload = json.dumps(
                {
                    "argv": [_text(word) for word in command.argv],
                    "cwd": _text(os.fspath(command.cwd)),
                    "env": {_text(name): _text(value) for name, value in command.env.items()},
                    "targets": targets,
                }
            ).encode("utf-8", "surrogatepass")
            self._process: SandboxedProcess = server.start(
                layout, "hearth.observe._command:run_command", payload, descriptors=passed, linger=_LINGER
            )
        except BaseException:
            self._give_back()
            raise
        finally:
            for end in theirs:
                os.close(end)
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None until the sandbox has ended."""
        return None if self.end is None else self.end.code

    @property
    def unkilled(self) -> tuple[int, ...]:
        """Nothing outlives its PID namespace."""
        return ()

    @property
    def descriptor(self) -> int:
        """What becomes readable when the sandbox has ended; -1 after that."""
        return -1 if self.end is not None else self._process.fileno()

    def look(self) -> None:
        """Take in the end of the sandbox, where it has come."""
        if self.end is None:
            with contextlib.suppress(TimeoutError):
                self.end = self._process.wait(0)
                self.left = len(self.end.left)
                self.gone = True

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        with self._lock:
            if self.stdin >= 0:
                os.close(self.stdin)
                self.stdin = -1

    def terminate(self, *, count: bool) -> None:  # noqa: ARG002 - the sandbox counts what is left
        """Send TERM to everything in the sandbox but its init."""
        if self.end is None:
            signal_family(self.pid, (signal.SIGTERM,))

    def kill(self) -> None:
        """Kill the namespace's init, and so everything in it, at once."""
        with self._lock:
            if not self._closed and self.end is None:
                self._process.kill()

    def close(self, patience: float) -> None:
        """Kill what is left, wait for its end, and give every descriptor back."""
        self.kill()
        with contextlib.suppress(TimeoutError):
            if self.end is None:
                self.end = self._process.wait(patience)
        self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            self._closed = True
            for name in ("stdin", "stdout", "stderr"):
                if getattr(self, name) >= 0:
                    os.close(getattr(self, name))
                    setattr(self, name, -1)


def _text(value: str | bytes) -> str:
    return os.fsdecode(value)
