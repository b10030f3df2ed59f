"""Hard links in a layer: whether a write through one name changed the file that other names have, too.

Copying a file up parts it from its other names. Where `index=on` held, the copy says in `overlay.origin` which file it
was copied from, and a new file put in its place says nothing; so the two are told apart. The index itself keeps what
was written through a name that was removed afterwards. Without an index nothing says anything, and only the time of the
last access, which copying up keeps, gives a hint; then that is said.

Source: Documentation/filesystems/overlayfs.rst ("Index feature"), fs/overlayfs/copy_up.c (ovl_copy_up_metadata).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hearth.observe._change import Change
from hearth.observe._layer_handle import handle_of, handle_of_origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.observe._layer_handle import Handle
    from hearth.observe._layer_merged import Found, Upper
    from hearth.observe._layer_names import Inode
    from hearth.observe._layer_view import LowerView
    from hearth.observe._node import Node
    from hearth.observe._tree_directory import Directory

__all__ = ["HardLinks"]


@dataclass(slots=True)
class _Lower:
    """A file with several names below the layer; `names` are those that the layer covers.

    `links` counts those that lie beside it, `number` all that it had before the step. `indexed` says whether overlayfs
    held its names together, `earlier` whether it lies in an earlier step's layer. `others` were found besides.
    """

    node: Node
    status: os.stat_result
    links: int
    number: int
    handle: Handle | None
    indexed: bool
    earlier: bool
    names: set[str] = field(default_factory=set)
    copies: list[_Copy] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A file of the layer; `where` it lies, relative to the layer's folder."""

    path: str
    where: str
    status: os.stat_result
    node: Node
    origin: Handle | None
    indexed: bool
    before: os.stat_result | None

    @property
    def inode(self) -> Inode:
        return self.status.st_dev, self.status.st_ino


