"""What a step on the host does by descriptors that are of use without being opened for writing. Linux.

A descriptor of another process (pidfd_getfd(2)), and calls that act on what one stands for: ioctl(2), quotactl_fd(2),
file_setattr(2).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from hearth.observe._in_place_calls import EMPTY_PATH
from hearth.observe._in_place_ioctls import ETHTOOL_SETS, INTERFACES, IOCTLS
from hearth.observe._in_place_paths import HERE, Elsewhere
from hearth.observe._linux import signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from hearth.observe._in_place_actions import Actions
    from hearth.observe._in_place_paths import PathFinder

    class Note(Protocol):
        """Takes in that a path may be written."""

        def __call__(self, path: str, *, written: bool) -> None: ...


__all__ = ["HANDLES", "Handles"]

HANDLES = ("pidfd_getfd", "ioctl", "quotactl_fd", "file_setattr")
_NOFOLLOW = 0x100  # AT_SYMLINK_NOFOLLOW
_ACCESS, _PATH_ONLY = 0o3, 0o10000000  # O_ACCMODE, O_PATH
_REQUESTS = {number: name for name, number in IOCTLS.items()}
_INTERFACE = 16  # bytes of a name, IFNAMSIZ; what follows it in struct ifreq may be a pointer
# quotactl(2): what it does besides telling: Q_SYNC, Q_QUOTAON, Q_QUOTAOFF, Q_SETINFO, Q_SETQUOTA, and those of XFS.
_SETS = {0x800001, 0x800002, 0x800003, 0x800006, 0x800008, 0x5801, 0x5802, 0x5804, 0x5806, 0x5807}


class Handles:
    """Tells such calls: as actions, or by `note` for files that are written by a descriptor that was taken."""

    def __init__(self, paths: PathFinder, actions: Actions, note: Note) -> None:
        self._paths = paths
        self._actions = actions
        self._note = note

    def of(
        self, pid: int, name: str, arguments: list[int], text: Callable[[int], bytes], read: Callable[[int, int], bytes]
    ) -> Callable[[], None] | None:
        """Return what keeps what a call does; None where that is nothing.

        `text` and `read` return what lies at a place of the caller's memory.
        """
        if name == "pidfd_getfd":
            return self._taken(pid, arguments)
        if name == "ioctl":
            said = self._request(pid, arguments, read)
        elif name == "quotactl_fd":
            said = self._path(pid, arguments[0]) if (arguments[1] & 0xFFFFFFFF) >> 8 in _SETS else None
        else:
            said = self._named(pid, arguments, text(arguments[1]) if arguments[1] else b"")
        return None if said is None else lambda: self._actions.add(f"{name} {said}".rstrip())

    # --- a descriptor of another process

    def _taken(self, pid: int, arguments: list[int]) -> Callable[[], None] | None:
        kin = self._actions.kin
        owner, number = kin.meant(pid, signed(arguments[0])), signed(arguments[1])
        flags = kin.line(owner, f"fdinfo/{number}", "flags") if owner > 0 else ""
        if not flags or int(flags, 8) & _PATH_ONLY or kin.has(owner):
            return None
        told = f"it took a descriptor of {kin.called(owner)}: what it did with that was not observed"
        try:
            path = self._paths.descriptor(owner, number)
        except Elsewhere:
            path = None
        if path is None:
            return lambda: self._actions.miss(told)
        if int(flags, 8) & _ACCESS == os.O_RDONLY:
            return None
        return lambda: self._note(path, written=True)

    # --- actions

    def _request(self, pid: int, arguments: list[int], read: Callable[[int, int], bytes]) -> str | None:
        request = _REQUESTS.get(arguments[1] & 0xFFFFFFFF)
        if request is None:
            return None
        if request in INTERFACES:
            return self._interface(request, arguments[2], read)
        return f"{request} {self._path(pid, arguments[0])}".rstrip()

    def _interface(self, request: str, place: int, read: Callable[[int, int], bytes]) -> str | None:
        held = read(place, _INTERFACE + 8)
        if request == "SIOCETHTOOL" and len(held) == _INTERFACE + 8:
            (data,) = struct.unpack_from("=Q", held, _INTERFACE)
            (command,) = struct.unpack("=I", read(data, 4))
            if command not in ETHTOOL_SETS:
                return None
        return f"{request} {os.fsdecode(held[:_INTERFACE].split(bytes(1))[0])}".rstrip()

    def _named(self, pid: int, arguments: list[int], name: bytes) -> str | None:
        folder = signed(arguments[0])
        if name:
            return self._paths.find(pid, folder, name, follow=not arguments[4] & _NOFOLLOW)
        return self._path(pid, arguments[0]) if arguments[4] & EMPTY_PATH and folder != HERE else None

    def _path(self, pid: int, number: int) -> str:
        """Return the path of what a descriptor stands for; "" where it has none."""
        try:
            return self._paths.descriptor(pid, signed(number)) or ""
        except Elsewhere:
            return ""
