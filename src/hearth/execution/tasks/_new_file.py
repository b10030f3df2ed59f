"""A database file that a step makes: told when it stays, taken away again when the step came to nothing."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NewFile"]


class NewFile:
    """A file that was not there when the step began.

    `make` makes it, empty, so that it is known to be ours and nobody else's. `take_away` removes it only as long as it
    is that file and still empty; what cannot be told apart from somebody else's stays, and is to be reported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.removed = False
        self._made: tuple[int, int] | None = None

    def make(self) -> None:
        """Make the file; where that fails, the database driver tries, and says why it cannot."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                status = os.fstat(descriptor)
                self._made = status.st_dev, status.st_ino
            finally:
                os.close(descriptor)

    @property
    def there(self) -> bool:
        """Whether there is a file now."""
        return self.path.exists()

    def take_away(self) -> None:
        """Remove the file where it is the empty one that was made here. Raises nothing."""
        with contextlib.suppress(OSError):
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._made and status.st_size == 0:
                self.path.unlink()
                self.removed = True

    def details(self) -> dict[str, Any]:
        """Return what the record says of a file that was made for nothing."""
        return {"created_and_removed": str(self.path)} if self.removed else {}
