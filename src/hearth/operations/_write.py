"""Writing a file for its owner, whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from hearth.errors import LedgerError

__all__ = ["write_file", "write_whole"]


def write_file(path: Path | str, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone; LedgerError when that fails."""
    path = Path(path)
    try:
        write_whole(path, data)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror or error}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Do the same; OSError as the system says. Its bytes are durable, its name is when the folder is synced."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
