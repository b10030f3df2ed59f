"""What lies at a path now, with all that is needed to make it again; and giving a thing its owner, mode and times."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import ObservationError
from hearth.observe._node import Node, NodeType
from hearth.observe._preimage import Extents, digest_of, keep
from hearth.observe._tree_reader import OVERLAY_PREFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.observe._preimage import ContentKeeper

__all__ = [
    "OWNER_ALL",
    "Found",
    "Remembered",
    "apply_metadata",
    "attributes_of_thing",
    "differences",
    "hold",
    "inode_of",
    "is_between",
    "look",
    "mark_of",
    "open_file",
    "stamp_of",
]

_NONE = (errno.ENOTSUP, errno.EINVAL, errno.ENODATA)
_ACL = "system.posix_acl_"
_SET_ID = 0o6000
OWNER_ALL = 0o700
"""What the owner of a folder needs to change what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a node does not say of a thing, and its restoration needs.

    `xattrs` are the values themselves, times are in ns, `inode` is (device, number). `stored` is the digest of a file's
    pre-image, `extents` where a sparse one has its data; `link` another path by which the same file is known.
    """

    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    atime_ns: int
    mtime_ns: int
    inode: tuple[int, int]
    stored: str | None = None
    extents: Extents | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path: its node, the rest, and what lstat(2) said."""

    node: Node
    rest: Remembered
    status: os.stat_result

    @property
    def mark(self) -> tuple[int, ...]:
        """What changes when somebody else changes the thing, but not when it is renamed."""
        return mark_of(self.status)


def mark_of(status: os.stat_result) -> tuple[int, ...]:
    """Return `Found.mark` of a status; a folder's names, and so its time and size, are looked at by themselves."""
    mark = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):
        return mark
    return (*mark, status.st_size, status.st_mtime_ns)


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes with whatever is done to a thing, a renaming too: `mark_of`, and the time of that (ctime)."""
    return (*mark_of(status), status.st_ctime_ns)


def inode_of(status: os.stat_result) -> tuple[int, int]:
    """Return (device, number)."""
    return status.st_dev, status.st_ino


def hold(folder: int, name: str) -> int:
    """Return a descriptor (O_PATH) of a thing itself, also of a link: what is done by it is done to that thing alone.

    It can be had of things that must not be opened (devices, FIFOs) and that may not be read.
    """
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def look(folder: int, name: str, *, content: bool = True, store: ContentKeeper | None = None) -> Found | None:
    """Return what lies at a name of a folder (a descriptor), None where nothing does. A file goes to `store`, if given.

    OSError where it cannot be read.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    sha256 = stored = target = None
    extents: Extents | None = None
    if stat.S_ISREG(status.st_mode) and content:
        descriptor = open_file(folder, name)
        try:
            status = os.fstat(descriptor)
            if store is None:
                sha256 = digest_of(descriptor, status.st_size)
            else:
                kept = keep(descriptor, status.st_size, store)
                sha256, stored, extents = kept.sha256, kept.stored, kept.extents
        finally:
            os.close(descriptor)
    elif stat.S_ISLNK(status.st_mode):
        target = os.readlink(name, dir_fd=folder)
    xattrs = _attributes(f"/proc/self/fd/{folder}/{name}", follow=False)
    node = Node.of(
        status,
        sha256=sha256,
        target=target,
        xattrs={key: hashlib.sha256(value).hexdigest() for key, value in xattrs.items()},
    )
    rest = Remembered(
        xattrs=xattrs,
        atime_ns=status.st_atime_ns,
        mtime_ns=status.st_mtime_ns,
        inode=(status.st_dev, status.st_ino),
        stored=stored,
        extents=extents,
    )
    return Found(node, rest, status)


