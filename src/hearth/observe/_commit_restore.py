"""Taking back what a commit has begun: what is as the commit left it, whole or halfway, becomes what it was."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import ObservationError
from hearth.observe._change import Change
from hearth.observe._commit_calls import exchange, rename_new
from hearth.observe._commit_journal import Way
from hearth.observe._commit_make import MANY, make, parent_of, spare_names, sync_folders, write_in_place
from hearth.observe._commit_prepare import Listing
from hearth.observe._commit_source import from_store
from hearth.observe._commit_state import OWNER_ALL, apply_metadata, hold, inode_of, is_between, look, stamp_of
from hearth.observe._node import Node, NodeType, path_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from hearth.observe._commit_calls import Folders
    from hearth.observe._commit_journal import Action, CommitJournal
    from hearth.observe._commit_source import Source
    from hearth.observe._commit_state import Found
    from hearth.observe._preimage import ContentKeeper

__all__ = ["Restoration"]

_OTHER = "another one lies there"
_FILLED = "there is something in it that was not committed"


class Restoration:
    """Works from what is there, not from how far the commit came: so it may be cut off and repeated at any place.

    `conflicts` are the paths, with why, that are neither as they were nor as the commit would have them: they stay
    as they are. `begun` are the actions that may have begun, by index (None: nobody knows).
    """

    def __init__(
        self,
        journal: CommitJournal,
        *,
        folders: Folders,
        layers: Folders,
        store: ContentKeeper,
        begun: AbstractSet[int] | None = None,
    ) -> None:
        self.conflicts: list[str] = []
        self._begun = begun
        self._journal = journal
        self._folders = folders
        self._layers = layers
        self._store = store

    def run(self) -> None:
        """Do it, and remove the journal unless there are conflicts."""
        actions = self._journal.actions
        self._open_up()
        for folders_last in (False, True):
            for action in reversed(actions):
                if (action.way is Way.METADATA and _is_folder(action)) is folders_last:
                    self._try(action)
        self._set_times()
        parents = {parent_of(action.path) for action in actions}
        sync_folders(self._folders, parents, whole=len(actions) >= MANY)
        if not self.conflicts:
            self._journal.remove()

    def _try(self, action: Action) -> None:
        try:
            parent = parent_of(action.path)
            try:
                folder = self._folders.open(parent)
            except (FileNotFoundError, NotADirectoryError):
                folder = -1
            why = self._take_back(action, folder) if folder >= 0 else self._without_folder(action)
        except (OSError, ObservationError) as error:
            why = str(getattr(error, "strerror", None) or error)
        if why:
            self.conflicts.append(f"{visible(action.path)}: {why}")

    def _without_folder(self, action: Action) -> str:
        """A new thing is not there when its folder is not, and what was in a removed folder comes with that."""
        if action.change.before is None or action.way is Way.WITHIN:
            return ""
        return "its folder is not there any more"

    def _take_back(self, action: Action, folder: int) -> str:
        """Return why a path stays as it is, or "" when it is as it was."""
        name = action.path.rpartition("/")[2] or "."
        if self._begun is not None and action.index not in self._begun:
            self._drop(folder, action)
            return ""
        if action.way is Way.RENAME:
            return self._swap_back(action, folder, name)
        if action.way is Way.MAKE:
            return self._remove_folder(action, folder, name)
        if action.way is Way.IN_PLACE:
            return self._write_back(action, folder, name)
        if action.way is Way.METADATA:
            return self._metadata_back(action, folder, name)
        return ""

    def _swap_back(self, action: Action, folder: int, name: str) -> str:
        before = action.change.before
        there = look(folder, name)
        if before is None:
            if there is not None:
                if there.node != action.change.after:
                    return "it is not what was committed"
                return self._remove_new(action, folder, name, there.rest.inode)
            self._drop(folder, action)
            return ""
        if there is not None and self._is_old(there.node, there.rest.inode, action):
            self._drop(folder, action)
            return ""
        if not self._is_new(None if there is None else there.node, action):
            return "it is neither what it was nor what was committed"
        if there is not None and there.node.type is NodeType.DIRECTORY and self._holds_something(action.path):
            return _FILLED
        old = self._swapped_out(action, folder) or self._made_again(action, folder)
        if there is None:
            rename_new(folder, old, name)
        elif not self._put_back(folder, old, name, there):
            return _OTHER
        self._folders.forget(action.path)
        self._drop(folder, action)
        return ""

    def _put_back(self, folder: int, old: str, name: str, there: Found) -> bool:
        """Put the old thing in the new one's place; False where another one has come there since it was looked at."""
        if exchange(folder, old, name):
            if _is(folder, old, there.rest.inode):
                return True
            exchange(folder, old, name)
            return False
        if there.node.type is NodeType.DIRECTORY:
            os.rmdir(name, dir_fd=folder)
        else:
            with suppress(NotADirectoryError):
                os.rename(old, name, src_dir_fd=folder, dst_dir_fd=folder)
                return True
            os.unlink(name, dir_fd=folder)
        rename_new(folder, old, name)
        return True

    def _remove_new(self, action: Action, folder: int, name: str, inode: tuple[int, int]) -> str:
        """Remove what was made; it is looked at again where no other program puts anything."""
        self._drop(folder, action)
        away = spare_names(action)[1]
        rename_new(folder, name, away)
        if not _is(folder, away, inode):
            rename_new(folder, away, name)
            return _OTHER
        self._drop(folder, action)
        return ""

    def _swapped_out(self, action: Action, folder: int) -> str | None:
        """Return the temporary name of what was at the path before; that may be newer than what was looked at."""
        spares = [spare for spare in spare_names(action) if _is_there(folder, spare)]
        for spare in spares:
            found = look(folder, spare, content=False)
            if found is not None and action.old is not None and found.rest.inode == action.old.inode:
                return spare
        return spares[-1] if spares else None

    def _is_old(self, node: Node, inode: tuple[int, int], action: Action) -> bool:
        """Whether a thing is the old one; its inode's number alone says little, for it may have been given again."""
        if node != action.change.before:
            return False
        return node != action.change.after or (action.old is not None and inode == action.old.inode)

    def _is_new(self, node: Node | None, action: Action) -> bool:
        """Whether a thing is what was committed; a folder may lack its mode, owner and attributes yet."""
        after = action.change.after
        if node is None or after is None:
            return node is after or self._is_torn(action)
        return node == after or (after.type is NodeType.DIRECTORY and _is_young(node, after))

    def _holds_something(self, path: str) -> bool:
        descriptor = self._folders.readable(path)
        try:
            return bool(os.listdir(descriptor))  # noqa: PTH208 - a descriptor
        finally:
            os.close(descriptor)

    def _is_torn(self, action: Action) -> bool:
        """Whether it is between the two renames that stand for one exchange: the old thing waits, nothing is there."""
        return action.change.after is not None and _is_there(
            self._folders.open(parent_of(action.path)), spare_names(action)[1]
        )

    def _made_again(self, action: Action, folder: int) -> str:
        """Make the old thing from its pre-image, as its own inode is gone; return the temporary name."""
        before = action.change.before
        if before is None or before.type is NodeType.DIRECTORY:
            raise ObservationError("what it was is not there any more")
        name = action.temp + "~"
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        back, source = self._reversed(action)
        make(folder, name, back, source, self._layers, durable=True)
        return name

    def _reversed(self, action: Action) -> tuple[Action, Source]:
        change, old = action.change, action.old
        assert change.before is not None and old is not None  # noqa: PT018, S101 - what was there is remembered
        before = replace(change.before, mtime_ns=old.mtime_ns)
        back = Change(path=change.path, kind=change.kind, before=change.after, after=before)
        return (
            replace(action, change=back, new_xattrs=old.xattrs, new_atime_ns=old.atime_ns),
            from_store(back, old, self._store, whole=True),
        )

    def _remove_folder(self, action: Action, folder: int, name: str) -> str:
        there = look(folder, name)
        if there is None:
            return ""
        after = action.change.after
        if after is None or not (there.node == after or _is_young(there.node, after)):
            return "it is not the folder that was made"
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return _FILLED
        self._folders.forget(action.path)
        return ""

    def _write_back(self, action: Action, folder: int, name: str) -> str:
        begun, ended = self._journal.begun(action.index)
        if not begun:
            return ""
        before, old = action.change.before, action.old
        there = look(folder, name)
        if there is None or before is None or old is None or there.node.type is not NodeType.FILE:
            return "it is neither what it was nor what was committed"
        if there.node == before and there.rest.mtime_ns == old.mtime_ns:
            return ""
        if ended and there.node not in (before, action.change.after):
            return "it is neither what it was nor what was committed"
        if there.rest.inode != old.inode:
            return _OTHER
        self._journal.mark("begin", index=action.index)
        back, source = self._reversed(action)
        with _held(folder, name, there.status) as thing:
            write_in_place(thing, back, source, self._layers)
        return ""

    def _metadata_back(self, action: Action, folder: int, name: str) -> str:
        before, after, old = action.change.before, action.change.after, action.old
        there = look(folder, name)
        if there is None or before is None or after is None or old is None:
            return "it has gone"
        if there.rest.inode[1] != old.inode[1]:  # a device may have another number after a restart
            return _OTHER
        if not is_between(there.node, before, after):
            return "it is neither what it was nor what was committed"
        changed = there.node != before
        times = None if before.type is NodeType.DIRECTORY else (old.atime_ns, old.mtime_ns)
        if changed or (times is not None and there.rest.mtime_ns != old.mtime_ns):
            with _held(folder, name, there.status) as thing:
                apply_metadata(thing, before, old.xattrs, times)
        return ""

    def _drop(self, folder: int, action: Action) -> None:
        for spare in spare_names(action) if action.way is Way.RENAME else ():
            with suppress(FileNotFoundError):
                try:
                    os.unlink(spare, dir_fd=folder)
                except IsADirectoryError:
                    os.rmdir(spare, dir_fd=folder)

    def _open_up(self) -> None:
        """Let the owner into the folders that the commit may have closed already."""
        if os.geteuid() == 0:
            return
        for action in self._journal.actions:
            if action.way not in (Way.METADATA, Way.MAKE) or not _is_folder(action):
                continue
            with suppress(OSError):
                folder = self._folders.open(action.path)
                mode = os.stat(".", dir_fd=folder).st_mode & 0o7777
                if mode & OWNER_ALL != OWNER_ALL:
                    os.chmod(f"/proc/self/fd/{folder}", mode | OWNER_ALL)  # noqa: PTH101 - a descriptor's path

    def _set_times(self) -> None:
        """Folders that hold just what they held, inode for inode, get their times back."""
        for one in self._journal.header.get("folders", ()):
            path = path_from_json(one["path"])
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                if one["digest"] and Listing.of(self._folders, path).digest == one["digest"]:
                    times = (int(one["atime_ns"]), int(one["mtime_ns"]))
                    os.utime(".", ns=times, dir_fd=self._folders.open(path))


@contextmanager
def _held(folder: int, name: str, status: os.stat_result) -> Iterator[int]:
    """Hold the thing that was looked at. ObservationError where the name leads to another one, or it was changed."""
    thing = hold(folder, name)
    try:
        if stamp_of(os.fstat(thing)) != stamp_of(status):
            raise ObservationError("it was changed while it was put back")
        yield thing
    finally:
        os.close(thing)


def _is(folder: int, name: str, inode: tuple[int, int]) -> bool:
    return inode_of(os.stat(name, dir_fd=folder, follow_symlinks=False)) == inode


def _is_folder(action: Action) -> bool:
    node = action.change.after or action.change.before
    return node is not None and node.type is NodeType.DIRECTORY


def _is_young(node: Node, after: Node) -> bool:
    """Whether a folder may be one that was just made and did not get all its metadata yet."""
    return (
        node.type is NodeType.DIRECTORY
        and node.uid in (os.geteuid(), after.uid)
        and node.mode & 0o1777 in {0o700, after.mode & 0o1777, after.mode & 0o1777 | 0o700}
    )


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
