"""Paths as text: made absolute without following symbolic links, which `Path.resolve` would."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["absolute", "lies_within"]


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute, normalised path; nothing is read from disk."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links: the folder as written is what counts


def lies_within(path: str, folder: str) -> bool:
    """Whether a normalised absolute path is `folder` or below it; both as text."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
