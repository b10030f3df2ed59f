"""The names in a folder, made durable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sync_directory"]


def sync_directory(folder: Path) -> None:
    """Make new, changed and removed names in a folder last, where the platform can (Windows cannot open folders).

    OSError as the system says.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
