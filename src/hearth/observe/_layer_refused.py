"""What an ordinary user's sandbox let a step do, and the host would refuse: its mount points are the user's there."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from hearth.observe._change import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hearth.observe._change import Change
    from hearth.observe._layer_mounts import Foreign

__all__ = ["refused_by_host"]

_NAMES = (ChangeKind.CREATED, ChangeKind.DELETED, ChangeKind.REPLACED)


def refused_by_host(changes: Iterable[Change], foreign: Mapping[str, Foreign]) -> Iterator[str]:
    """Yield, in words, each change of another user's mount point, or directly in it, that the host would refuse.

    In the sandbox of an ordinary user the directory on which an overlay is mounted belongs to that user, whoever has it
    on the host; what lies deeper has its true owner. unlink(2) says what a sticky directory lets be removed.
    """
    for change in changes:
        if change.path in foreign:
            yield f"the host would refuse that {change.path} was {change.kind.words}: it is another user's"
            continue
        folder = posixpath.dirname(change.path)
        point = foreign.get(folder)
        if point is None or not _is_of_name(change):
            continue
        refused = f"the host would refuse that {change.path} was {change.kind.words}"
        if not point.writable:
            yield f"{refused}: {folder} is not this user's to write"
        elif point.sticky and change.before is not None and change.before.uid != os.geteuid():
            yield f"{refused}: in {folder} only its owner may do that"


def _is_of_name(change: Change) -> bool:
    """Whether another thing has the name: also one of the same type, where its owner is another one.

    No ordinary user gives a thing away.
    """
    given = change.before is not None and change.after is not None and change.before.uid != change.after.uid
    return change.kind in _NAMES or given
