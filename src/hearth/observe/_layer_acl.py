"""Lists for access (ACLs) that an ordinary user's sandbox lost: only its own user has a number there (acl(5))."""

from __future__ import annotations

import os
import posixpath
import struct
from typing import TYPE_CHECKING

from hearth.observe._tree_reader import attributes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from hearth.observe._change import Change
    from hearth.observe._layer_view import LowerView

__all__ = ["lists_lost"]

_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_HEAD, _ENTRY = 4, struct.Struct("<HHI")  # linux/posix_acl_xattr.h: a version, then tag, rights, number
_USER, _GROUP = 0x02, 0x08


def lists_lost(
    changes: Iterable[Change],
    lacking: Mapping[str, frozenset[str]],
    view: LowerView,
    place: Callable[[str], Path | None],
) -> Iterator[str]:
    """Yield, in words, each path that has not the list for access which it would have without a sandbox.

    What a program copies there together with such a list (`sed -i`, `cp -a`), the kernel refuses to give one that names
    others. `lacking` are the attributes that mount points' own directories could not be given, `place` says where the
    layer holds a path.
    """
    for change in changes:
        if change.before is None:
            folder = posixpath.dirname(change.path)
            if _LISTS[1] in lacking.get(folder, ()):
                yield (
                    f"{change.path} was created without the list for access (ACL) that {folder} gives to what is made "
                    "in it: it names other users, whom a sandbox of an ordinary user does not know"
                )
        elif change.after is not None and change.before.type is change.after.type and _is_lost(change, view, place):
            yield (
                f"{change.path} lost entries of its list for access (ACL), which names other users: a sandbox of an "
                "ordinary user does not know them, so no program can set such a list there"
            )


def _is_lost(change: Change, view: LowerView, place: Callable[[str], Path | None]) -> bool:
    assert change.before is not None and change.after is not None  # noqa: PT018, S101 - the caller looked
    had, has = change.before.xattrs, change.after.xattrs
    differing = [key for key in _LISTS if key in had and had[key] != has.get(key)]
    if not differing:
        return False
    found = view.find(change.path)
    before = {} if found is None else attributes_of(found.part.directory, found.name, change.path, view.reader)
    there = place(change.path)
    for key in differing:
        try:
            after = os.getxattr(there, key, follow_symlinks=False) if there is not None and key in has else b""
        except OSError:
            after = b""
        if not _of_others(before.get(key, b"")) <= _of_others(after):
            return True
    return False


def _of_others(value: bytes) -> set[tuple[int, int, int]]:
    """Return a list's entries for other users and groups than one's own: tag, rights, number."""
    body = value[_HEAD:]
    entries = _ENTRY.iter_unpack(body[: len(body) // _ENTRY.size * _ENTRY.size])
    own = {_USER: os.geteuid(), _GROUP: os.getegid()}
    return {(tag, rights, number) for tag, rights, number in entries if tag in own and number != own[tag]}
