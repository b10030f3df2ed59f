"""What lay at each path before a step on the host changed it, and what lies there at its end. Linux.

A path is looked at when it is first named by a call that may change it, while the caller waits. So what is found then
is what the step found, but for what lies in a folder that the step made or moved: of those nothing was there.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hearth.observe._change import Change
from hearth.observe._in_place_paths import ancestors
from hearth.observe._node import NodeType
from hearth.observe._tree_directory import Directories
from hearth.observe._tree_reader import NodeReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hearth.observe._node import Node
    from hearth.observe._tree_directory import Directory

__all__ = ["States"]

LARGEST = 256 << 20  # bytes of a file that is hashed
MOST_BYTES = 4 << 30  # that are hashed before the step's end, and again then
MOST_PATHS = 200_000
MOST_NAMES = 100_000  # that are gone through for other names of the same files
_Key = tuple[int, int]


class States:
    """The paths that a step may have changed. `search` are folders in which other names of its files are looked for."""

    def __init__(self, search: Sequence[str] = ()) -> None:
        self._search = tuple(search)
        self._reader = NodeReader()
        self._before: dict[str, Node | None] = {}
        self._whole: set[str] = set()  # folders of which all that lay in them is known
        self._moved: set[str] = set()
        self._inodes: dict[_Key, list[str]] = {}  # files with several names: those that were noted
        self._written: dict[str, None] = {}
        self._hashed = 0
        self._full = False

    @property
    def unseen(self) -> tuple[str, ...]:
        """Why there may be more than was found."""
        return tuple(self._reader.unseen)

    def node(self, path: str) -> Node | None:
        """Return what lay at a path that was noted."""
        return self._before[path]

    def note(self, path: str, *, written: bool) -> bool:
        """Take in what lies at a path, the first time; `written` says that the call changes the file, not the name."""
        if written:
            self._written[path] = None
        if path in self._before:
            return False
        if len(self._before) >= MOST_PATHS:
            self._miss_full()
            return False
        self._before[path] = None if self._is_new(path) else self._found(path)
        return True

    def note_move(self, paths: Sequence[str]) -> None:
        """Take in names that change places, with all that lies in a folder among them."""
        for path in paths:
            self.note(path, written=False)
        if not any(stat.S_ISDIR(_mode(path)) for path in paths):
            return
        for path in paths:
            if stat.S_ISDIR(_mode(path)) and not self._is_new(path) and path not in self._whole:
                for below in self._below(path):
                    self.note(below, written=False)
            self._whole.add(path)
            self._moved.add(path)

    def changes(self, ignore: Sequence[str] = ()) -> tuple[Change, ...]:
        """Return what became of all of them, but for those in `ignore`; nothing of the step must run any more."""
        self._hashed = 0
        after = self._after()
        for path, node in self._other_names(after):
            self._before[path], after[path] = node
        found = []
        for path in sorted({*self._before, *after}, key=os.fsencode):
            if any(path == one or path.startswith(one + "/") for one in ignore):
                continue
            change = Change.between(path, self._before.get(path), after.get(path))
            if change is not None:
                found.append(change)
        self._name_unread(after)
        return tuple(found)

    # --- before

    def _is_new(self, path: str) -> bool:
        """Whether a folder above a path is new, or all that lay in it is known already."""
        for above in ancestors(path):
            if above in self._whole:
                return True
            if above in self._before:
                node = self._before[above]
                if node is None or node.type is not NodeType.DIRECTORY:
                    return True
        return False

    def _found(self, path: str) -> Node | None:
        try:
            status = os.lstat(path)
        except OSError:
            return None
        several = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
        if several and (known := self._inodes.get((status.st_dev, status.st_ino))) is not None:
            known.append(path)
            return self._before[known[0]]  # it may have been written by another of its names since
        node = self._read(path)
        if several and node is not None:
            self._inodes[status.st_dev, status.st_ino] = [path]
        return node

    def _read(self, path: str) -> Node | None:
        parent, _, name = path.rpartition("/")
        with Directories() as directories:
            return self._read_in(directories.root(parent or "/"), name or ".", path)

    def _read_in(self, directory: Directory, name: str, path: str) -> Node | None:
        try:
            status = directory.status(name)
        except OSError as error:
            self._reader.miss(f"{path} cannot be read: {error.strerror}")
            return None
        if status is None:
            return None
        content = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST
        if content:
            content = self._hashed + status.st_size <= MOST_BYTES
            self._hashed += status.st_size if content else 0
        return self._reader.node(directory, name, path, content=content, status=status)

    def _below(self, top: str) -> Iterator[str]:
        """Yield all that lies in a folder, but for what is mounted there."""
        for path, _, _ in self._walk(top):
            yield path

    def _walk(self, top: str) -> Iterator[tuple[str, Directory, str]]:
        with Directories() as directories:
            first = directories.root(top)
            waiting = [(top, first)]
            try:
                own = first.status(".")
            except OSError:
                return
            device = None if own is None else own.st_dev
            while waiting:
                above, directory = waiting.pop()
                for name in self._reader.names(directory, above):
                    path = f"{above.rstrip('/')}/{name}"
                    try:
                        status = directory.status(name)
                    except OSError as error:
                        self._reader.miss(f"{path} cannot be read: {error.strerror}")
                        continue
                    if status is None:
                        continue
                    if status.st_dev != device:
                        self._reader.miss(f"{path} is a mount: what lies below it was not compared")
                        continue
                    yield path, directory, name
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append((path, directory.child(name)))

    # --- after

    def _after(self) -> dict[str, Node | None]:
        after: dict[str, Node | None] = {}
        scanned = ""
        for path in sorted(self._before, key=lambda one: one.encode("utf-8", "surrogateescape").replace(b"/", b"\0")):
            if scanned and path.startswith(scanned):
                after.setdefault(path, None)  # not met there
                continue
            node = after[path] = self._read(path)
            if node is None or node.type is not NodeType.DIRECTORY:
                continue
            before = self._before[path]
            if path in self._moved or before is None or before.type is not NodeType.DIRECTORY:
                scanned = path + "/"
                for below, directory, name in self._walk(path):
                    if len(after) > 2 * MOST_PATHS:
                        self._miss_full()
                        break
                    after[below] = self._read_in(directory, name, below)
        return after

    def _other_names(self, after: dict[str, Node | None]) -> Iterator[tuple[str, tuple[Node | None, Node | None]]]:
        """Yield the other names of files that were written by one of them, with what lay there before and lies now."""
        missing, known = self._missing_names(after)
        if not missing:
            return
        folders = {os.path.dirname(path) for path in known}  # noqa: PTH120 - texts of any bytes
        for path in self._files_in((*sorted(folders), *self._search)):
            status = os.lstat(path)
            key = status.st_dev, status.st_ino
            if missing.get(key, 0) and path not in known:
                missing[key] -= 1
                if path not in self._before:
                    yield path, (self._before[self._inodes[key][0]], self._read(path))
        for key, number in missing.items():
            if number:
                first = self._inodes[key][0]
                self._reader.miss(f"{first} was written, and {number} other names of the same file were not found")

    def _missing_names(self, after: dict[str, Node | None]) -> tuple[dict[_Key, int], set[str]]:
        """Return how many names of each such file are not known, and those that are."""
        now: dict[_Key, set[str]] = {}
        for path, node in after.items():
            if node is not None and node.type is NodeType.FILE and node.links > 1:
                status = os.lstat(path)
                now.setdefault((status.st_dev, status.st_ino), set()).add(path)
        missing: dict[_Key, int] = {}
        known: set[str] = set()
        for key, had in self._inodes.items():
            names = now.get(key, set())
            here = next((node for path in names if (node := after[path]) is not None), None)
            before = self._before[had[0]]
            expected = here.links if here is not None else 0 if before is None else before.links - len(had)
            if expected > len(names) and any(path in self._written for path in (*names, *had)):
                missing[key] = expected - len(names)
                known |= {*names, *had}
        return missing, known

    def _files_in(self, folders: Sequence[str]) -> Iterator[str]:
        met: set[str] = set()
        left = MOST_NAMES
        for top in folders:
            for where, below, files in os.walk(top):
                if where in met:
                    below.clear()
                    continue
                met.add(where)
                left -= len(files) + len(below)
                if left < 0:
                    return
                for name in files:
                    path = f"{where.rstrip('/')}/{name}"
                    if not os.path.islink(path):  # noqa: PTH114 - a text of any bytes
                        yield path

    def _name_unread(self, after: dict[str, Node | None]) -> None:
        for path in self._written:
            before, now = self._before.get(path), after.get(path)
            if before is None or now is None or before.type is not NodeType.FILE or now.type is not NodeType.FILE:
                continue
            if None in (before.sha256, now.sha256) and before.size == now.size and (now.size or 0) > 0:
                self._reader.miss(f"{path} was opened for writing, and is too large to be compared by its content")

    def _miss_full(self) -> None:
        if not self._full:
            self._full = True
            self._reader.miss(f"it named more than {MOST_PATHS} paths: what became of the others was not compared")


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0
