"""Node: what lies at one path of a file system, as far as it is compared, kept and shown."""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["Node", "NodeType", "path_from_json", "path_to_json"]

_PERMISSIONS = 0o7777


class NodeType(StrEnum):
    """What kind of thing lies there (inode(7))."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    BLOCK = "block"
    CHARACTER = "character"

    @classmethod
    def of(cls, mode: int) -> NodeType:
        """Return the type that `st_mode` says."""
        return _TYPES.get(stat.S_IFMT(mode), cls.FILE)


_TYPES = {
    stat.S_IFREG: NodeType.FILE,
    stat.S_IFDIR: NodeType.DIRECTORY,
    stat.S_IFLNK: NodeType.SYMLINK,
    stat.S_IFIFO: NodeType.FIFO,
    stat.S_IFSOCK: NodeType.SOCKET,
    stat.S_IFBLK: NodeType.BLOCK,
    stat.S_IFCHR: NodeType.CHARACTER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One path's type, permissions, owner and content. Two are equal when a program could tell no lasting difference.

    `mode` are the twelve permission bits; `size` (bytes) and `sha256` (hex) are a file's, `target` a symbolic link's,
    `device` (major, minor) a device's. `xattrs` maps names (ACLs and capabilities are among them) to the SHA-256 (hex)
    of their values. `mtime_ns` and `links` (how many names the inode has) are told, not compared.
    """

    type: NodeType
    mode: int
    uid: int
    gid: int
    size: int | None = None
    sha256: str | None = None
    target: str | None = None
    device: tuple[int, int] | None = None
    xattrs: Mapping[str, str] = field(default_factory=dict)
    mtime_ns: int | None = field(default=None, compare=False)
    links: int = field(default=1, compare=False)

    @classmethod
    def of(
        cls,
        status: os.stat_result,
        *,
        sha256: str | None = None,
        target: str | None = None,
        xattrs: Mapping[str, str] | None = None,
    ) -> Self:
        """Make one of what `lstat` said, and what was read besides."""
        import os

        kind = NodeType.of(status.st_mode)
        device = None
        if kind in (NodeType.BLOCK, NodeType.CHARACTER):
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        return cls(
            type=kind,
            mode=status.st_mode & _PERMISSIONS,
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size if kind is NodeType.FILE else None,
            sha256=sha256,
            target=target,
            device=device,
            xattrs=dict(xattrs or {}),
            mtime_ns=status.st_mtime_ns,
            links=1 if kind is NodeType.DIRECTORY else status.st_nlink,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what does not apply is left out."""
        document: dict[str, Any] = {
            "type": str(self.type),
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
        }
        if self.size is not None:
            document["size"] = self.size
        if self.sha256 is not None:
            document["sha256"] = self.sha256
        if self.target is not None:
            document["target"] = path_to_json(self.target)
        if self.device is not None:
            document["device"] = list(self.device)
        if self.xattrs:
            document["xattrs"] = dict(self.xattrs)
        if self.mtime_ns is not None:
            document["mtime_ns"] = str(self.mtime_ns)  # beyond 2^53
        if self.links != 1:
            document["links"] = self.links
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        device = document.get("device")
        mtime = document.get("mtime_ns")
        return cls(
            type=NodeType(document["type"]),
            mode=int(document["mode"], 8),
            uid=int(document["uid"]),
            gid=int(document["gid"]),
            size=document.get("size"),
            sha256=document.get("sha256"),
            target=None if "target" not in document else path_from_json(document["target"]),
            device=None if device is None else (int(device[0]), int(device[1])),
            xattrs=dict(document.get("xattrs", {})),
            mtime_ns=None if mtime is None else int(mtime),
            links=document.get("links", 1),
        )


def path_to_json(path: str) -> Any:  # noqa: ANN401 - a text, or an object
    """Return a path as JSON: the text, or `{"$bytes": base64}` where its bytes are not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return {"$bytes": base64.b64encode(path.encode("utf-8", "surrogateescape")).decode()}
    return path


def path_from_json(value: Any) -> str:  # noqa: ANN401 - as above
    """Read what `path_to_json` wrote; ValueError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"$bytes"} and isinstance(value["$bytes"], str):
        return base64.b64decode(value["$bytes"], validate=True).decode("utf-8", "surrogateescape")
    raise ValueError("a path is a text, or an object with $bytes")
