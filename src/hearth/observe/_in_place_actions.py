"""What a step on the host does besides changing files: to other processes, to the machine, to who it runs as. Linux."""

from __future__ import annotations

import os
import signal
import struct
from typing import TYPE_CHECKING

from hearth.observe._in_place_calls import ACTIONS, IDENTITIES, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Actions"]

_MOST_KEPT = 1000
_LONGEST_TEXT = 200
_UNCHANGED = 0xFFFFFFFF  # -1, of setresuid(2)
_PARENT, _SESSION = 1, 3  # fields after the name, proc_pid_stat(5)
_MOST_ANCESTORS = 200
_LENGTHS = ("sethostname", "setdomainname")  # whose text ends by its length


class Actions:
    """The actions of a step, each once, as `CALL WORDS`; `proc` is the host's /proc, `first` the step's first process.

    With `supervised` the first process' parent is the parent of all that loses its own, so that all of the step
    descends from it.
    """

    def __init__(self, proc: int, first: int, *, supervised: bool) -> None:
        self.done: dict[str, None] = {}
        self.unseen: dict[str, None] = {}
        self._proc = proc
        self._first = first
        self._roots = {first}
        self._parent = 0
        fields = self._fields(first)
        if supervised and fields:
            self._parent = int(fields[_PARENT])
            self._roots.add(self._parent)

    def add(self, words: str) -> None:
        """Keep an action."""
        if len(self.done) < _MOST_KEPT:
            self.done[words] = None
        else:
            self.unseen[f"it did more to the machine than the {_MOST_KEPT} things that are told"] = None

    def is_own_file(self, path: str) -> bool:
        """Whether a path below /proc is about a process of the step itself."""
        if not path.startswith("/proc/"):
            return False
        number = path.split("/")[2]
        return number.isdecimal() and self._is_own(int(number))

    def of(self, pid: int, name: str, arguments: list[int], text: Callable[[int], bytes]) -> Callable[[], None] | None:
        """Return what keeps the action that a call is; None where it is none."""
        if name in SIGNALS:
            return self._signal(pid, name, arguments)
        if name in IDENTITIES:
            return self._identity(pid, name, arguments)
        if name == "setgroups":
            return lambda: self.add(name)
        if name == "ptrace":
            return self._other(name, _signed(arguments[1]))
        if name == "process_vm_writev":
            return self._other(name, _signed(arguments[0]))
        if name not in ACTIONS or self._asks_only(pid, name, arguments):
            return None
        place = ACTIONS[name]
        said = text(arguments[place]) if place >= 0 and arguments[place] else b""
        if name in _LENGTHS:
            said = said[: arguments[1]]
        shown = os.fsdecode(said)[:_LONGEST_TEXT]
        return lambda: self.add(f"{name} {shown}".rstrip())

    def _asks_only(self, pid: int, name: str, arguments: list[int]) -> bool:
        """Whether a call that may set the clock only asks for it (adjtimex(2): no modes)."""
        place = {"adjtimex": 0, "clock_adjtime": 1}.get(name)
        if place is None or not arguments[place]:
            return False
        memory = os.open(f"{pid}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return os.pread(memory, 4, arguments[place]) == bytes(4)
        finally:
            os.close(memory)

    def _signal(self, pid: int, name: str, arguments: list[int]) -> Callable[[], None] | None:
        who, what = SIGNALS[name]
        target = _signed(arguments[who])
        if name == "pidfd_send_signal":
            target = self._of_descriptor(pid, target)
        number = _signed(arguments[what])
        said = _SIGNALS.get(number, str(number))
        if name == "kill" and target == -1:
            return lambda: self.add(f"kill {said} to all that it may")
        if target in (0, pid) or self._is_own(abs(target)):
            return None
        called = self._called(abs(target))
        return None if not called else lambda: self.add(f"kill {said} to {called}")

    def _other(self, name: str, target: int) -> Callable[[], None] | None:
        called = "" if self._is_own(target) else self._called(target)
        return None if not called else lambda: self.add(f"{name} {called}")

    def _identity(self, pid: int, name: str, arguments: list[int]) -> Callable[[], None] | None:
        word, number = IDENTITIES[name]
        wanted = {one & 0xFFFFFFFF for one in arguments[:number]} - {_UNCHANGED}
        have = self._line(pid, "status", word).split()
        if not wanted or wanted == {int(one) for one in have}:
            return None
        return lambda: self.add(f"{name} {' '.join(map(str, sorted(wanted)))}")

    # --- processes

    def _is_own(self, pid: int) -> bool:
        """Whether a process is the step's: of its session, or below its first process."""
        for _ in range(_MOST_ANCESTORS):
            if pid == self._first:
                return True
            fields = self._fields(pid)
            if fields is None:
                return False
            if int(fields[_SESSION]) == self._first:
                return True
            pid = int(fields[_PARENT])
            if pid in self._roots:
                return True
        return False

    def _fields(self, pid: int) -> list[bytes] | None:
        line = self._file(pid, "stat").rpartition(b")")[2].split()
        return line if len(line) > _SESSION else None

    def _called(self, pid: int) -> str:
        """Return a process' name and number; "" where there is none."""
        name = self._file(pid, "comm").strip()
        return f"{os.fsdecode(name)} ({pid})" if name else ""

    def _of_descriptor(self, pid: int, number: int) -> int:
        said = self._line(pid, f"fdinfo/{number}", "Pid")
        return int(said) if said else 0

    def _line(self, pid: int, file: str, word: str) -> str:
        for line in self._file(pid, file).decode("ascii", "replace").splitlines():
            if line.startswith(word + ":"):
                return line.partition(":")[2].strip()
        return ""

    def _file(self, pid: int, name: str) -> bytes:
        try:
            descriptor = os.open(f"{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 1 << 16)
        except OSError:  # it ended in between
            return b""
        finally:
            os.close(descriptor)


def _signed(value: int) -> int:
    return int(struct.unpack("=i", struct.pack("=I", value & 0xFFFFFFFF))[0])


_SIGNALS = {int(one): one.name for one in signal.Signals}
