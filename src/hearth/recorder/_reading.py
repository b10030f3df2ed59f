"""Reading a journal back: which lines are whole and true, and what the first other one is."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from hearth.errors import JournalDamagedError, RecorderError, RecordError
from hearth.record import (
    EVENT_DOMAIN,
    LARGEST_ENTRY,
    UNSEALED,
    ChainCheck,
    ChainFault,
    EntryForms,
    ExecutionRecord,
    Verdict,
    canonical_bytes,
    refuse_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Scan", "read_journal", "scan_journal", "verify_journal"]

_HASH = 64
_BEGUN = _HASH + 2
_SMALLEST = _HASH + 3
_LONGEST = LARGEST_ENTRY + _SMALLEST
# A shorter one cannot hold more values than an entry may.
_MAY_BE_BEYOND = 1 << 19
# Within an entry's own texts a quote is escaped, so no text of a step can look like the beginning of a line.
# What stands before is looked at last: letters of a hash without end would be tried from each of them.
_BEGINNING = re.compile(rb" \{\"(?<=[0-9a-f]{64} \{\")")
_MOST_BEGINNINGS = 200
_CHUNK = 1 << 16


@dataclass(slots=True)
class Scan:
    """What a journal holds: the check of its whole lines, and the torn bytes behind them."""

    chain: ChainCheck
    entries: list[dict[str, Any]] = field(default_factory=list)
    whole_bytes: int = 0
    torn_bytes: int = 0
    torn_digest: str | None = None


def read_journal(path: Path | str) -> ExecutionRecord:
    """Return the record that a journal tells, changing nothing; a torn last line is left out.

    Raises JournalDamagedError, and RecorderError when the file cannot be read or holds no whole line.
    """
    scan = scan_journal(path, keep=True)
    if not scan.entries:
        message = f"{path} holds no whole line: its execution never began"
        raise RecorderError(message)
    return ExecutionRecord.from_entries(scan.entries)


def verify_journal(path: Path | str) -> Verdict:
    """Check every line of a journal in bounded memory; a damaged or unsealed one is not ok."""
    try:
        scan = scan_journal(path)
    except JournalDamagedError as error:
        return Verdict(ok=False, first_bad=error.line - 1, why=error.why)
    notes = scan.chain.notes()
    if scan.torn_bytes:
        notes += (f"the last line is torn ({scan.torn_bytes} bytes); run `hearth recover`",)
    if not scan.chain.sealed:
        return Verdict(ok=False, why=UNSEALED, notes=notes)
    return Verdict(ok=True, notes=notes)


def scan_journal(path: Path | str, *, keep: bool = False) -> Scan:
    """Read a journal from its beginning; `keep` collects the entries (JSON form with `event_hash`).

    The first line that is not whole and true ends it: if nothing behind it parses it is torn, otherwise
    JournalDamagedError says that the damage lies before a line that still parses.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a named pipe would keep the reader waiting for ever
            message = f"{path} is not a regular file, so it is no journal"
            raise RecorderError(message)
        with path.open("rb", _CHUNK) as file:
            return _scan(path, file, keep=keep)
    except OSError as error:
        message = f"{path}: the journal cannot be read: {error.strerror}"
        raise RecorderError(message) from error


def _scan(path: Path, file: BinaryIO, *, keep: bool) -> Scan:
    scan = Scan(ChainCheck())
    chain = scan.chain
    fresh_digest = hashlib.sha256(EVENT_DOMAIN).copy
    loads = orjson.loads
    check_form = EntryForms().check
    add = chain.add
    whole = 0
    for number, line in enumerate(iter(partial(file.readline, _LONGEST), b""), 1):
        raw = line[_HASH + 1 : -1]
        state = fresh_digest()
        state.update(raw)
        stated = state.hexdigest()
        # Slices: `startswith` and `endswith` would cost a quarter more, and this is done for every line.
        if line[:_BEGUN] != f"{stated} {{".encode() or line[-2:] != b"}\n":
            _torn(path, file, scan, line, number)
            break
        try:
            if len(raw) > _MAY_BE_BEYOND:
                refuse_entry(raw, "it")
            entry = loads(raw)
            entry["event_hash"] = stated
            check_form(entry, "line", number)
            add(entry)
            # Without `keep` only a seal, behind which no hash would show another form of the same line.
            if (keep or chain.sealed) and canonical_bytes(loads(raw)) != raw:
                raise JournalDamagedError(path, number, "the line is not in canonical form: readers may disagree on it")
        except ChainFault as fault:
            raise JournalDamagedError(path, number, str(fault)) from None
        except (RecordError, ValueError, TypeError) as error:
            raise JournalDamagedError(path, number, f"the line is whole but is no entry: {error}") from None
        whole += len(line)
        if keep:
            scan.entries.append(entry)
    scan.whole_bytes = whole
    if chain.length:
        try:
            chain.finish()
        except ChainFault as fault:
            raise JournalDamagedError(path, chain.length, str(fault)) from None
    return scan


def _torn(path: Path, file: BinaryIO, scan: Scan, line: bytes, number: int) -> None:
    """Account for everything from the first bad line on, unless something true follows it."""
    why = (
        "its hash does not fit its content"
        if len(line) >= _SMALLEST and line.endswith(b"\n")
        else "the line is not whole"
    )
    if scan.chain.sealed:
        raise JournalDamagedError(path, number, "bytes stand behind the seal")
    if len(line) == _LONGEST and not line.endswith(b"\n") and _BEGINNING.match(line, _HASH):
        raise JournalDamagedError(path, number, f"it is longer than {LARGEST_ENTRY:,} bytes, which no recorder writes")
    digest = hashlib.sha256()
    for torn in _with_rest(line, file):
        digest.update(torn)
        scan.torn_bytes += len(torn)
        for tried, match in enumerate(_BEGINNING.finditer(torn)):
            if tried == _MOST_BEGINNINGS:
                raise JournalDamagedError(path, number, f"{why}, and it holds the beginnings of many lines")
            # The torn line itself may lack no more than its LF: that is torn, not followed by anything.
            if (torn is not line or match.start() > _HASH) and _parses(torn[match.start() - _HASH :]):
                raise JournalDamagedError(path, number, f"{why}, and a line that parses follows")
    scan.torn_digest = digest.hexdigest()


def _with_rest(line: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield line
    yield from iter(partial(file.readline, _LONGEST), b"")


def _parses(line: bytes) -> bool:
    """Whether this could be a line: its form is right, whatever its hash says."""
    raw = line[_HASH + 1 :]
    try:
        refuse_entry(raw, "it")
        entry = orjson.loads(raw)
    except (RecordError, ValueError):
        return False
    return isinstance(entry, dict) and "previous_event_hash" in entry
