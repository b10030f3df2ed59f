"""Files and folders that only their owner can read, whatever the umask is."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hearth.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["create_private_file", "keep_private", "private_folder"]

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(path: Path) -> None:
    """Make `path` (and what is missing above it) and close it to others (0700); an existing one is closed too."""
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) != FOLDER_MODE:
            path.chmod(FOLDER_MODE)
    except OSError as error:
        message = f"{path}: the folder cannot be made and kept private ({error.strerror or error})"
        raise LedgerError(message) from error


def create_private_file(path: Path) -> None:
    """Create an empty file with mode 0600; one that exists already raises FileExistsError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE)
    try:
        # The umask can take bits away from the owner too: say the mode again.
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)


def keep_private(path: Path) -> None:
    """Take a file of our own away from group and others; one that is not ours is left as it is."""
    status = path.stat()
    if os.name == "posix" and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
