"""What an ordinary user's sandbox let a step do, and the host would refuse: its mount points are the user's there."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from hearth.observe._change import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hearth.observe._change import Change

__all__ = ["refused_by_host"]

_NAMES = (ChangeKind.CREATED, ChangeKind.DELETED, ChangeKind.REPLACED)


def refused_by_host(changes: Iterable[Change], points: Iterable[str], host: Path) -> Iterator[str]:
    """Yield, in words, each change of a name directly in a mount point that this user could not make on the host.

    In the sandbox of an ordinary user the directory on which an overlay is mounted belongs to that user, whoever has it
    on the host; what lies deeper has its true owner. unlink(2) says what a sticky directory lets be removed.
    """
    folders = {point: _status(host, point) for point in points}
    for change in changes:
        status = folders.get(posixpath.dirname(change.path))
        if status is None or change.kind not in _NAMES:
            continue
        folder = posixpath.dirname(change.path)
        if not os.access(host / folder.lstrip("/"), os.W_OK | os.X_OK):
            yield f"the host would refuse that {change.path} was {change.kind}: {folder} is not this user's to write"
        elif (
            change.before is not None
            and status.st_mode & stat.S_ISVTX
            and os.geteuid() not in (status.st_uid, change.before.uid)
        ):
            yield f"the host would refuse that {change.path} was {change.kind}: in {folder} only its owner may do that"


def _status(host: Path, point: str) -> os.stat_result | None:
    try:
        return (host / point.lstrip("/")).stat()
    except OSError:
        return None
