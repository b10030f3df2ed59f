"""A log's files: written whole and durable under their names, read by their paths, never outside of the folder."""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["LogFiles"]

_PATH = re.compile(
    r"checkpoint|tile/(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
)
_DRAFT = re.compile(r"\.[^/]+\.[0-9a-f]{8}\.new")
_LARGEST = 256 * (2 + 65_535)  # a full bundle of entries, each as large as one may be


class LogFiles:
    """The folder of a log, as any web server can serve it; for its owner alone unless it is `public`."""

    def __init__(self, folder: Path, *, public: bool = False) -> None:
        self.folder = folder
        self._modes = (0o666, 0o777) if public else (0o600, 0o700)

    def read(self, path: str) -> bytes:
        """Return a file's content; FileNotFoundError where there is none, EvidenceError where it cannot be read."""
        if not _PATH.fullmatch(path):
            raise FileNotFoundError(path)
        try:
            with (self.folder / path).open("rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EvidenceError(f"{self.folder / path} cannot be read: {error.strerror or error}") from error
        if len(data) > _LARGEST:
            raise EvidenceError(f"{self.folder / path} has more than {_LARGEST:,} bytes, as no file of a log has")
        return data

    def length(self, path: str) -> int | None:
        """Return how many bytes a file has; None where there is none."""
        try:
            return (self.folder / path).stat().st_size
        except OSError:
            return None

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write files, each whole or not at all, all of them durable when this returns. OSError as the system says."""
        named: list[tuple[Path, Path]] = []
        folders: dict[Path, None] = {}
        try:
            for name, content in files:
                path = self.folder / name
                self._make_folders(path.parent, folders)
                draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
                named.append((draft, path))
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                with os.fdopen(os.open(draft, flags, self._modes[0]), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for draft, path in named:
                draft.replace(path)
        except BaseException:
            for draft, _ in named:
                draft.unlink(missing_ok=True)
            raise
        for folder in folders:
            sync_directory(folder)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files that nothing needs any more, and the folders of partial tiles that are empty then."""
        for name in paths:
            path = self.folder / name
            path.unlink(missing_ok=True)
            if path.parent.name.endswith(".p") and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def clear_drafts(self) -> None:
        """Remove what a process left that died while it wrote here; only while nobody else writes."""
        for path in self.folder.rglob(".*.new"):
            if _DRAFT.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _make_folders(self, folder: Path, seen: dict[Path, None]) -> None:
        """Make a folder and those above it; what got a new name is to be synced."""
        if folder in seen:
            return
        if folder != self.folder and not folder.is_dir():
            self._make_folders(folder.parent, seen)
            folder.mkdir(mode=self._modes[1], exist_ok=True)
        seen[folder] = None