def open_file(folder: int, name: str) -> int:
    """Open a regular file for reading, whatever may have come in its place; its time of access stays where it may."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        descriptor = os.open(name, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EAGAIN, "it is no regular file any more", name)
    return descriptor


def apply_metadata(thing: int, node: Node, xattrs: Mapping[str, bytes], times: tuple[int, int] | None) -> None:
    """Give a thing its owner, extended attributes, mode and times (access, change; ns), in the order that keeps them.

    `thing` is a descriptor of it, of any kind: a name may have been given to something else after it was looked at.

    chown(2) clears the set-id bits and the capabilities, an ACL changes the mode: so the owner comes first, then the
    attributes, the mode and the times. ObservationError where the result is not what was asked for.
    """
    if NodeType.of(os.fstat(thing).st_mode) is not node.type:
        raise ObservationError(f"it is not a {node.type} any more")
    where = f"/proc/self/fd/{thing}"  # leads to the thing itself, and no further where that is a link
    _apply(where, node, xattrs)
    if times is None:
        return
    try:
        os.utime(where, ns=times)
    except PermissionError:
        if node.uid == os.geteuid():
            raise
        # Only the owner may choose the times; whoever may but write leaves the present one, as any program would.


def _apply(where: str, node: Node, xattrs: Mapping[str, bytes]) -> None:
    has_mode = node.type is not NodeType.SYMLINK
    status = os.stat(where)  # noqa: PTH116 - a text
    if (status.st_uid, status.st_gid) != (node.uid, node.gid):
        os.chown(where, node.uid, node.gid)
    present = _attributes(where, follow=True)
    if present != xattrs:
        if has_mode and not status.st_mode & 0o200:  # user attributes need the right to write, of the owner too
            os.chmod(where, stat.S_IMODE(status.st_mode) | 0o600)  # noqa: PTH101 - a text
        for key in present.keys() - xattrs.keys():
            os.removexattr(where, key)
        for key, value in xattrs.items():
            if present.get(key) != value:
                os.setxattr(where, key, value)
    status = os.stat(where)  # noqa: PTH116 - a text
    if has_mode and stat.S_IMODE(status.st_mode) != node.mode:
        os.chmod(where, node.mode)  # noqa: PTH101 - a text
        status = os.stat(where)  # noqa: PTH116 - a text
    got = replace(
        node, mode=stat.S_IMODE(status.st_mode) if has_mode else node.mode, uid=status.st_uid, gid=status.st_gid
    )
    if got != node:
        raise ObservationError(f"the system would not have {'; '.join(differences(node, got))}")


def attributes_of_thing(thing: int) -> dict[str, bytes]:
    """Return the extended attributes of what is held, with their values; lists for access are among them."""
    return _attributes(f"/proc/self/fd/{thing}", follow=True)


def _attributes(where: str, *, follow: bool) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        for key in os.listxattr(where, follow_symlinks=follow):
            if not key.startswith(OVERLAY_PREFIXES):
                with suppress(FileNotFoundError):
                    found[key] = os.getxattr(where, key, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _NONE:
            raise
    return found


def is_between(found: Node, before: Node, after: Node) -> bool:
    """Whether a thing may be what a change of mode, owner and attributes left half-done, or is either end of it."""
    content = (found.type, found.size, found.sha256, found.target, found.device)
    if content != (before.type, before.size, before.sha256, before.target, before.device):
        return False
    if found.uid not in (before.uid, after.uid) or found.gid not in (before.gid, after.gid):
        return False
    keys = {*found.xattrs, *before.xattrs, *after.xattrs}
    counted = 0o7777 & ~_SET_ID & ~(0o070 if any(key.startswith(_ACL) for key in keys) else 0)
    modes = {mode | more for mode in (before.mode, after.mode) for more in (0, 0o600, OWNER_ALL)}
    if found.mode & counted not in {mode & counted for mode in modes}:
        return False
    for key in keys:
        value = found.xattrs.get(key)
        cleared = value is None and key == "security.capability"
        if value not in (before.xattrs.get(key), after.xattrs.get(key)) and not cleared and not key.startswith(_ACL):
            return False
    return True


def differences(expected: Node | None, found: Node | None) -> list[str]:
    """Return in words what of a node is not as expected."""
    if expected is None or found is None:
        return [f"{_named(expected)} was expected, {_named(found)} is there"]
    if expected.type is not found.type:
        return [f"a {expected.type} was expected, a {found.type} is there"]
    told = []
    for one in fields(Node):
        want, have = getattr(expected, one.name), getattr(found, one.name)
        if not one.compare or want == have:
            continue
        if one.name == "mode":
            want, have = f"{want:04o}", f"{have:04o}"
        elif one.name == "xattrs":
            names = sorted(key for key in {*want, *have} if want.get(key) != have.get(key))
            told.append(f"the extended attributes {', '.join(map(visible, names))} are not as expected")
            continue
        told.append(f"{one.name} {visible(str(want))} was expected, {visible(str(have))} is there")
    return told


def _named(node: Node | None) -> str:
    return "nothing" if node is None else f"a {node.type}"
