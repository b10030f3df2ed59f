"""The system calls of a step that runs on the host itself, looked at while they wait. Linux.

Each call goes on as if nothing had been (seccomp_unotify(2)). What is read of its arguments is what the kernel is about
to read, unless another thread of the program changes them at this moment: that is noticed where it has happened between
the two looks that are taken, and said.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from hearth.observe._bpf import ARCHITECTURES, X32
from hearth.observe._in_place_calls import DESCRIPTORS, EMPTY_PATH, NAMES
from hearth.observe._in_place_filter import CALLS, MAKES_OR_WRITES, OPENS
from hearth.observe._in_place_handles import HANDLES, Handles
from hearth.observe._in_place_paths import HERE, Elsewhere, KernelPath, PathFinder
from hearth.observe._linux import signed
from hearth.observe._sandbox_watch import HostServices, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._in_place_actions import Actions
    from hearth.observe._in_place_states import States

__all__ = ["InPlaceWatch"]

_LONGEST_PATH = 4096
_LONGEST_ADDRESS = 128
_EXCLUSIVE = os.O_CREAT | os.O_EXCL
_WITHOUT_NAME = 0o20000000  # of O_TMPFILE
_IN_ROOT = 0x10  # of openat2(2)
_FAMILIES = (socket.AF_UNSPEC, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16, 17)  # netlink, packet
# Devices that nothing lasts of what is written to them, by major and minor number: null, zero, full, random, urandom;
# and terminals: tty, console and ptmx, and the majors of the others (the kernel's admin-guide/devices.txt).
_IDLE_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
_PSEUDOTERMINALS = range(136, 144)


class InPlaceWatch(Watch):
    """Looks at the calls that a listener tells of.

    `states` take in what lies at the paths that they name, `actions` what else they do. `proc` is the host's /proc,
    `services` what listens on the host before the step begins.
    """

    def __init__(self, listener: int, proc: int, services: HostServices, states: States, actions: Actions) -> None:
        super().__init__(listener, proc, services, network=False)
        self.actions = actions
        self._states = states
        self._paths = PathFinder(proc)
        self._handles = Handles(self._paths, actions, self._note)
        self._machine = ARCHITECTURES[os.uname().machine]
        self._names = {number: name for name, number in CALLS[os.uname().machine].items()}
        self._texts: list[tuple[int, bytes]] = []  # what was read of the call at hand, and where
        services.sockets  # noqa: B018 - read now: what the step itself makes is none of the host's
        services.ports  # noqa: B018

    def _told_call(self, number: int) -> str:
        return f"a system call ({self._names.get(number, number)})"

    def _look_at(self, ident: int, pid: int, number: int, architecture: int, arguments: list[int]) -> None:
        try:
            self._take_in(ident, pid, number, architecture, arguments)
        except Elsewhere as reason:
            self._miss(str(reason))

    def _take_in(self, ident: int, pid: int, number: int, architecture: int, arguments: list[int]) -> None:
        if architecture != self._machine or number & X32:
            self.unseen["programs of another architecture (32 bits) ran: what they did was not observed"] = None
            return
        name = self._names.get(number, "")
        if name.startswith("exec"):
            self._program(ident, pid, name, arguments)
            return
        if name in ("connect", "sendto", "sendmsg", "sendmmsg"):
            self._connection(ident, pid, name, arguments)
            return
        memory = os.open(f"{pid}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            self._texts.clear()
            found = self._done(pid, name, arguments, memory)
            for place, text in self._texts:
                if os.pread(memory, len(text), place) != text and self._waits(ident):
                    self.unseen[f"{self._called(pid)} changed the arguments of {name} while they were looked at"] = None
        finally:
            os.close(memory)
        if found is not None and self._waits(ident):
            found()

    def _done(  # noqa: C901 - one branch for each kind of call
        self, pid: int, name: str, arguments: list[int], memory: int
    ) -> Callable[[], None] | None:
        """Return what is to be taken in of a call, as something to be called when it is certain who has called."""

        def text(place: int) -> bytes:
            return self._text(memory, place)

        if name in NAMES:
            return self._named(pid, name, arguments, text)
        if name in DESCRIPTORS:
            path = self._paths.descriptor(pid, signed(arguments[0]))
            return None if path is None else lambda: self._note(path, written=True)
        if name in HANDLES:
            return self._handles.of(pid, name, arguments, text, lambda place, size: self._bytes(memory, place, size))
        if name == "creat":
            return self._opened(pid, HERE, text(arguments[0]), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        if name == "openat2":
            flags, _, resolve = struct.unpack("=QQQ", self._bytes(memory, arguments[2], 24))
            if not flags & MAKES_OR_WRITES:
                return None
            folder = signed(arguments[0])
            return self._opened(pid, folder, text(arguments[1]), flags, in_folder=bool(resolve & _IN_ROOT))
        if name == "open_by_handle_at":
            return lambda: self._miss(f"{self._called(pid)} opened files by their handles: which ones was not observed")
        if name == "io_uring_setup":
            return lambda: self._miss(f"{self._called(pid)} used io_uring: files changed by it were not observed")
        if name == "bind":
            return self._bound(pid, self._bytes(memory, arguments[1], min(arguments[2], _LONGEST_ADDRESS)))
        if name in OPENS and name != "mq_open":
            at = OPENS[name]
            folder = HERE if at == 1 else signed(arguments[0])
            return self._opened(pid, folder, text(arguments[at - 1]), arguments[at])
        return self.actions.of(pid, name, arguments, text)

    # --- files

    def _named(
        self, pid: int, name: str, arguments: list[int], text: Callable[[int], bytes]
    ) -> Callable[[], None] | None:
        found: list[tuple[str, bool]] = []
        for one in NAMES[name]:
            folder = HERE if one.folder < 0 else signed(arguments[one.folder])
            place = arguments[one.path]
            given = text(place) if place else b""
            if given:
                path = self._paths.find(pid, folder, given, follow=one.follows(arguments))
            elif one.folder >= 0 and (not place or (one.flags >= 0 and arguments[one.flags] & EMPTY_PATH)):
                path = self._paths.descriptor(pid, folder) if folder != HERE else None
            else:
                path = None
            if path is not None:
                found.append((path, one.written))
        if name.startswith("rename"):
            if any(_is_of_kernel(path) for path, _ in found):
                return lambda: self.actions.add(f"{name} {' '.join(path for path, _ in found)}")
            paths = [path for path, _ in found]
            return lambda: self._states.note_move(paths)

        def note() -> None:
            for path, written in found:
                self._note(path, written=written)

        return note if found else None

    def _opened(
        self, pid: int, folder: int, name: bytes, flags: int, *, in_folder: bool = False
    ) -> Callable[[], None] | None:
        if flags & _WITHOUT_NAME:
            return None  # until it is linked to one
        follow = not flags & os.O_NOFOLLOW and flags & _EXCLUSIVE != _EXCLUSIVE
        path = self._paths.find(pid, folder, name, follow=follow, in_folder=in_folder)
        if path is None:
            return None
        return lambda: self._note(path, written=True)

    def _bound(self, pid: int, address: bytes) -> Callable[[], None] | None:
        if len(address) < 3 or struct.unpack_from("=H", address)[0] != socket.AF_UNIX or not address[2]:  # noqa: PLR2004 - a family and a name
            return None
        path = self._paths.find(pid, HERE, address[2:].split(b"\0")[0], follow=False)
        return None if path is None else lambda: self._note(path, written=False)

    def _note(self, path: str, *, written: bool) -> None:
        if _is_of_kernel(path):
            if not self.actions.is_own_file(path):
                self.actions.add(f"write {path}")
            return
        if written and self._is_device(path):
            return
        first = self._states.note(path, written=written)
        node = self._states.node(path) if first else None
        if written and node is not None and node.type.value == "fifo":
            self._miss(f"{path} is a named pipe: what was written to it, and who read it, was not observed")

    def _is_device(self, path: str) -> bool:
        try:
            status = os.lstat(path)
        except OSError:
            return False
        if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            return False
        device = os.major(status.st_rdev), os.minor(status.st_rdev)
        idle = stat.S_ISCHR(status.st_mode) and (device in _IDLE_DEVICES or device[0] in _PSEUDOTERMINALS)
        if not idle:
            self.actions.add(f"write {path}")
        return path.startswith("/dev/")  # elsewhere it may be the step's own, with a mode that it changes

    # --- programs

    def _can_be_run(self, there: str) -> bool:
        """Whether there is such a program, also by a name that leads through the caller's own part of /proc."""
        if super()._can_be_run(there):
            return True
        pid, start, rest = there.split("/", 2)
        if start == "root":
            folder, rest = HERE, f"/{rest}"
        elif start == "cwd":
            folder = HERE
        else:
            number, _, rest = rest.partition("/")
            folder = int(number)
        try:
            status = self._paths.status(int(pid), folder, os.fsencode(rest))
        except OSError:
            return False
        except Elsewhere:
            return True  # perhaps
        return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)

    # --- connections

    def _told(self, raw: bytes, pid: int, descriptor: int) -> str:
        (family,) = struct.unpack_from("=H", raw)
        return super()._told(raw, pid, descriptor) if family in _FAMILIES else f"family {family}"

    def _told_unix(self, name: bytes, pid: int) -> str:
        """Return what a Unix socket is told as: its path is the caller's."""
        given = name.split(b"\0")[0]
        if not given:
            return super()._told_unix(name, pid)
        try:
            path = self._paths.find(pid, HERE, given, follow=True)
        except Elsewhere as reason:
            self._miss(str(reason))
            return super()._told_unix(name, pid)
        return "" if path is None else super()._told_unix(os.fsencode(path), pid)

    # --- reading

    def _miss(self, reason: str) -> None:
        self.unseen[reason] = None

    def _text(self, memory: int, place: int) -> bytes:
        """Return the text at a place; it is read again before the call goes on."""
        if not place:
            return b""
        found = os.pread(memory, _LONGEST_PATH, place).split(b"\0", 1)[0]
        self._texts.append((place, found + b"\0" if len(found) < _LONGEST_PATH else found))
        return found

    def _bytes(self, memory: int, place: int, size: int) -> bytes:
        found = os.pread(memory, size, place) if place else b""
        self._texts.append((place, found))
        return found

    def _called(self, pid: int) -> str:
        with suppress(OSError), os.fdopen(os.open(f"{pid}/comm", os.O_RDONLY, dir_fd=self._proc), "rb") as file:
            return os.fsdecode(file.read().strip())
        return "a program"


def _is_of_kernel(path: str) -> bool:
    return isinstance(path, KernelPath) or path.startswith(("/proc/", "/sys/"))
