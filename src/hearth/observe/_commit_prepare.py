"""Preparing a commit: the present state is looked at and kept, and each change gets its way. Nothing is touched."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import DriftError, ObservationError
from hearth.observe._change import Change, ChangeKind
from hearth.observe._commit_calls import mount_points
from hearth.observe._commit_journal import Action, Way
from hearth.observe._commit_state import Found, differences, look
from hearth.observe._node import NodeType, path_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hearth.observe._commit_calls import Folders
    from hearth.observe._commit_source import Source
    from hearth.observe._commit_state import Remembered
    from hearth.observe._node import Node
    from hearth.observe._preimage import ContentKeeper

__all__ = ["Listing", "Preparation", "order"]

_NAMED = 10
_CHANGE = 0o300


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder's times (ns), and a digest of its names with their inodes: equal when nothing came, went or moved."""

    atime_ns: int
    mtime_ns: int
    digest: str
    inodes: Mapping[int, Sequence[str]] = field(repr=False)

    def to_dict(self, path: str) -> dict[str, object]:
        """Return the JSON form, without the inodes."""
        return {
            "path": path_to_json(path),
            "atime_ns": str(self.atime_ns),
            "mtime_ns": str(self.mtime_ns),
            "digest": self.digest,
        }

    @classmethod
    def of(cls, folders: Folders, path: str) -> Listing:
        """List a folder; the digest is "" where this user may not."""
        descriptor = folders.open(path)
        status = os.stat(".", dir_fd=descriptor)
        try:
            readable = folders.readable(path)
        except PermissionError:
            return cls(status.st_atime_ns, status.st_mtime_ns, "", {})
        try:
            with os.scandir(readable) as entries:
                names = sorted((os.fsencode(entry.name), entry.inode()) for entry in entries)
        finally:
            os.close(readable)
        digest = hashlib.sha256(b"".join(b"%b\0%d\0" % pair for pair in names)).hexdigest()
        inodes: dict[int, list[str]] = {}
        for name, inode in names:
            inodes.setdefault(inode, []).append(os.fsdecode(name))
        return cls(status.st_atime_ns, status.st_mtime_ns, digest, inodes)


