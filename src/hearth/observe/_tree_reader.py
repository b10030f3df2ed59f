"""Reading what lies at one name: status, extended attributes, link target, and the hash of a file's content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from hearth.observe._content_digest import ContentDigest, TooManyHolesError
from hearth.observe._node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.observe._tree_directory import Directory

__all__ = ["OVERLAY_PREFIXES", "NodeReader", "attributes_of"]

OVERLAY_PREFIXES = ("trusted.overlay.", "user.overlay.")
"""Extended attributes that belong to overlayfs, not to those who use it."""

_NONE = (errno.ENOTSUP, errno.ENOENT, errno.ENOTDIR, errno.EINVAL)


class NodeReader:
    """Reads nodes, and keeps in `unseen` why something could not be read.

    `unread` are the paths of files that were too long to be read: their `sha256` is None. `stop` says why to end at
    once, with an ObservationError ("": go on).
    """

    def __init__(self, stop: Callable[[], str] | None = None) -> None:
        self.unseen: dict[str, None] = {}  # in the order of their coming, each once
        self.unread: set[str] = set()
        self._contents = ContentDigest(stop)

    def miss(self, reason: str) -> None:
        """Keep a reason why something may have gone unseen."""
        self.unseen[reason] = None

    def node(
        self,
        directory: Directory,
        name: str,
        path: str,
        *,
        content: bool = True,
        attributes: Mapping[str, bytes] | None = None,
        status: os.stat_result | None = None,
    ) -> Node | None:
        """Return what lies at a name of `directory`; None where nothing does (any more).

        Neither link nor device, socket or pipe is opened. `path` is for the reasons alone; `attributes` and `status`
        are what was read already.
        """
        try:
            status = directory.status(name) if status is None else status
            if status is None:
                return None
            digest = target = None
            if stat.S_ISREG(status.st_mode) and content:
                digest, status = self._digest(directory, name, path, status)
            elif stat.S_ISLNK(status.st_mode):
                target = directory.target(name)
            raw = attributes_of(directory, name, path, self) if attributes is None else attributes
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.miss(f"{path} cannot be read: {error.strerror}")
            if status is None:
                return None
            digest, target, raw = None, None, {}
        xattrs = {
            _text(key): hashlib.sha256(value).hexdigest()
            for key, value in raw.items()
            if not key.startswith(OVERLAY_PREFIXES)
        }
        return Node.of(status, sha256=digest, target=target, xattrs=xattrs)

    def names(self, directory: Directory, path: str) -> list[str]:
        """Return the names in a directory; none, and a reason, where it cannot be read."""
        self._contents.check()
        try:
            return directory.names()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.miss(f"{path} cannot be listed: {error.strerror}")
            return []

    def _digest(
        self, directory: Directory, name: str, path: str, status: os.stat_result
    ) -> tuple[str | None, os.stat_result]:
        """Return a file's SHA-256, and its status at the time of reading."""
        try:
            descriptor = directory.open(name)
        except PermissionError as error:
            self.miss(f"{path} cannot be read: {error.strerror}")
            return None, status
        with open(descriptor, "rb", buffering=0):  # noqa: PTH123 - a descriptor
            first = os.fstat(descriptor)
            if not stat.S_ISREG(first.st_mode):
                self.miss(f"{path} was replaced while it was read")
                return None, status
            try:
                digest, length = self._contents.of(descriptor)
            except TooManyHolesError:
                self.unread.add(path)
                self.miss(f"{path} was not compared by its content: of its {first.st_size} bytes most lie in holes")
                return None, first
            last = os.fstat(descriptor)
        if (first.st_mtime_ns, first.st_size) != (last.st_mtime_ns, length):
            self.miss(f"{path} changed while it was read")
        return digest, last


def attributes_of(directory: Directory, name: str, path: str, reader: NodeReader) -> dict[str, bytes]:
    """Return all extended attributes of a name in a directory (`.`: its own), ACLs and capabilities too (xattr(7))."""
    if not hasattr(os, "listxattr"):
        return {}
    # There is no lgetxattrat: the descriptor's own link leads to the directory, whatever the length of its path.
    own = name == "."
    where = f"/proc/self/fd/{directory.descriptor()}" + ("" if own else f"/{name}")
    found: dict[str, bytes] = {}
    try:
        for key in os.listxattr(where, follow_symlinks=own):
            try:
                found[key] = os.getxattr(where, key, follow_symlinks=own)
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.ENOENT):
                    reader.miss(f"the extended attribute {key} of {path} cannot be read: {error.strerror}")
    except OSError as error:
        if error.errno not in _NONE:
            reader.miss(f"the extended attributes of {path} cannot be read: {error.strerror}")
    return found


def _text(name: str) -> str:
    """Return an attribute's name as Unicode: bytes that are not UTF-8 are escaped, as no JSON could hold them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
