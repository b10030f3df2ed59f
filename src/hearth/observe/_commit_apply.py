"""Bringing prepared changes about: first everything new under temporary names, then the swaps, then the folders."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import DriftError
from hearth.observe._commit_calls import exchange, rename_new
from hearth.observe._commit_journal import Way
from hearth.observe._commit_known import KnownThings
from hearth.observe._commit_make import (
    MANY,
    clean_up,
    make,
    make_folder,
    parent_of,
    same_file,
    set_times,
    sync_folders,
    write_in_place,
)
from hearth.observe._commit_state import OWNER_ALL, apply_metadata, hold, inode_of, open_file
from hearth.observe._inode_flags import read_flags
from hearth.observe._node import NodeType, path_from_json, path_to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hearth.observe._commit_calls import Folders
    from hearth.observe._commit_journal import Action, CommitJournal
    from hearth.observe._commit_source import Source
    from hearth.observe._commit_state import Found
    from hearth.observe._inode_flags import InodeFlags

__all__ = ["Application", "finish"]


class Application:
    """Carries out the actions of a journal. When `run` raises, what was begun is to be taken back.

    `begun` are the actions that may have begun, by index; `under_way` is the path at which it is at work ("": none).
    """

    def __init__(
        self,
        journal: CommitJournal,
        *,
        folders: Folders,
        layers: Folders,
        found: Mapping[int, Found],
        sources: Mapping[int, Source],
    ) -> None:
        self._journal = journal
        self._folders = folders
        self._layers = layers
        self._found = found
        self._known = KnownThings(found.values())
        self._sources = sources
        self._many = len(journal.actions) >= MANY
        self._by_path = {action.path: action for action in journal.actions}
        self._staged: set[int] = set()
        self._made: dict[int, tuple[int, int]] = {}
        self.begun: set[int] = set()
        self.under_way = ""
        self._swapped: set[int] = set()

    def run(self) -> None:
        """Do everything up to the mark `committed`."""
        actions = self._journal.actions
        self._open_up()
        self._stage_all()
        if self._many:
            self._sync()
        for action in sorted(actions, key=self._links_late):
            self._act(action)
        for action in actions:
            self._require_only_known(action)
        for action in reversed(actions):
            after = action.change.after
            if after is not None and after.type is NodeType.DIRECTORY and action.way is not Way.WITHIN:
                with self._held(action) as folder:
                    self.begun.add(action.index)
                    apply_metadata(folder, after, action.new_xattrs, None)
        self._sync()
        self._journal.mark("committed")

    def _stage_all(self) -> None:
        """Make everything new under temporary names, but for what lies below a folder that has yet to be swapped in."""
        late: set[str] = set()
        for action in self._journal.actions:
            if parent_of(action.path) in late:
                if action.way is Way.MAKE:
                    late.add(action.path)
                continue
            if action.way is Way.MAKE:
                self._make_folder(action)
            elif action.way is Way.RENAME and action.change.after is not None:
                if action.change.after.type is NodeType.DIRECTORY:
                    late.add(action.path)
                if not self._links_late(action):
                    self._stage(action, durable=not self._many)

    def _open_up(self) -> None:
        if os.geteuid() == 0:
            return
        for action in self._journal.actions:
            before = action.change.before
            if action.way is not Way.METADATA or before is None or before.type is not NodeType.DIRECTORY:
                continue
            if before.uid == os.geteuid() and before.mode & OWNER_ALL != OWNER_ALL:
                with self._held(action) as folder:
                    self.begun.add(action.index)
                    os.chmod(f"/proc/self/fd/{folder}", before.mode | OWNER_ALL)  # noqa: PTH101 - a descriptor's path
                    self._known.note(folder)

    def _links_late(self, action: Action) -> bool:
        """Whether it becomes another name of a file that itself changes where it is."""
        target = None if action.link is None else self._by_path.get(action.link)
        return target is not None and target.way is not Way.RENAME

    def _make_folder(self, action: Action) -> None:
        self.under_way = action.path
        folder, name = self._folders.at(action.path)
        with self._beginning(action):
            self._made[action.index] = make_folder(folder, name, action.path)
        self._staged.add(action.index)

    def _stage(self, action: Action, *, durable: bool) -> None:
        self.under_way = action.path
        folder = self._folders.open(parent_of(action.path))
        if action.link is None or not self._link(action, folder):
            source = self._sources[action.index]
            self._made[action.index] = make(
                folder, action.temp, action, source, self._layers, durable=durable, flags=self._flags(action)
            )
        self._staged.add(action.index)

    def _flags(self, action: Action) -> InodeFlags | None:
        """Return the flags (chattr) of the file whose place a new one gets; None where there is none."""
        change = action.change
        if change.before is None or change.after is None:
            return None
        if not change.before.type is change.after.type is NodeType.FILE:
            return None
        try:
            file = open_file(*self._folders.at(action.path))
        except PermissionError:  # who may not read it is not told
            return None
        except OSError as error:
            raise DriftError(f"{visible(action.path)} was changed meanwhile") from error
        try:
            return read_flags(file)
        finally:
            os.close(file)

    def _link(self, action: Action, folder: int) -> bool:
        """Make the new thing another name of a file that is there; False where that is not possible (any more)."""
        node = action.change.after
        if action.link is None or node is None:
            return False
        target = self._by_path.get(action.link)
        try:
            there, name = self._folders.at(action.link)
            if target is not None and target.index in self._staged and target.index not in self._swapped:
                name = target.temp
            os.link(name, action.temp, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False
        same = same_file(folder, action.temp, node)
        if not same:
            os.unlink(action.temp, dir_fd=folder)
        self._known.note_moved(there, name)
        if not same:
            return False
        self._made[action.index] = inode_of(os.stat(action.temp, dir_fd=folder, follow_symlinks=False))
        return True

    def _act(self, action: Action) -> None:
        self.under_way = action.path
        after = action.change.after
        if action.way is Way.RENAME:
            if after is not None and action.index not in self._staged:
                self._stage(action, durable=True)
            self._swap(action)
        elif action.way is Way.MAKE:
            if action.index not in self._staged:
                self._make_folder(action)
        elif after is None or after.type is NodeType.DIRECTORY:
            return
        elif action.way is Way.METADATA:
            with self._held(action) as thing:
                self.begun.add(action.index)
                apply_metadata(thing, after, action.new_xattrs, action.times)
                self._known.note(thing)
        elif action.way is Way.IN_PLACE:
            with self._held(action) as thing:
                self.begun.add(action.index)
                self._journal.mark("begin", index=action.index)
                write_in_place(thing, action, self._sources[action.index], self._layers)
                self._known.note(thing)
                self._journal.mark("end", index=action.index)

    def _swap(self, action: Action) -> None:
        folder, name = self._folders.at(action.path)
        change, temp = action.change, action.temp
        if change.before is not None:
            self._require_unchanged(action, folder, name)
        if change.before is None:
            with self._beginning(action):
                rename_new(folder, temp, name)
            self._require_made(action, folder, name)
        elif change.after is None:
            with self._beginning(action):
                rename_new(folder, name, temp)
            self._require_unchanged(action, folder, temp, moved=True)
        else:
            with self._beginning(action):
                swapped = exchange(folder, temp, name)
                if not swapped:
                    rename_new(folder, name, temp + "~")
            if not swapped:
                rename_new(folder, temp, name)
            self._require_unchanged(action, folder, temp if swapped else temp + "~", moved=True)
            self._require_made(action, folder, name)
        self._swapped.add(action.index)
        if change.before is not None and change.before.type is NodeType.DIRECTORY:
            self._folders.forget(action.path)

    @contextmanager
    def _beginning(self, action: Action) -> Iterator[None]:
        """Take note that an action may have begun; when its first call fails, it has not."""
        self.begun.add(action.index)
        try:
            yield
        except OSError as error:
            self.begun.discard(action.index)
            if isinstance(error, FileExistsError):
                raise DriftError(f"{visible(action.path)} has come into being meanwhile") from None
            if isinstance(error, FileNotFoundError):
                raise DriftError(f"{visible(action.path)} has gone meanwhile") from None
            raise

    @contextmanager
    def _held(self, action: Action) -> Iterator[int]:
        """Hold what lies at a path. DriftError where it is not what was looked at, or made, or its name went elsewhere.

        What happens to the name between the look and the act does no harm then: the act reaches what is held.
        """
        self.under_way = action.path
        folder, name = self._folders.at(action.path)
        try:
            thing = hold(folder, name)
        except FileNotFoundError:
            raise DriftError(f"{visible(action.path)} has gone meanwhile") from None
        try:
            if not self._is_known(action, thing):
                raise DriftError(f"{visible(action.path)} was changed meanwhile")
            yield thing
            if inode_of(os.stat(name, dir_fd=folder, follow_symlinks=False)) != inode_of(os.fstat(thing)):
                raise DriftError(f"{visible(action.path)} was put elsewhere meanwhile")
        finally:
            os.close(thing)

    def _is_known(self, action: Action, thing: int) -> bool:
        """Whether a thing that is held is the one that was made, or the one that was looked at, as it was then."""
        made = self._made.get(action.index)
        if made is not None:
            return inode_of(os.fstat(thing)) == made
        return self._known.is_unchanged(self._found[action.index], thing)

    def _require_made(self, action: Action, folder: int, name: str) -> None:
        """Raise DriftError when the temporary name was given to something else before it was swapped in."""
        if inode_of(os.stat(name, dir_fd=folder, follow_symlinks=False)) != self._made[action.index]:
            raise DriftError(f"{visible(action.path)} is not what was made for it")

    def _require_unchanged(self, action: Action, folder: int, name: str, *, moved: bool = False) -> None:
        """Raise DriftError when somebody changed a thing after it was looked at; `moved`: and renamed by the commit."""
        try:
            thing = hold(folder, name)
        except FileNotFoundError:
            raise DriftError(f"{visible(action.path)} has gone meanwhile") from None
        try:
            if not self._known.is_unchanged(self._found[action.index], thing, moved=moved):
                raise DriftError(f"{visible(action.path)} was changed meanwhile")
        finally:
            os.close(thing)
        if moved:
            self._known.note_moved(folder, name)

    def _require_only_known(self, action: Action) -> None:
        """Raise DriftError when a folder that has gone holds what is not among the changes, or was changed."""
        change = action.change
        if change.before is None or change.before.type is not NodeType.DIRECTORY or action.way not in _GOING:
            return
        if change.after is not None and change.after.type is NodeType.DIRECTORY:
            return
        place = self._moved(action)
        folder = self._folders.readable(place)
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a descriptor
        finally:
            os.close(folder)
        here = self._folders.open(place)
        for name in names:
            inner = self._by_path.get(f"{action.path}/{name}")
            if inner is None:
                raise DriftError(f"{visible(f'{action.path}/{name}')} has come into being meanwhile")
            self._require_unchanged(inner, here, name)

    def _moved(self, action: Action) -> str:
        """Return where a folder that has gone lies now."""
        top = action
        while top.way is Way.WITHIN:
            top = self._by_path[parent_of(top.path)]
        parent = parent_of(top.path).rstrip("/")
        folder = self._folders.open(parent or "/")
        name = top.temp
        with suppress(FileNotFoundError):
            os.stat(name + "~", dir_fd=folder, follow_symlinks=False)
            name += "~"
        return f"{parent}/{name}{action.path[len(top.path) :]}"

    def _sync(self) -> None:
        self.under_way = ""
        sync_folders(self._folders, (parent_of(action.path) for action in self._journal.actions), whole=self._many)


_GOING = (Way.RENAME, Way.WITHIN)


def finish(journal: CommitJournal, folders: Folders) -> list[str]:
    """Go from the mark `committed` to `done`: the old things go, and folders get their times. Safe to repeat.

    Returns what could not be removed.
    """
    actions = journal.actions
    left = clean_up(folders, actions)
    set_times(folders, actions)
    for one in journal.header.get("times", ()):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.utime(
                ".", ns=(int(one["atime_ns"]), int(one["mtime_ns"])), dir_fd=folders.open(path_from_json(one["path"]))
            )
    parents = {parent_of(action.path) for action in actions}
    sync_folders(folders, parents, whole=len(actions) >= MANY)
    times = []
    for path in sorted(parents):
        try:
            status = os.stat(".", dir_fd=folders.open(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        times.append({"path": path_to_json(path), "mtime_ns": str(status.st_mtime_ns)})
    journal.mark("done", left=left, folders=times)
    return left
