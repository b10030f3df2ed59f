"""Folders that die with the process that made them, or are cleared by the next one that makes one. POSIX."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from pathlib import Path

from hearth.observe._remove_tree import remove_tree

__all__ = ["OwnedFolder", "clear_dead", "has_living_owner"]

_PREFIX = "hearth-"
_UNFINISHED = "new-hearth-"
_OWNER = ".owner"
_MOMENT = 60  # seconds; a new folder gets its lock and its name in much less


class OwnedFolder:
    """A new private folder within `parent`, locked for as long as its owner lives; those of dead owners are removed.

    The kernel gives the lock back when the process dies, however it dies (flock(2)). OSError where none can be made.
    """

    def __init__(self, parent: Path) -> None:
        clear_dead(parent)
        # Under a name that nobody clears, until it is locked.
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=parent))
        self._lock = os.open(unfinished / _OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _try_lock(self._lock)
        self.path = parent / (_PREFIX + unfinished.name.removeprefix(_UNFINISHED))
        unfinished.rename(self.path)

    def close(self) -> None:
        """Remove it. What cannot be removed now is left to the next owner of such a folder."""
        if self._lock >= 0:
            _remove_owned(self.path)
            os.close(self._lock)
            self._lock = -1


def clear_dead(parent: Path) -> None:
    """Remove this user's folders whose owner is dead; those of others, and what is no such folder, are let be."""
    for folder in [*parent.glob(f"{_PREFIX}*"), *parent.glob(f"{_UNFINISHED}*")]:
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or "." in folder.name:
                continue  # no name that is made here has a dot
            if folder.name.startswith(_UNFINISHED):
                if not has_living_owner(folder):
                    remove_tree(folder)
                continue
            lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            # Whoever was faster may have removed it, and the name be another's by now.
            if _try_lock(lock) and os.path.samestat(os.fstat(lock), (folder / _OWNER).lstat()):
                _remove_owned(folder)
        except OSError:
            continue
        finally:
            os.close(lock)


def has_living_owner(folder: Path) -> bool:
    """Whether a folder is one of a living owner, or may just become one."""
    try:
        if folder.name.startswith(_UNFINISHED):  # to try its lock would be to take it from its owner
            return time.time() - folder.lstat().st_mtime < _MOMENT
        if not folder.name.startswith(_PREFIX):
            return False
        lock = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _try_lock(lock)
    finally:
        os.close(lock)


def _try_lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_owned(folder: Path) -> None:
    """Remove a folder, its lock last: where something cannot be removed yet, it is still found the next time."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        elif path.name != _OWNER:
            path.unlink()
    if [path.name for path in folder.iterdir()] == [_OWNER]:
        (folder / _OWNER).unlink()
        folder.rmdir()
