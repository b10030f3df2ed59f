"""A new journal's file: it did not exist, it is locked, and its name is durable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import JournalLockedError, RecorderError
from hearth.recorder._lock import lock_soon

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["new_locked_file"]

_BINARY = getattr(os, "O_BINARY", 0)


def new_locked_file(path: Path) -> int:
    """Return the descriptor of a new file (0600); RecorderError when it exists or cannot be made, locked and synced."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)
    except FileExistsError:
        message = f"{path} exists: this execution was recorded before. Use another execution id"
        raise RecorderError(message) from None
    except OSError as error:
        message = f"{path}: the journal cannot be created: {error.strerror}. Nothing was started"
        raise RecorderError(message) from error
    try:
        locked = lock_soon(descriptor)
        sync_directory(path.parent)
    except OSError as error:
        os.close(descriptor)
        message = f"{path}: the journal cannot be made durable: {error.strerror}. Nothing was started"
        raise RecorderError(message) from error
    if not locked:
        os.close(descriptor)
        message = f"{path} is being written by another process"
        raise JournalLockedError(message)
    return descriptor
