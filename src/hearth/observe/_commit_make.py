"""Making a new thing under a temporary name, writing a file in place, making what was done durable, and cleaning up."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import DriftError, ObservationError
from hearth.observe._commit_calls import sync_all
from hearth.observe._commit_source import open_source
from hearth.observe._commit_state import apply_metadata, hold, inode_of, look
from hearth.observe._inode_flags import write_flags
from hearth.observe._node import Node, NodeType
from hearth.observe._preimage import copy_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hearth.observe._commit_calls import Folders
    from hearth.observe._commit_journal import Action
    from hearth.observe._commit_source import Source
    from hearth.observe._inode_flags import InodeFlags

__all__ = [
    "MANY",
    "clean_up",
    "make",
    "make_folder",
    "parent_of",
    "same_file",
    "set_times",
    "spare_names",
    "sync_folders",
    "write_in_place",
]

MANY = 64
"""From so many actions on, whole file systems are synced instead of each file."""


def parent_of(path: str) -> str:
    """Return the folder that a path lies in."""
    return path.rpartition("/")[0] or "/"


def spare_names(action: Action) -> tuple[str, str]:
    """Return the temporary names: of the new thing, and of the old one where the two cannot be exchanged at once."""
    return action.temp, action.temp + "~"


def make(
    folder: int,
    name: str,
    action: Action,
    source: Source,
    layers: Folders,
    *,
    durable: bool,
    flags: InodeFlags | None = None,
) -> tuple[int, int]:
    """Make what an action's path is to become under another name; a folder without its metadata. Returns the inode.

    `flags` are those of the file whose place it gets. ObservationError where they cannot be had, or the content is not
    what was observed, DriftError where somebody put another thing there.
    """
    node = action.change.after
    assert node is not None  # noqa: S101 - what is deleted is not made
    if node.type is NodeType.DIRECTORY:
        return make_folder(folder, name, action.path)
    if node.type is NodeType.FILE:
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        thing = os.open(name, how, 0o600, dir_fd=folder)
        try:
            if flags is not None and not write_flags(thing, flags):
                raise ObservationError(f"{visible(action.path)}: a new file cannot be given its flags (chattr)")
            _fill(thing, node, action, source, layers, durable=durable)
            apply_metadata(thing, node, action.new_xattrs, action.times)
            return inode_of(os.fstat(thing))
        finally:
            os.close(thing)
    if node.type is NodeType.SYMLINK:
        os.symlink(node.target or "", name, dir_fd=folder)
    elif node.type is NodeType.FIFO:
        os.mkfifo(name, 0o600, dir_fd=folder)
    else:
        device = os.makedev(*node.device) if node.device is not None else 0
        os.mknod(name, 0o600 | _FORMATS[node.type], device, dir_fd=folder)
    thing = hold(folder, name)
    try:
        _require_young(thing, action.path, node)
        apply_metadata(thing, node, action.new_xattrs, action.times)
        return inode_of(os.fstat(thing))
    finally:
        os.close(thing)


def make_folder(folder: int, name: str, path: str) -> tuple[int, int]:
    """Make a folder that is closed to all others; return its inode. `path` is what it is to become."""
    os.mkdir(name, 0o700, dir_fd=folder)
    thing = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if os.listdir(thing):  # noqa: PTH208 - a descriptor
            raise DriftError(f"{visible(path)} is not the folder that was made")
        return inode_of(os.fstat(thing))
    finally:
        os.close(thing)


def _require_young(thing: int, path: str, node: Node) -> None:
    """Raise DriftError where a thing is not the link, FIFO, socket or device that was just made."""
    status = os.fstat(thing)
    target = os.readlink("", dir_fd=thing) if NodeType.of(status.st_mode) is NodeType.SYMLINK else None
    young = Node.of(status, target=target)
    if (young.type, young.target, young.device, young.links) != (node.type, node.target, node.device, 1):
        raise DriftError(f"{visible(path)} is not what was made")


def write_in_place(thing: int, action: Action, source: Source, layers: Folders) -> None:
    """Give the file that is held new content and metadata; all its names see it. OSError, ObservationError."""
    node = action.change.after
    assert node is not None  # noqa: S101 - as above
    where = f"/proc/self/fd/{thing}"
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(where, flags)
    except PermissionError:
        os.chmod(where, 0o600)  # noqa: PTH101 - a descriptor's path; its mode is set at the end
        descriptor = os.open(where, flags)
    try:
        os.ftruncate(descriptor, 0)
        _fill(descriptor, node, action, source, layers, durable=True)
    finally:
        os.close(descriptor)
    apply_metadata(thing, node, action.new_xattrs, action.times)


def _fill(descriptor: int, node: Node, action: Action, source: Source, layers: Folders, *, durable: bool) -> None:
    content = open_source(source, layers)
    try:
        sha256 = copy_content(content, descriptor, node.size or 0, source.packed)
    finally:
        os.close(content)
    if sha256 != node.sha256:
        raise ObservationError(f"{visible(action.path)}: its new content is not what was observed")
    if durable:
        os.fsync(descriptor)


def sync_folders(folders: Folders, paths: Iterable[str], *, whole: bool) -> None:
    """Make names durable: of each folder, or (`whole`) all that was written to the file systems that they lie on."""
    devices = set()
    for path in sorted(set(paths)):
        try:
            if not whole:
                folders.sync(path)
                continue
            device = os.stat(".", dir_fd=folders.open(path)).st_dev
            if device not in devices:
                devices.add(device)
                readable = folders.readable(path)
                try:
                    sync_all(readable)
                finally:
                    os.close(readable)
        except (FileNotFoundError, NotADirectoryError):  # it went, with all that was in it
            continue
        except PermissionError:
            os.sync()


def clean_up(folders: Folders, actions: Sequence[Action]) -> list[str]:
    """Remove what waits under temporary names; return the paths of what could not be, and of strangers among it."""
    left: list[str] = []
    within: dict[str, list[Action]] = {}
    top = None
    for action in actions:
        if action.way == "rename":
            top = action
        elif action.way == "within" and top is not None:
            within.setdefault(top.path, []).append(action)
    for action in actions:
        if action.way != "rename":
            continue
        parent = parent_of(action.path)
        for name in spare_names(action):
            try:
                folder = folders.open(parent)
                os.stat(name, dir_fd=folder, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            for inner in reversed(within.get(action.path, ())):
                place = f"{parent.rstrip('/')}/{name}{inner.path[len(action.path) :]}"
                _remove(folders, place, inner.change.before, left)
            before = action.change.before
            _remove(folders, f"{parent.rstrip('/')}/{name}", before, left)
    return left


def _remove(folders: Folders, path: str, node: Node | None, left: list[str]) -> None:
    """Remove a thing of a known type. Where its folder forbids that to the owner, the folder is opened for it."""
    try:
        folder, name = folders.at(path)
        try:
            _remove_at(folder, name, node)
        except PermissionError:
            mode = os.stat(".", dir_fd=folder).st_mode
            os.chmod(f"/proc/self/fd/{folder}", mode & 0o7777 | 0o700)  # noqa: PTH101 - as above
            _remove_at(folder, name, node)
            os.chmod(f"/proc/self/fd/{folder}", mode & 0o7777)  # noqa: PTH101 - as above
        if node is not None and node.type is NodeType.DIRECTORY:
            folders.forget(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        left.append(f"{visible(path)} ({error.strerror})")


def _remove_at(folder: int, name: str, node: Node | None) -> None:
    if node is not None and node.type is NodeType.DIRECTORY:
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def set_times(folders: Folders, actions: Sequence[Action]) -> None:
    """Give folders the times that they are to have, when nothing more happens in them; the deepest come first."""
    for action in reversed(actions):
        node = action.change.after
        if node is None or node.type is not NodeType.DIRECTORY or action.times is None:
            continue
        with suppress(FileNotFoundError, PermissionError):
            folder, name = folders.at(action.path)
            os.utime(name, ns=action.times, dir_fd=folder, follow_symlinks=False)


def same_file(folder: int, name: str, node: Node) -> bool:
    """Whether a name has just this node."""
    found = look(folder, name)
    return found is not None and found.node == node


_FORMATS = {NodeType.SOCKET: 0o140000, NodeType.BLOCK: 0o060000, NodeType.CHARACTER: 0o020000}