def order(path: str) -> list[bytes]:
    """Return a sort key by which a folder comes directly before all that is in it."""
    return os.fsencode(path).split(b"/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class Preparation:
    """Looks at the present state of all paths, and decides how each change is brought about.

    `source(change, whole)` gives what a path is to become, with the content of a file where that is made anew;
    `keep_all` has every old content put in the store (else only that of files written in place). Afterwards:
    `actions`, `listings` of the folders concerned, `found` and `sources` by index, `notes`.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        *,
        folders: Folders,
        source: Callable[[Change, bool], Source],
        store: ContentKeeper,
        token: str,
        keep_all: bool,
        parted: Sequence[str] = (),
        groups: Sequence[Sequence[str]] = (),
    ) -> None:
        self.actions: list[Action] = []
        self.listings: dict[str, Listing] = {}
        self.found: dict[int, Found] = {}
        self.sources: dict[int, Source] = {}
        self.notes: list[str] = []
        self._folders = folders
        self._source = source
        self._store = store
        self._token = token
        self._keep_all = keep_all
        self._parted = frozenset(parted)
        self._groups = {path: group for group in groups for path in group}
        self._mounts = mount_points()
        self._changes = {change.path: change for change in sorted(changes, key=lambda one: order(one.path))}
        if len(self._changes) != len(changes):
            raise ObservationError("a path stands twice among the changes to commit")
        self._present: dict[str, Found | None] = {}
        self._drifts: list[str] = []
        self._inodes: dict[tuple[int, int], list[str]] = {}
        self._first: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        """Do it. DriftError where a path is not as the changes say, ObservationError where they cannot be done."""
        for change in self._changes.values():
            self._look(change)
        for change in self._changes.values():
            self._look_for_strangers(change)
        if self._drifts:
            more = f"; and {len(self._drifts) - _NAMED} more" if len(self._drifts) > _NAMED else ""
            raise DriftError("; ".join(self._drifts[:_NAMED]) + more + "; nothing was changed")
        for path, found in self._present.items():
            if found is not None and found.node.type is not NodeType.DIRECTORY and found.status.st_nlink > 1:
                self._inodes.setdefault(found.rest.inode, []).append(path)
        self._open_up()
        for change in self._changes.values():
            self._decide(change)
        self._require_room()

    def _makes(self, path: str) -> bool:
        """Whether there is to be a folder at a path where there is none now."""
        change = self._changes.get(path)
        return change is not None and _is_folder(change.after) and not _is_folder(change.before)

    def _removes(self, path: str) -> bool:
        change = self._changes.get(path)
        return change is not None and _is_folder(change.before) and not _is_folder(change.after)

    def _look(self, change: Change) -> None:
        path = change.path
        _require_plain(change)
        parent = _parent(path)
        if self._makes(parent):
            if change.before is not None:
                raise ObservationError(f"{visible(path)} cannot be there before its folder is made")
            self._present[path] = None
            return
        if self._removes(parent) and change.after is not None:
            raise ObservationError(f"{visible(path)} cannot be there after its folder has gone")
        try:
            if parent not in self.listings:
                self.listings[parent] = Listing.of(self._folders, parent)
            folder, name = self._folders.at(path)
            keeps = self._keep_all and change.before is not None and change.kind in _LOSING
            found = look(folder, name, store=self._store if keeps else None)
        except OSError as error:
            if _is_link(error):
                self._drifts.append(f"{visible(path)}: a symbolic link is on the way to it")
                return
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise ObservationError(f"{visible(path)} cannot be read ({error.strerror})") from error
            self._drifts.append(f"{visible(path)}: its folder is not there ({error.strerror})")
            return
        self._compare(change, found)
        self._present[path] = found

    def _compare(self, change: Change, found: Found | None) -> None:
        """Take note of a path that is not as it was found, or of whose file there are other names by now."""
        node = None if found is None else found.node
        if node != change.before:
            self._drifts.append(f"{visible(change.path)}: {'; '.join(differences(change.before, node))}")
        elif node is not None and change.before is not None and node.links != change.before.links and self._keep_all:
            self._drifts.append(
                f"{visible(change.path)}: number of names {change.before.links} was expected, {node.links} is there"
            )

    def _look_for_strangers(self, change: Change) -> None:
        """A folder that is to go may hold nothing but what is to go, too."""
        path = change.path
        if not self._removes(path) or self._present.get(path) is None:
            return
        try:
            listing = Listing.of(self._folders, path)
        except OSError as error:
            raise ObservationError(f"{visible(path)} cannot be listed ({error.strerror})") from error
        self.listings[path] = listing
        if not listing.digest:
            raise ObservationError(f"{visible(path)} cannot be listed (Permission denied)")
        for name in (name for names in listing.inodes.values() for name in names):
            inner = self._changes.get(f"{path}/{name}")
            if inner is None or inner.before is None:
                self._drifts.append(f"{visible(f'{path}/{name}')}: nothing was expected there, and its folder is to go")
        if any(mount == path or mount.startswith(path + "/") for mount in self._mounts):
            raise ObservationError(f"{visible(path)} cannot be removed: a file system is mounted there or below")

    def _open_up(self) -> None:
        """Have folders that their owner may not write in opened for the time of the commit, and closed after it."""
        if os.geteuid() == 0:
            return
        for parent in {_parent(path) for path in self._changes}:
            if parent in self._changes or self._makes(parent) or self._within(parent):
                continue
            found = look(*self._folders.at(parent))
            if found is None or found.node.uid != os.geteuid() or found.node.mode & _CHANGE == _CHANGE:
                continue
            self._present[parent] = found
            change = Change(path=parent, kind=ChangeKind.METADATA, before=found.node, after=found.node)
            self._changes[parent] = change
        self._changes = {path: self._changes[path] for path in sorted(self._changes, key=order)}

    def _within(self, path: str) -> bool:
        parts = path.split("/")
        return any(self._removes("/".join(parts[:count])) for count in range(2, len(parts)))

    def _decide(self, change: Change) -> None:
        index = len(self.actions)
        path = change.path
        found = self._present[path]
        way = self._way(change, found)
        old = None if found is None else found.rest
        if found is not None and old is not None:
            self.found[index] = found
            if way is Way.IN_PLACE and old.stored is None:
                old = self._keep(change)
            if change.kind in _LOSING and found.node.type is NodeType.FILE and found.status.st_nlink > 1:
                old = replace(old, link=self._other_name(path, found))
                if old.link is None and way in (Way.RENAME, Way.WITHIN):
                    self.notes.append(
                        f"{visible(path)} is one of {found.status.st_nlink} names of a file, and ceases to be"
                    )
        action = Action(index=index, change=change, way=way, temp=f".hearth-{self._token}-{index}", old=old)
        if change.after is not None and change.before is not change.after:
            source = self._source(change, way in (Way.RENAME, Way.IN_PLACE))
            self.sources[index] = source
            link = source.link
            if way is not Way.RENAME:
                link = None
            elif link is None:
                link = self._link_of(path, source)
            action = replace(action, new_xattrs=source.xattrs, new_atime_ns=source.atime_ns, link=link)
        elif change.after is not None and old is not None:
            action = replace(action, new_xattrs=old.xattrs, new_atime_ns=old.atime_ns)
        self.actions.append(action)

    def _link_of(self, path: str, source: Source) -> str | None:
        """Return another path of the file that this one is to be, there already or made before this one."""
        for other in self._groups.get(path, ()):
            change = self._changes.get(other)
            if change is None or (change.before is not None and self._way(change, self._present[other]) not in _ANEW):
                return other
        if source.inode is None:
            return None
        first = self._first.setdefault(source.inode, path)
        return None if first == path else first

    def _keep(self, change: Change) -> Remembered:
        again = look(*self._folders.at(change.path), store=self._store)
        if again is None or again.node != change.before:
            raise DriftError(f"{visible(change.path)}: it changed while it was read; nothing was changed")
        return again.rest

    def _way(self, change: Change, found: Found | None) -> Way:
        if self._within(change.path):
            return Way.WITHIN
        if found is None:
            return Way.MAKE if _is_folder(change.after) else Way.RENAME
        if change.after is None or change.before is None or change.before.type is not change.after.type:
            if change.path in self._mounts:
                raise ObservationError(f"{visible(change.path)} cannot be replaced: something is mounted there")
            return Way.RENAME
        if change.after.type is NodeType.DIRECTORY:
            return Way.METADATA
        if change.path in self._parted and change.after.type is NodeType.FILE:
            return Way.RENAME
        way = Way.METADATA if change.kind in (ChangeKind.METADATA, ChangeKind.TOUCHED) else Way.RENAME
        if found.status.st_nlink > 1 and change.after.type is NodeType.FILE:
            return self._way_of_several(change, found, way)
        if way is Way.RENAME and change.after.type is NodeType.FILE and self._must_stay(change, found):
            return Way.IN_PLACE
        return way

    def _way_of_several(self, change: Change, found: Found, way: Way) -> Way:
        """Return the way of a file that has several names: it is written through one of them, where that can be."""
        names = [name for name in self._inodes[found.rest.inode] if name not in self._parted]
        stay = [name for name in names if self._changes[name].after is not None]
        if any(self._changes[name].after != change.after for name in stay):
            return Way.RENAME  # its names become different files
        if change.path != stay[0]:
            return Way.LINKED
        return Way.IN_PLACE if way is Way.RENAME else way

    def _must_stay(self, change: Change, found: Found) -> bool:
        """Whether a file can only be changed where it is: something is mounted there, or this user may not rename."""
        if change.path in self._mounts:
            return True
        user = os.geteuid()
        if user == 0:
            return False
        folder = self._folders.open(_parent(change.path))
        status = os.stat(".", dir_fd=folder)
        if found.node.uid != user and change.after is not None and change.after.uid == found.node.uid:
            return True
        if status.st_mode & stat.S_ISVTX and user not in (status.st_uid, found.node.uid):
            return True
        return status.st_uid != user and not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True)

    def _other_name(self, path: str, found: Found) -> str | None:
        """Return another path of the same file: one of the same folder, or of the other changes."""
        parent = _parent(path)
        for name in self.listings[parent].inodes.get(found.rest.inode[1], ()):
            other = f"{parent.rstrip('/')}/{name}"
            if other not in self._changes:
                return other
        others = [name for name in self._inodes[found.rest.inode] if name != path]
        stay = [name for name in others if self._changes[name].after is not None]
        first = self._inodes[found.rest.inode][0]
        return stay[0] if stay else None if first == path else first

    def _require_room(self) -> None:
        """Raise ObservationError where a file system has no room for all that is to be written."""
        needs: dict[int, list[int]] = {}
        for action in self.actions:
            if action.way not in (Way.RENAME, Way.MAKE, Way.IN_PLACE) or action.change.after is None:
                continue
            folder = self._present_folder(action.path)
            status = os.stat(".", dir_fd=folder)
            need = needs.setdefault(status.st_dev, [0, 0])
            need[0] += self.sources[action.index].room if action.link is None else 0
            need[1] += action.way is not Way.IN_PLACE
            found = os.fstatvfs(folder)
            free = (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
            if need[0] > free or (found.f_files and need[1] > found.f_ffree):
                raise ObservationError(
                    f"{visible(action.path)}: its file system has no room for what is to be committed "
                    f"({free:,} bytes are free); nothing was changed"
                )

    def _present_folder(self, path: str) -> int:
        parent = _parent(path)
        while self._makes(parent):
            parent = _parent(parent)
        return self._folders.open(parent)


def _require_plain(change: Change) -> None:
    parts = change.path.split("/")
    if len(parts) == 1 or parts[0] or not {"", ".", ".."}.isdisjoint(parts[1:]):
        raise ObservationError(f"{visible(change.path)} is no absolute path in its plain form")
    if change.before is None and change.after is None:
        raise ObservationError(f"{visible(change.path)}: nothing becomes of nothing")


def _is_link(error: OSError) -> bool:
    return error.errno in (errno.ELOOP, errno.EXDEV)


def _is_folder(node: Node | None) -> bool:
    return node is not None and node.type is NodeType.DIRECTORY


_ANEW = (Way.RENAME, Way.MAKE, Way.WITHIN)
_LOSING = (ChangeKind.MODIFIED, ChangeKind.REPLACED, ChangeKind.DELETED)
