"""Private folders: of a run, removed at its end, and of what lasts as long as an object."""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import TaskError
from hearth.record import percent_encode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["private_folder", "run_folder"]

_log = logging.getLogger(__name__)


@contextmanager
def run_folder(runs: Path | None, execution_id: str) -> Iterator[Path]:
    """Make the private folder of a run, and remove it with all that is in it at the end."""
    # The name begins with the execution's, so that a folder left by a killed process can be told.
    folder = private_folder(f"{percent_encode(execution_id)}.", runs)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            _log.warning("%s is left over from a run and cannot be removed", folder)


def private_folder(prefix: str, parent: Path | None) -> Path:
    """Make a new folder (0700) in `parent`, or where temporary files belong."""
    try:
        if parent is not None:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise TaskError(
            f"{error.filename or parent}: no private folder can be made: {error.strerror}; nothing was started"
        ) from error
