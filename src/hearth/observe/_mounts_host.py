"""What is mounted on this host, and what of it is somebody else's: looked at before a sandbox is built. Linux."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from hearth.observe._layer_mounts import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["VIRTUAL", "few_parts", "foreign_on_the_way", "mount_points", "other_places"]

VIRTUAL = ("/dev", "/proc", "/sys")
_MOST_PARTS = 4096
_OCTAL = re.compile(r"\\([0-7]{3})")


def mount_points() -> Iterator[tuple[str, str]]:
    """Yield the mounts below the root, parents first, each once: what was mounted last is what one sees (proc(5))."""
    kinds = {one.point: one.kind for one in _table()}
    for point in sorted(kinds):
        virtual = any(point == one or point.startswith(f"{one}/") for one in VIRTUAL)
        # One that another covers is not seen, and a name that a namespace is kept by is no file.
        if point != "/" and not virtual and kinds[point] != "nsfs" and os.path.lexists(point):
            yield point, kinds[point]


def other_places(paths: Iterable[str]) -> list[str]:
    """Return where else the same files and folders, or parts of them, can be found: in other mounts of what holds them.

    The paths have no symbolic links in them.
    """
    table = list(_table())
    found: dict[str, None] = {}
    for path in paths:
        for holder in table:
            if not is_below(path, holder.point):
                continue
            inside = _joined(holder.root, path[len(holder.point) :])  # where it lies in its file system
            for other in table:
                if other.device != holder.device:
                    continue
                if is_below(inside, other.root):
                    place, same = _joined(other.point, inside[len(other.root) :]), path
                elif is_below(other.root, inside):
                    place, same = other.point, _joined(path, other.root[len(inside) :])
                else:
                    continue
                if not is_below(place, path) and _are_one(place, same):
                    found[place] = None
    return list(found)


def foreign_on_the_way(place: str) -> dict[str, tuple[bool, bool]]:
    """Return each folder on the way to a place: whether it is somebody else's, and whether one may write there."""
    found = {}
    path = ""
    for name in place.split("/")[1:]:
        path = f"{path}/{name}"
        try:
            status = os.lstat(path)
        except OSError:
            break
        if stat.S_ISDIR(status.st_mode):
            foreign = (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid())
            found[path] = (foreign, os.access(path, os.W_OK, effective_ids=True))
    return found


def few_parts(path: str) -> bool:
    try:
        return len(os.listdir(path)) <= _MOST_PARTS  # noqa: PTH208 - as above
    except OSError:
        return False


class _Mount(NamedTuple):
    """A mount: its file system's device and kind, which directory of that it shows, and where."""

    device: str
    root: str
    point: str
    kind: str


def _table() -> Iterator[_Mount]:
    """Yield what is mounted, in the order of /proc/self/mountinfo (proc(5))."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123 - text throughout
        for line in lines:
            front, _, back = line.partition(" - ")
            _, _, device, root, point = front.split(" ")[:5]
            yield _Mount(device, _plain(root), _plain(point), back.split()[0])


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)


def _joined(folder: str, rest: str) -> str:
    rest = rest.strip("/")
    return f"{folder.rstrip('/')}/{rest}" if rest else folder


def _are_one(first: str, second: str) -> bool:
    """Whether two paths lead to one file; also where that cannot be told."""
    try:
        return os.path.samestat(os.lstat(first), os.lstat(second))
    except PermissionError:
        return True
    except OSError:
        return False
