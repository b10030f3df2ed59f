"""Recovery of a journal whose writer is gone: seal what is whole, refuse what is damaged, destroy nothing.

Crash-safe by its order: the sealed copy is written and synced under another name, the original gets its second name,
then the copy takes the journal's name. Run again after a crash at any point, it comes to the same end.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hearth._directory import sync_directory
from hearth.errors import JournalDamagedError, JournalLockedError, RecorderError
from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    SealCause,
    SecuritySnapshot,
    canonical_bytes,
    format_time,
    hash_entry_bytes,
    utc_now,
)
from hearth.recorder._known_end import end_steps
from hearth.recorder._lock import lock_soon, try_lock
from hearth.recorder._reading import Scan, scan_journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.recorder._known_end import KnownEnd

__all__ = ["Recovery", "journal_is_live", "recover_journal"]

_log = logging.getLogger("hearth.recorder")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of a journal.

    `outcome`: `sealed` (nothing to do), `recovered` (sealed INCOMPLETE now) or `empty` (no whole line: the execution
    never began). `original` is where the file as it was found is kept, `discarded` the number of torn bytes cut off.
    """

    outcome: Literal["sealed", "recovered", "empty"]
    record: ExecutionRecord | None
    original: Path | None = None
    discarded: int = 0


def recover_journal(
    path: Path | str,
    *,
    quarantine: Path | None = None,
    known_end: Callable[[str, int], KnownEnd | None] | None = None,
) -> Recovery:
    """Bring a journal to its end; see `Recovery`.

    `known_end(execution_id, step_index)` is asked for each step that was running: how it ended may be known elsewhere.
    Raises JournalLockedError while its writer lives, RecorderError when the disk refuses, and JournalDamagedError
    for damage before a line that still parses: such a file is moved to `quarantine` (where given) and never sealed.
    """
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        message = f"{path}: the journal cannot be opened: {error.strerror}"
        raise RecorderError(message) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = f"{path} is not a regular file, so it is no journal"
            raise RecorderError(message)
        if not lock_soon(descriptor):
            message = f"{path} is being written by a running process; recover it when that has ended"
            raise JournalLockedError(message)
        here, there = os.fstat(descriptor), path.stat()
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            # Recovered by somebody else meanwhile, and perhaps begun anew: what is locked here is not that file.
            message = f"{path} was replaced while it was being opened; run `hearth recover` again"
            raise JournalLockedError(message)
        return _recover(path, quarantine, known_end)
    except OSError as error:
        message = f"{path}: recovery stopped: {error.strerror}; the original file is untouched or kept beside it"
        raise RecorderError(message) from error
    finally:
        os.close(descriptor)


def journal_is_live(path: Path | str) -> bool:
    """Whether a process writes this journal now; changes nothing. A file that cannot be opened is not written."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def _recover(path: Path, quarantine: Path | None, known_end: Callable[[str, int], KnownEnd | None] | None) -> Recovery:
    try:
        scan = scan_journal(path, keep=True)
    except JournalDamagedError as error:
        if quarantine is None:
            _log.error("damaged journal: %s", error)
            raise
        kept = _free_name(quarantine, path.name)
        quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(kept)
        sync_directory(quarantine)
        sync_directory(path.parent)
        _log.error("damaged journal quarantined at %s: %s", kept, error)
        raise JournalDamagedError(kept, error.line, error.why) from None
    if scan.chain.sealed:
        return Recovery("sealed", ExecutionRecord.from_entries(scan.entries))
    original = path.with_name(path.name + ".original")
    if not scan.entries:
        original = path.replace(_free_name(path.parent, original.name))
        sync_directory(path.parent)
        return Recovery("empty", None, original, scan.torn_bytes)
    ends, unseen = ([], []) if known_end is None else end_steps(scan, known_end)
    ends.append(_seal(scan, unseen))
    fresh = path.with_name(path.name + ".recovering")
    _write_sealed(path, fresh, scan.whole_bytes, ends)
    _keep(path, original)
    fresh.replace(path)
    sync_directory(path.parent)
    return Recovery("recovered", ExecutionRecord.from_entries([*scan.entries, ends[-1]]), original, scan.torn_bytes)


def _seal(scan: Scan, unseen: list[dict[str, Any]]) -> dict[str, Any]:
    start, last = scan.entries[0], scan.entries[-1]
    running = sorted(scan.chain.progress.open)
    why = [{"step_index": index, "why": "the process ended while the step was running"} for index in running]
    why += unseen
    if scan.chain.progress.any:
        why.append({"step_index": None, "why": "the process ended before its last entries were surely written"})
    entry: dict[str, Any] = {
        "execution_id": start["execution_id"],
        "sequence": len(scan.entries),
        "previous_event_hash": last["event_hash"],
        "timestamp": format_time(utc_now()),
        "event_type": "execution_sealed",
        "step_index": None,
        "step_name": None,
        "error_message": None,
        "details": {
            "status": str(ExecutionStatus.INCOMPLETE),
            "cause": str(SealCause.RECOVERED),
            "reason": "the recording process ended without a seal; sealed by recovery",
            "number_of_entries": len(scan.entries) + 1,
            "unknown_effects": bool(why),
            "unknown_effects_why": why,
            "security_snapshot": SecuritySnapshot.from_kernel(None, "recovery").to_dict(),
            "discarded_bytes": scan.torn_bytes,
            "discarded_sha256": scan.torn_digest,
        },
    }
    entry["event_hash"] = hash_entry_bytes(canonical_bytes(entry))
    return entry


def _write_sealed(path: Path, fresh: Path, whole_bytes: int, more: list[dict[str, Any]]) -> None:
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as target, path.open("rb") as source:
        remaining = whole_bytes
        while remaining and (piece := source.read(min(remaining, 1 << 20))):
            target.write(piece)
            remaining -= len(piece)
        for entry in more:
            raw = canonical_bytes({key: value for key, value in entry.items() if key != "event_hash"})
            target.write(b"%b %b\n" % (entry["event_hash"].encode(), raw))
        target.flush()
        os.fsync(target.fileno())


def _keep(path: Path, original: Path) -> None:
    """Give the original its second name; a crash may have left that name before."""
    if original.exists():
        if original.samefile(path) or original.read_bytes() == path.read_bytes():
            return
        original.replace(_free_name(original.parent, original.name))
    try:
        os.link(path, original)
    except OSError:
        shutil.copy2(path, original)  # a file system without hard links
    sync_directory(path.parent)


def _free_name(folder: Path, name: str) -> Path:
    candidate = folder / name
    number = 1
    while candidate.exists():
        candidate = folder / f"{name}.{number}"
        number += 1
    return candidate
