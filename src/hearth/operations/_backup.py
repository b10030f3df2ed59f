"""A backup of a ledger in use: one tar file with a manifest, whole or not at all.

Order of reading: transparency log, journals, database, then outputs and plans, so that what is read first refers to
nothing that is not read afterwards. Journals of executions whose record is in the database by then are left out. Purges
wait meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hearth._directory import sync_directory
from hearth.errors import LedgerError
from hearth.ledger import Ledger
from hearth.operations._archive import MANIFEST, SCHEMA, read_archive
from hearth.operations._backup_log import copy_log
from hearth.operations._emptying import is_emptying_due
from hearth.operations._upkeep import upkeep
from hearth.record import canonical_bytes, format_time, percent_encode, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.ledger import LedgerHome

__all__ = ["Backup", "back_up"]

_CHUNK = 1 << 20
_LARGEST_LINE = 1 << 26
_FOLDERS = ("outputs", "inputs", "plans", "quarantine", "commits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was written and read again; `sha256` is the whole file's."""

    path: Path
    sha256: str
    size: int
    members: int
    ledger_id: str
    created: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "size": self.size,
            "members": self.members,
            "ledger_id": self.ledger_id,
            "created": self.created,
        }


def back_up(home: LedgerHome, target: Path | str, *, progress: Callable[[str, int], None] | None = None) -> Backup:
    """Write a backup of a ledger, in use or not, to a new file that only its owner can read; durable on return.

    It is written under another name, synced, read again and checked, then given its name. LedgerError when the file is
    there already, lies in the ledger's own folder, or cannot be written.
    """
    path = Path(target).absolute()
    if path.exists():
        raise LedgerError(f"{path} is there already; name a new file, for a backup is never overwritten")
    if path.parent.resolve().is_relative_to(home.root.resolve()):
        raise LedgerError(f"{path} lies in the ledger's own folder; a backup belongs elsewhere, best on another disk")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with Ledger.open(home) as ledger:
            ledger_id = ledger.ledger_id
        created = format_time(utc_now())
        with upkeep(home.root, "backup"), _scratch(path.parent) as scratch:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(descriptor, "w+b") as file:
                _write(home, file, scratch, {"ledger_id": ledger_id, "created": created}, progress)
                file.flush()
                os.fsync(file.fileno())
        with draft.open("rb") as file:
            members = sum(1 for _ in read_archive(file))
            digest, size = _digest(file)
        _publish(draft, path)
    except OSError as error:
        raise LedgerError(f"{path}: the backup cannot be written: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise LedgerError(f"{home.database}: the database cannot be copied: {error}; run `hearth fsck`") from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return Backup(path=path, sha256=digest, size=size, members=members, ledger_id=ledger_id, created=created)


def _write(
    home: LedgerHome,
    file: BinaryIO,
    scratch: Path,
    about: dict[str, str],
    progress: Callable[[str, int], None] | None,
) -> None:
    manifest: dict[str, dict[str, Any]] = {}
    archive = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed below, the file stays

    def add(name: str, source: BinaryIO, size: int) -> None:
        reader = _Hashing(source, size)
        information = tarfile.TarInfo(name)
        information.size, information.mode, information.mtime = size, 0o600, int(time.time())
        archive.addfile(information, reader)
        manifest[name] = {"sha256": reader.digest, "size": size}
        if progress is not None:
            progress("files backed up", len(manifest))

    log = copy_log(home, scratch)
    journals = _whole_lines(home, scratch)
    database = scratch / "ledger.db"
    stored = _copy_database(home.database, database, anew=is_emptying_due(home))
    _add_file(add, "ledger.db", database)
    for name, copy in journals.items():
        if name.removesuffix(".journal") not in stored:
            _add_file(add, f"journals/{name}", copy)
    for name, copy in log.items():
        _add_file(add, name, copy)
    if home.policy.is_file():
        _add_file(add, "policy.yaml", home.policy)
    for folder in _FOLDERS:
        for path in sorted((home.root / folder).rglob("*")):
            place = path.relative_to(home.root)
            drafts = {"tmp", "purged"} & set(place.parts) or path.name.startswith((".", "purged-"))
            if path.is_file() and not path.is_symlink() and not drafts:
                _add_file(add, place.as_posix(), path)
    data = canonical_bytes({"schema": SCHEMA, **about, "members": manifest})
    add(MANIFEST, io.BytesIO(data), len(data))
    archive.close()


def _add_file(add: Callable[[str, BinaryIO, int], None], name: str, path: Path) -> None:
    with path.open("rb") as source:
        add(name, source, os.fstat(source.fileno()).st_size)


def _whole_lines(home: LedgerHome, scratch: Path) -> dict[str, Path]:
    """Copy the whole lines of every journal, and return the copies by the journals' names."""
    copies: dict[str, Path] = {}
    for number, path in enumerate(sorted(home.journals.glob("*.journal"))):
        copy = scratch / f"{number}.journal"
        try:
            with path.open("rb") as source, copy.open("xb") as target:
                while (line := source.readline(_LARGEST_LINE)).endswith(b"\n"):
                    target.write(line)
        except FileNotFoundError:
            continue  # stored and removed meanwhile: the database has it
        copies[path.name] = copy
    return copies


def _copy_database(source: Path, target: Path, *, anew: bool) -> set[str]:
    """Copy the database as it stands in one moment; return the encoded ids of the records that are in it.

    `anew`: bytes of what was erased may still be in it, and are not to be in the copy.
    """
    target.touch(mode=0o600)
    reading = sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=60.0)
    try:
        writing = sqlite3.connect(target)
        try:
            reading.backup(writing, pages=-1)
            # The copy belongs to nobody yet: without a log beside it, it is one file.
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()
            if anew:
                writing.execute("VACUUM")
            ids = {str(row[0]) for row in writing.execute("SELECT execution_id FROM executions")}
            writing.execute("PRAGMA journal_mode = WAL").fetchall()
        finally:
            writing.close()
    finally:
        reading.close()
    return {percent_encode(name) for name in ids}


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a private folder beside the target, where there is room for the backup itself."""
    place = folder / f".hearth-backup.{secrets.token_hex(4)}"
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        raise LedgerError(f"{path} is there already; a backup is never overwritten") from None
    except OSError:  # a file system without hard links
        draft.rename(path)
    sync_directory(path.parent)


def _digest(file: BinaryIO) -> tuple[str, int]:
    file.seek(0)
    state, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        state.update(chunk)
        size += len(chunk)
    return state.hexdigest(), size


class _Hashing:
    """Reads just `size` bytes of a file and hashes them; a file that has become shorter is an error."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._left = size
        self._state = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._source.read(self._left if size < 0 else min(size, self._left))
        if not data and self._left:
            raise OSError(None, "a file became shorter while it was read")
        self._left -= len(data)
        self._state.update(data)
        return data

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read."""
        return self._state.hexdigest()
