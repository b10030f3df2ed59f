"""What is mounted on this host, and what of it is somebody else's: looked at before a sandbox is built. Linux."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VIRTUAL", "few_parts", "foreign_on_the_way", "mount_points"]

VIRTUAL = ("/dev", "/proc", "/sys")
_MOST_PARTS = 512
_OCTAL = re.compile(r"\\([0-7]{3})")


def mount_points() -> Iterator[tuple[str, str]]:
    """Yield the mounts below the root, parents first, each once: what was mounted last is what one sees (proc(5))."""
    kinds: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123 - text throughout
        for line in lines:
            front, _, back = line.partition(" - ")
            point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), front.split()[4])
            kinds[point] = back.split()[0]
    for point in sorted(kinds):
        virtual = any(point == one or point.startswith(f"{one}/") for one in VIRTUAL)
        # One that another covers is not seen, and a name that a namespace is kept by is no file.
        if point != "/" and not virtual and kinds[point] != "nsfs" and os.path.lexists(point):
            yield point, kinds[point]


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
            found[path] = (foreign, os.access(path, os.W_OK))
    return found


def few_parts(path: str) -> bool:
    try:
        return len(os.listdir(path)) <= _MOST_PARTS  # noqa: PTH208 - as above
    except OSError:
        return False
