"""A ledger's transparency log in a backup: all of it but its private keys and what is derived, in one state.

The keys are left out as every signing key is. Where it stands how far the log was signed is in the backup only if it
lies in the log's own folder: a file elsewhere is there so that it is not set back together with the rest.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hearth.ledger import LedgerHome

__all__ = ["LOG_NAMES", "copy_log", "notes_on_log"]

LOG_NAMES = (
    r"transparency/(settings\.json|signed\.json|keys\.next"
    r"|log/(checkpoint|keys|tile/([0-9]|[1-5][0-9]|6[0-3]|entries)/(x[0-9]{3}/){0,6}[0-9]{3}(\.p/[1-9][0-9]{0,2})?)"
    r"|witnesses/([0-9a-f]{64}\.note|conflicts/[0-9a-f]{64}))"
)
"""The files of a log that a backup has, as an expression: no keys, no index of leaves, no locks and no drafts."""

_NAME = re.compile(LOG_NAMES)


def copy_log(home: LedgerHome, scratch: Path) -> dict[str, Path]:
    """Copy a ledger's log in one state; return the copies by their names in the ledger's folder.

    Full tiles never change: they are copied first, while runs go on; the rest while nobody adds. Called before journals
    and database are read, so that they know all that it tells of. OSError as the system says.
    """
    folder = home.root / "transparency"
    if not (folder / "settings.json").exists():
        return {}
    from hearth.evidence import LogPlace

    copies: dict[str, Path] = {}

    def copy(paths: Iterable[Path]) -> None:
        for path in sorted(paths):
            name = path.relative_to(home.root).as_posix()
            if name not in copies and _NAME.fullmatch(name) and path.is_file() and not path.is_symlink():
                to = scratch / f"{len(copies)}.log"
                shutil.copyfile(path, to)
                copies[name] = to

    copy(path for path in (folder / "log" / "tile").rglob("*") if not path.parent.name.endswith(".p"))
    with LogPlace(folder).locked():
        copy(folder.rglob("*"))
    return copies


def notes_on_log(home: LedgerHome) -> tuple[str, ...]:
    """Return what a restored log needs, or what has to be known before it is added to; nothing where there is none."""
    if not (home.root / "transparency").is_dir():
        return ()
    from hearth.evidence import Checkpoint, LogFiles, LogPlace, LogSettings, read_checkpoint

    place = LogPlace.of(home)
    try:
        settings = LogSettings.load(place)
        size = Checkpoint.parse(read_checkpoint(LogFiles(place.log)).text).size
    except (EvidenceError, OSError) as error:
        return (f"the transparency log cannot be read: {error}",)
    notes = []
    if not settings.key_file.exists():
        notes.append(
            f"the log's private key is not in a backup: bring your copy of it to {settings.key_file} (that of "
            f"{settings.key}). Until then no step starts, for the log could not tell of it"
        )
    if place.root not in settings.key_file.parents:
        notes.append(f"the log's private key is read from {settings.key_file}, as its settings say")
    if settings.signed_file == place.signed:
        notes.append(
            f"the log has the {size} leaves of the backup. Where more were signed since, going on makes a second "
            "history: first hold it against the newest checkpoint that was published, cosigned or kept (`hearth log "
            "verify --since FILE`)"
        )
    elif settings.signed_file.exists():
        notes.append(f"how far the log was signed stands in {settings.signed_file}: less is never signed again")
    else:
        notes.append(
            f"how far the log was signed stood in {settings.signed_file}, which is not in a backup and not there: "
            "bring it back. Until then no step starts"
        )
    return tuple(notes)
