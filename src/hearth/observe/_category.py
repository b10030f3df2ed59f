"""Which category an observed effect has: by what was changed, not by who says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.plan import path_matches
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.observe._change import Change

__all__ = ["category_of"]

_SYSTEM = (
    "/boot/**",
    "/etc/systemd/**",
    "/etc/init.d/**",
    "/etc/cron*/**",
    "/etc/crontab",
    "/etc/sudoers",
    "/etc/sudoers.d/**",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/lib/systemd/**",
    "/lib/modules/**",
    "/usr/lib/systemd/**",
    "/usr/lib/modules/**",
    "/var/lib/dpkg/**",
    "/var/lib/rpm/**",
    "/var/lib/apt/**",
    "/var/spool/cron/**",
    "/run/systemd/**",
)
_DATABASES = ("/var/lib/postgresql/**", "/var/lib/mysql/**", "/var/lib/redis/**", "/var/lib/mongodb/**")
_DATABASE_ENDINGS = (".db", ".sqlite", ".sqlite3", ".db3", ".duckdb", ".mdb")
_BESIDE = ("-wal", "-shm", "-journal")


def category_of(change: Change, configuration: Iterable[str] = ()) -> SideEffectCategory:
    """Return the category of a changed path; `configuration` are absolute patterns that the plan declares as such.

    What a program may be started or a user be made by is SYSTEM, the rest of /etc and what the plan calls so
    CONFIGURATION, databases DATA_MUTATION, all else FILE_SYSTEM. A set-uid file is SYSTEM wherever it lies.
    """
    path = change.path
    if _any(_SYSTEM, path) or _gains_privileges(change):
        return SideEffectCategory.SYSTEM
    if path == "/etc" or path.startswith("/etc/") or _any(configuration, path):
        return SideEffectCategory.CONFIGURATION
    bare = path
    for ending in _BESIDE:
        bare = bare.removesuffix(ending)
    if bare.lower().endswith(_DATABASE_ENDINGS) or _any(_DATABASES, path):
        return SideEffectCategory.DATA_MUTATION
    return SideEffectCategory.FILE_SYSTEM


def _any(patterns: Iterable[str], path: str) -> bool:
    return any(path_matches(pattern, path) for pattern in patterns)


def _gains_privileges(change: Change) -> bool:
    """Whether a file came by set-uid, set-gid or capabilities that it had not."""
    after = change.after
    if after is None or after.type.value != "file":
        return False
    had = change.before.mode & 0o6000 if change.before is not None else 0
    capable = "security.capability"
    gained = capable in after.xattrs and (change.before is None or capable not in change.before.xattrs)
    return bool(after.mode & 0o6000 & ~had) or gained
