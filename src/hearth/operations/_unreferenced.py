"""Removing outputs and plans that no record, request or journal refers to, while others may begin to run.

A run that finds an output kept already does not write it again, so looking and removing must not be apart: a file first
gets another name, then it is looked again, and what is wanted after all gets its name back. A run that found it before
holds its slot or has left its journal or its record by then; one that comes later writes it anew.
"""

from __future__ import annotations

import re
import sqlite3
import time
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

from hearth._directory import sync_directory
from hearth.errors import LedgerError
from hearth.execution import running_executions
from hearth.operations._fsck._canonical import DIGEST, load
from hearth.operations._fsck._database import connect
from hearth.record import percent_encode
from hearth.recorder import journal_is_live

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["is_commit_of", "referenced", "remove_unreferenced"]

_JUST_KEPT_SECONDS = 3600.0
_LARGEST_LINE = 1 << 26
# What a request needs goes with the record of the run that used it up.
_REQUESTS = """
    SELECT request.document, used.execution_id, tombstone.execution_id
    FROM approval_requests AS request
    LEFT JOIN approval_uses AS used ON used.request_id = request.request_id
    LEFT JOIN tombstones AS tombstone ON tombstone.execution_id = used.execution_id
"""


def referenced(
    root: Path,
    digests: Iterable[str],
    without: frozenset[str] = frozenset(),
    without_plans: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Return which of these SHA-256 (hex) stand anywhere in what is kept, but for some executions and plans.

    Read are all records, requests, journals and plans; one pass over the whole ledger.
    """
    wanted = frozenset(digests)
    found: set[str] = set()
    if not wanted:
        return frozenset()
    for data in _everything(root, without, without_plans):
        found.update(wanted.intersection(match.decode() for match in DIGEST.findall(data)))
    return frozenset(found)


def remove_unreferenced(root: Path, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Remove those of the files (`outputs/ab/cd…`, `inputs/…`, `plans/….json`, drafts) to which nothing refers now.

    Returns what was removed and what was left: all of it while anything runs.
    """
    wanted = sorted(set(names))
    plans = [name for name in wanted if name.startswith("plans/")]
    if plans and plans != wanted:  # plans first: they refer to others
        removed, left = remove_unreferenced(root, plans)
        more_removed, more_left = remove_unreferenced(root, [name for name in wanted if name not in plans])
        return removed + more_removed, left + more_left
    files = {name: root / name for name in wanted if (root / name).exists()}
    if not files:
        return [], []
    if _running(root):
        return [], list(files)
    digests = {name: _digest_of(name) for name in files}
    kept = referenced(root, filter(None, digests.values()))
    aside: dict[str, Path] = {}
    for name, path in files.items():
        if digests[name] in kept or _just_kept(name, path):
            continue
        aside[name] = _put_aside(name, path)
    for folder in {path.parent for path in aside.values()}:
        sync_directory(folder)
    kept = referenced(root, filter(None, (digests[name] for name in aside)))
    running = _running(root)
    removed = []
    for name, path in aside.items():
        if digests[name] and (running or digests[name] in kept or _just_kept(name, path)):
            _put_back(path, root / name)
        else:
            path.unlink(missing_ok=True)
            removed.append(name)
    for folder in filter(Path.is_dir, {(root / name).parent for name in files}):
        sync_directory(folder)
    return removed, [name for name in files if name not in removed]


def _everything(root: Path, without: frozenset[str], without_plans: frozenset[str]) -> Iterator[bytes]:
    for path in _files(root, without, without_plans):
        yield from _lines(path)
    try:
        connection = connect(root / "ledger.db")
        try:
            for name, record in connection.execute("SELECT execution_id, record FROM executions"):
                if name not in without:
                    yield record if isinstance(record, bytes) else str(record).encode("utf-8", "surrogateescape")
            for document, used_by, purged in connection.execute(_REQUESTS):
                if purged is None and used_by not in without:
                    yield _payload(document)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise LedgerError(f"{root / 'ledger.db'}: {error}; nothing was removed") from error


def _files(root: Path, without: frozenset[str], without_plans: frozenset[str]) -> Iterator[Path]:
    """Yield what may refer to others. Journals first: what is stored meanwhile is then read twice, never not at all."""
    for folder in (root / "journals", root / "quarantine"):
        yield from sorted(folder.glob("*.journal*"))
    for path in sorted((root / "commits").glob("*.jsonl")):
        if not any(is_commit_of(path.name, name) for name in without):
            yield path
    for path in sorted((root / "plans").glob("*.json")):
        if path.stem not in without_plans:
            yield path


def is_commit_of(name: str, execution_id: str) -> bool:
    """Whether a file in `commits` is the journal of one of the execution's steps."""
    stem = percent_encode(execution_id)
    return re.fullmatch(r"-\d+(\.undo)?\.(jsonl|unprepared)", name.removeprefix(stem)) is not None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(_LARGEST_LINE):
                yield line
    except FileNotFoundError:
        return  # stored and removed meanwhile
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; nothing was removed") from error


def _payload(envelope: object) -> bytes:
    raw = envelope if isinstance(envelope, bytes) else str(envelope).encode("utf-8", "surrogateescape")
    try:
        return b64decode(load(raw)["payload"])
    except (ValueError, TypeError, KeyError):
        return raw


def _running(root: Path) -> bool:
    try:
        if running_executions(root / "locks"):
            return True
    except OSError:
        return True
    return any(journal_is_live(path) for path in (root / "journals").glob("*.journal"))


def _digest_of(name: str) -> str:
    """Return the digest that a file's name gives, "" for a draft."""
    path = Path(name)
    text = path.stem if name.startswith("plans/") else path.parent.name + path.name
    return text if len(text) == 64 and DIGEST.fullmatch(text.encode()) else ""  # noqa: PLR2004 - hex digits of a SHA-256


def _just_kept(name: str, path: Path) -> bool:
    """Whether a plan was kept (or found kept) a moment ago: its run is not there yet to speak for it."""
    try:
        return name.startswith("plans/") and time.time() - path.stat().st_mtime < _JUST_KEPT_SECONDS
    except FileNotFoundError:
        return False


def _put_aside(name: str, path: Path) -> Path:
    digest = _digest_of(name)
    if not digest:
        return path
    if name.startswith("plans/"):
        target = path.with_name(f"purged-{digest}.json")
    else:
        target = path.parent.parent / "purged" / digest
        target.parent.mkdir(mode=0o700, exist_ok=True)
    path.replace(target)
    return target


def _put_back(path: Path, target: Path) -> None:
    if target.exists():  # it was written anew
        path.unlink()
    else:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(target)
