"""What a commit knows of the things that it looked at: whether somebody else changed one since."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hearth.observe._commit_state import attributes_of_thing, hold, inode_of, stamp_of
from hearth.observe._node import NodeType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hearth.observe._commit_state import Found

__all__ = ["KnownThings"]


class KnownThings:
    """Each thing by its inode, as it was looked at or as the commit's last act left it.

    A file with several names is one thing, by whichever of them the commit reached it. Of a folder times and size do
    not count: the commit itself puts names there and takes them away.
    """

    def __init__(self, found: Iterable[Found]) -> None:
        self._stamps: dict[tuple[int, int], tuple[int, ...]] = {}
        self._attributes: dict[tuple[int, int], Mapping[str, bytes]] = {}
        for one in found:
            self._stamps.setdefault(one.rest.inode, stamp_of(one.status))
            self._attributes.setdefault(one.rest.inode, one.rest.xattrs)

    def is_unchanged(self, found: Found, thing: int, *, moved: bool = False) -> bool:
        """Whether what is held is what was found, as it is known.

        `moved`: the commit has just given it another name, which the time of its last change of any kind (ctime) tells.
        """
        inode = found.rest.inode
        stamp, seen = self._stamps[inode], stamp_of(os.fstat(thing))
        if found.node.type is not NodeType.DIRECTORY and not moved:
            return seen == stamp
        # Without ctime nothing else tells attributes and lists for access.
        return seen[:-1] == stamp[:-1] and attributes_of_thing(thing) == self._attributes[inode]

    def note(self, thing: int) -> None:
        """Take note of what is held as it is now: the commit itself has just changed it."""
        status = os.fstat(thing)
        self._stamps[inode_of(status)] = stamp_of(status)
        self._attributes[inode_of(status)] = attributes_of_thing(thing)

    def note_moved(self, folder: int, name: str) -> None:
        """Take note that the commit gave a thing this name, or took one from it; what else was changed is not noted."""
        thing = hold(folder, name)
        try:
            status = os.fstat(thing)
            known, stamp = self._stamps.get(inode_of(status)), stamp_of(status)
            if known is not None and known[:-1] == stamp[:-1]:
                self._stamps[inode_of(status)] = stamp
        finally:
            os.close(thing)
