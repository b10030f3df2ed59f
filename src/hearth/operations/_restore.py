"""Restoring a backup into a new folder: checked while it is read, checked by fsck, then given its name at once."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth._directory import sync_directory
from hearth.errors import LedgerError
from hearth.ledger import Ledger, LedgerHome
from hearth.operations._archive import read_archive
from hearth.operations._backup_log import notes_on_log
from hearth.operations._fsck._check import fsck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.operations._fsck._report import FsckReport

__all__ = ["Restored", "restore_backup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A ledger that was restored; `report` is what fsck found in it, which was in the backup as well.

    `notes` say what its transparency log needs before it can be added to.
    """

    home: LedgerHome
    ledger_id: str
    members: int
    report: FsckReport
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "home": str(self.home.root),
            "ledger_id": self.ledger_id,
            "members": self.members,
            "fsck": self.report.to_dict(),
            "notes": list(self.notes),
        }


def restore_backup(
    source: Path | str, folder: Path | str, *, progress: Callable[[str, int], None] | None = None
) -> Restored:
    """Restore a backup as the ledger `folder` (the home itself), which is missing or empty.

    It is unpacked beside that folder, under another name, so a crash leaves no half of a ledger. LedgerError for what
    is not a whole backup; then nothing is left. A ledger that was damaged when it was backed up is restored as it was,
    and the report says so.
    """
    target = Path(folder).absolute()
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        raise LedgerError(f"{target} is there already and not an empty folder; name a new one with --into FOLDER")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.restoring")
    members = 0

    def write(name: str, pieces: Iterator[bytes]) -> None:
        path = draft / name
        for parent in reversed(path.relative_to(draft).parents[:-1]):
            (draft / parent).mkdir(mode=0o700, exist_ok=True)  # `parents=True` would give the umask's mode
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        LedgerHome.create(draft)
        with Path(source).open("rb") as file:
            for _ in read_archive(file, write):
                members += 1
                if progress is not None:
                    progress("files restored", members)
        with Ledger.open(LedgerHome(draft)) as ledger:
            ledger_id = ledger.ledger_id
        report = fsck(draft, progress=progress)
        ignore = draft / ".gitignore"
        ignore.write_text("*\n", encoding="utf-8")
        ignore.chmod(0o600)
        _sync_all(draft)
        _publish(draft, target)
    except OSError as error:
        raise LedgerError(f"{error.filename or target}: the backup cannot be restored: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    home = LedgerHome(target)
    return Restored(home=home, ledger_id=ledger_id, members=members, report=report, notes=notes_on_log(home))


def _publish(draft: Path, target: Path) -> None:
    if target.is_dir():
        target.rmdir()  # of an empty folder only
    draft.rename(target)
    sync_directory(target.parent)


def _sync_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_directory(path)