class HardLinks:
    """Collects the files with several names while a layer is walked, then finds what else changed by them.

    After `settle`, `elsewhere` says where (relative to the layer's folder) the new content of a name lies that the
    layer itself does not hold; `groups` are the paths that are one file afterwards; `parted` the paths where another
    file took the name, and the former one lives on under its other names. `numbers` says how many names files have by
    now, by inode; `unfound` are the paths of files that were written and have names that were not found.
    """

    def __init__(self, view: LowerView) -> None:
        self._view = view
        self._lower: dict[Inode, _Lower] = {}
        self._copies: list[_Copy] = []
        self._by_inode: dict[Inode, list[str]] = {}
        self._index: dict[Handle, tuple[Directory, str, str]] = {}
        self.elsewhere: dict[str, str] = {}
        self.groups: tuple[tuple[str, ...], ...] = ()
        self.parted: tuple[str, ...] = ()
        self.numbers: dict[Inode, int] = {}
        self.unfound: list[str] = []

    def add_index(self, folder: Directory, where: str) -> None:
        """Take note of an overlay's index folder; it names each entry by the handle of the file below, in hex."""
        for name in self._view.reader.names(folder, where):
            try:
                handle = handle_of_origin(bytes.fromhex(name))
            except ValueError:
                continue
            if handle is not None:
                self._index[handle] = folder, name, where

    def covered(self, path: str, found: Found, node: Node, *, indexed: bool) -> None:
        """Take note of a lower file that the layer hides or changes."""
        if not stat.S_ISREG(found.status.st_mode) or found.status.st_nlink == 1:
            return
        inode = found.status.st_dev, found.status.st_ino
        lower = self._lower.get(inode)
        if lower is None:
            handle = handle_of(found.part.directory, found.name)
            links = self._links(found, path)
            lower = self._lower[inode] = _Lower(
                node=node,
                status=found.status,
                links=links,
                number=self._view.number_of_names(found.status),
                handle=handle,
                indexed=indexed and handle is not None,
                earlier=bool(found.part.prefix),
            )
        lower.names.add(path)

    def written(self, path: str, upper: Upper, node: Node, before: Found | None, where: str, *, indexed: bool) -> None:
        """Take note of a file in the layer; `where` is relative to the layer's folder."""
        if not stat.S_ISREG(upper.status.st_mode):
            return
        status = before.status if before is not None and stat.S_ISREG(before.status.st_mode) else None
        origin = upper.own.get("origin")
        handle = None if origin is None else handle_of_origin(origin)
        copy = _Copy(
            path=path, where=where, status=upper.status, node=node, origin=handle, indexed=indexed, before=status
        )
        self._copies.append(copy)
        if upper.status.st_nlink > 1:
            self._by_inode.setdefault(copy.inode, []).append(path)

    def settle(self, changes: dict[str, Change], search: Sequence[str], limit: int) -> None:
        """Add to `changes` what became of the other names, looked for beside the known ones and in `search`.

        `limit` is how many entries of directories are looked at in `search`, in all.
        """
        parted = self._assign()
        budget = limit
        for lower in self._lower.values():
            if lower.copies:
                budget = self._spread(lower, changes, search, budget)
        self._count(changes)
        self.parted = tuple(sorted((path for path in parted if path in changes), key=os.fsencode))
        groups = {frozenset(paths) for paths in self._by_inode.values() if len(paths) > 1}
        self.groups = tuple(sorted(tuple(sorted(group, key=os.fsencode)) for group in groups))

    def _count(self, changes: dict[str, Change]) -> None:
        """Tell of each file how many names it has now: neither the layer's own files nor the host's tell that."""
        for copy in self._copies:
            if copy.node.links != copy.status.st_nlink:
                self.numbers[copy.inode] = copy.node.links
        for inode, lower in self._lower.items():
            # What was found in the index alone has none of these names any more.
            names = [one for one in lower.copies if one.before is not None or one.path not in lower.names]
            number = lower.number - len(lower.names) + len(names)
            self.numbers[inode] = number
            for one in names:
                self.numbers[one.inode] = number
            for path in (*(one.path for one in names), *lower.others):
                change = changes.get(path)
                if change is not None and change.after is not None:
                    changes[path] = replace(change, after=replace(change.after, links=number))

    def _spread(self, lower: _Lower, changes: dict[str, Change], search: Sequence[str], budget: int) -> int:
        """Bring what was written through one name of a file to the others; return what is left of the budget."""
        changed = [one for one in lower.copies if Change.between(one.path, lower.node, one.node) is not None]
        moved = [one for one in lower.copies if one.path not in lower.names]
        if len({one.inode for one in changed}) > 1:
            names = ", ".join(sorted(one.path for one in changed))
            self._view.reader.miss(f"{names} were one file, and were written as if they were several")
            return budget
        if not changed and not moved:
            return budget
        others, budget = self._others(lower, search, budget)
        lower.others = others
        for one in moved[:1]:  # the new name joins those that stay
            self._by_inode[one.inode] = [copy.path for copy in self._copies if copy.inode == one.inode] + others
        for source in changed[:1]:
            for copy in lower.copies:  # copied up, but not written itself: it has what was written by the other name
                if copy.inode != source.inode:
                    self._show(changes, copy.path, source)
            for path in others:
                self._show(changes, path, source)
            known = len(lower.names) + len(others)
            if known < lower.links:
                self._view.reader.miss(f"{source.path} has {lower.links} names, and only {known} were found")
                self.unfound.append(source.path)
        return budget

    def _assign(self) -> list[str]:
        """Give each lower file its copies; return the paths where a new file took the name of one."""
        by_handle = {lower.handle: lower for lower in self._lower.values() if lower.handle is not None}
        parted = []
        rest: list[tuple[_Copy, bool]] = []
        for copy in self._copies:
            lower = None if copy.origin is None else by_handle.get(copy.origin)
            own = None if copy.before is None else self._lower.get((copy.before.st_dev, copy.before.st_ino))
            # A handle of an earlier layer may be that of another copy of it.
            no_handle = own is not None and (own.handle is None or own.earlier)
            untold = not copy.indexed or (copy.origin is not None and no_handle)
            if lower is None and own is not None and untold and self._was_written(copy, own):
                lower = own
            if lower is not None:
                lower.copies.append(copy)
            else:
                rest.append((copy, own is None and untold))
            if own is not None and lower is not own:
                parted.append(copy.path)
        known = {copy.inode: lower for lower in self._lower.values() for copy in lower.copies}
        for copy, strange in rest:
            lower = known.get(copy.inode)
            if lower is not None:  # a new name of what was copied up by another one
                lower.copies.append(copy)
            elif strange:
                self._suspect(copy)
        for one in self._lower.values():
            if not one.copies:
                self._look_up(one)
        return parted

    def _look_up(self, lower: _Lower) -> None:
        """Find what was written to a file whose covered names are all gone or taken over by others."""
        name = min(lower.names)
        folder, entry, where = self._index.get(lower.handle, (None, "", "")) if lower.handle else (None, "", "")
        status = None if folder is None else folder.status(entry)
        if folder is None or status is None or not stat.S_ISREG(status.st_mode):
            if (not lower.indexed or lower.earlier) and lower.links > len(lower.names):
                self._view.reader.miss(
                    f"{name} had {lower.links} names; whether it was written before it was removed, cannot be told"
                )
            return
        node = self._view.reader.node(folder, entry, name)
        if node is not None:
            where = f"{where}/{entry}"
            lower.copies.append(_Copy(name, where, status, node, lower.handle, indexed=True, before=None))

    def _was_written(self, copy: _Copy, own: _Lower) -> bool:
        """Decide without an index whether a file with several names was written, or another put in its place."""
        if Change.between(copy.path, own.node, copy.node) is None:
            return True
        # The same content under another mode or time: few programs put a copy in the place of what they copied.
        same_content = own.node.sha256 is not None and own.node.sha256 == copy.node.sha256
        written = same_content or copy.status.st_atime_ns == own.status.st_atime_ns
        what = "written in its place" if written else "replaced by another file"
        self._view.reader.miss(
            f"{copy.path} has {own.links} names; it seems to be {what}, which cannot be told for sure"
        )
        return written

    def _suspect(self, copy: _Copy) -> None:
        """Say where a file may be a lower one with several names that was moved, and then written."""
        if copy.before is not None and copy.before.st_atime_ns == copy.status.st_atime_ns:
            return  # it was written where it is
        for lower in self._lower.values():
            same_time = lower.status.st_atime_ns == copy.status.st_atime_ns
            if same_time and Change.between(copy.path, lower.node, copy.node) is not None:
                name = min(lower.names)
                self._view.reader.miss(f"{copy.path} may be {name}, moved and written; that has {lower.links} names")

    def _show(self, changes: dict[str, Change], path: str, source: _Copy) -> None:
        change = Change.between(path, self._view.node(path), source.node)
        if change is None:
            changes.pop(path, None)
            return
        changes[path] = change
        self.elsewhere[path] = source.where

    def _others(self, lower: _Lower, search: Sequence[str], budget: int) -> tuple[list[str], int]:
        """Return the names of a lower file that the layer does not cover, and what is left of the budget."""
        wanted = lower.links - len(lower.names)
        found: list[str] = []
        seen: set[str] = set()
        beside = sorted({os.path.dirname(name) for name in lower.names})  # noqa: PTH120 - texts of any bytes
        waiting = [*reversed(search)]
        while wanted > len(found) and (beside or (waiting and budget > 0)):
            deep = not beside
            folder = waiting.pop() if deep else beside.pop()
            merged = self._view.merged(folder)
            if merged is None:
                continue
            for name in merged.names(folder, self._view.reader):
                path = f"{folder.rstrip('/')}/{name}"
                budget -= deep
                entry = merged.find(name, path, self._view.reader)
                if entry is None or path in seen:
                    continue
                if entry.merged is not None:
                    if deep:
                        waiting.append(path)
                elif os.path.samestat(entry.status, lower.status) and path not in lower.names:
                    seen.add(path)
                    found.append(path)
        return sorted(found, key=os.fsencode), budget

    def _links(self, found: Found, path: str) -> int:
        """Return how many names a lower file has; in a layer, overlayfs' own index is one more (`overlay.nlink`)."""
        from hearth.observe._layer_merged import Upper

        if not found.part.prefix:
            return found.status.st_nlink
        upper = Upper.read(found.part, found.name, path, self._view.reader)
        return found.status.st_nlink - (1 if upper is not None and "nlink" in upper.own else 0)
