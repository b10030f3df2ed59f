"""What a step on the host does besides changing files: to other processes, to the machine, to who it runs as. Linux."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from hearth.observe._in_place_calls import ACTIONS, IDENTITIES, SIGNALS
from hearth.observe._in_place_others import MAKING, OTHER_NUMBERS, OTHERS, Others
from hearth.observe._linux import signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._in_place_kin import Kin

__all__ = ["Actions"]

_MOST_KEPT = 1000
_LONGEST_TEXT = 200
_UNCHANGED = 0xFFFFFFFF  # -1, of setresuid(2)
_LENGTHS = ("sethostname", "setdomainname")  # whose text ends by its length


class Actions:
    """The actions of a step, each once, as `CALL WORDS`; `proc` is the host's /proc, `kin` the step's processes."""

    def __init__(self, proc: int, kin: Kin) -> None:
        self.done: dict[str, None] = {}
        self.kin = kin
        self._unseen: dict[str, None] = {}
        self._proc = proc
        self._others = Others(kin)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Why there may be more than was found."""
        return *self._unseen, *self._others.unseen

    def add(self, words: str) -> None:
        """Keep an action."""
        if len(self.done) < _MOST_KEPT:
            self.done[words] = None
        else:
            self.miss(f"it did more to the machine than the {_MOST_KEPT} things that are told")

    def miss(self, reason: str) -> None:
        """Keep why there may be more."""
        self._unseen[reason] = None

    def is_own_file(self, path: str) -> bool:
        """Whether a path below /proc is about a process of the step itself."""
        if not path.startswith("/proc/"):
            return False
        number = path.split("/")[2]
        return number.isdecimal() and self.kin.has(int(number))

    def of(self, pid: int, name: str, arguments: list[int], text: Callable[[int], bytes]) -> Callable[[], None] | None:
        """Return what keeps the action that a call is; None where it is none."""
        if name in SIGNALS:
            return self._signal(pid, name, arguments)
        if name in IDENTITIES:
            return self._identity(pid, name, arguments)
        if name == "setgroups":
            return lambda: self.add(name)
        if name in ("ptrace", "process_vm_writev"):
            return self._other(pid, name, signed(arguments[1 if name == "ptrace" else 0]))
        if name in OTHERS:
            said = self._others.of(pid, name, arguments, text)
            return None if not said else lambda: self.add(said)
        if name not in ACTIONS or self._asks_only(pid, name, arguments):
            return None
        if name in MAKING:
            self._others.makes(name)
        place = ACTIONS[name]
        given = text(arguments[place]) if place >= 0 and arguments[place] else b""
        if name in _LENGTHS:
            given = given[: arguments[1]]
        shown = os.fsdecode(given)[:_LONGEST_TEXT]
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
        target = signed(arguments[who])
        if name == "pidfd_send_signal":
            target = self.kin.meant(pid, target)
        elif not self._is_numbered_here(pid):
            return None
        number = signed(arguments[what])
        said = _SIGNALS.get(number, str(number))
        if name == "kill" and target == -1:
            return lambda: self.add(f"kill {said} to all that it may")
        if target in (0, pid) or self.kin.has(abs(target)):
            return None
        called = self.kin.called(abs(target))
        return None if not called else lambda: self.add(f"kill {said} to {called}")

    def _is_numbered_here(self, pid: int) -> bool:
        """Whether the numbers that a process gives are those of this host's processes."""
        known = self.kin.is_in_namespace(pid, "pid")
        if not known:
            self.miss(OTHER_NUMBERS)
        return known

    def _other(self, pid: int, name: str, target: int) -> Callable[[], None] | None:
        if not self._is_numbered_here(pid):
            return None
        called = "" if self.kin.has(target) else self.kin.called(target)
        return None if not called else lambda: self.add(f"{name} {called}")

    def _identity(self, pid: int, name: str, arguments: list[int]) -> Callable[[], None] | None:
        word, number = IDENTITIES[name]
        wanted = {one & 0xFFFFFFFF for one in arguments[:number]} - {_UNCHANGED}
        have = self.kin.line(pid, "status", word).split()
        if not wanted or wanted == {int(one) for one in have}:
            return None
        return lambda: self.add(f"{name} {' '.join(map(str, sorted(wanted)))}")


_SIGNALS = {int(one): one.name for one in signal.Signals}
