"""If HEARTH itself is killed, what it started must not go on unobserved."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import subprocess
import threading

__all__ = ["GUARDIAN", "Guardian"]

_log = logging.getLogger(__name__)

# Reads `+ <process group>` and `- <process group>` lines. The end of its input means that HEARTH is gone, however it
# ended: then every group still on the list is killed. Only builtins of the shell are used.
_SCRIPT = """
trap '' HUP INT QUIT TERM
groups=' '
while read -r sign group; do
  case $sign in
    +) groups="$groups$group " ;;
    -) case $groups in *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;; esac ;;
  esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
"""
_SHELL = "/bin/sh"


class Guardian:
    """A small process of its own, in its own session, that kills the watched process groups when this process is gone.

    It is started with the first group (about a millisecond) and learns of each group right after its start; a group
    is unprotected for the few microseconds in between. Processes that change their session are out of its reach.
    Where there is no POSIX shell, nothing is guarded, and a warning says so once. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._unavailable = False

    def watch(self, group: int) -> None:
        """Kill this process group if this process ends before `release`."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+ {group}\n")

    def release(self, group: int) -> None:
        """Let the group be: it has ended."""
        with self._lock:
            self._groups.discard(group)
            if self._pipe >= 0:
                self._tell(f"- {group}\n")

    def close(self) -> None:
        """End the guardian; groups still watched are killed."""
        with self._lock:
            if self._pipe >= 0:
                os.close(self._pipe)
                self._pipe = -1
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)
                self._process = None

    def forget(self) -> None:
        """In a forked child: the guardian belongs to the parent."""
        if self._pipe >= 0:
            os.close(self._pipe)
        if self._process is not None:
            self._process.returncode = 0  # not our child: nothing to wait for
        self.__init__()  # type: ignore[misc]

    def _tell(self, line: str) -> None:
        if self._unavailable:
            return
        try:
            if self._pipe < 0:
                raise BrokenPipeError  # noqa: TRY301 - not started yet is handled as gone
            os.write(self._pipe, line.encode("ascii"))
        except BrokenPipeError:
            self._start()

    def _start(self) -> None:
        self.close()
        try:
            self._process = subprocess.Popen(
                [_SHELL, "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError as error:
            self._unavailable = True
            _log.warning("%s cannot be started (%s): processes of a step outlive a killed HEARTH", _SHELL, error)
            return
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._pipe = os.dup(self._process.stdin.fileno())
        self._process.stdin.close()
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, "".join(f"+ {group}\n" for group in self._groups).encode("ascii"))


GUARDIAN = Guardian()
atexit.register(GUARDIAN.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=GUARDIAN.forget)
