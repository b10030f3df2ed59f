"""Journals: every whole line checked, live ones as far as they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hearth.operations._fsck._canonical import DIGEST, is_digest, joined, load, members, sha256
from hearth.operations._fsck._chain import Chain, Problem
from hearth.operations._fsck._derived import kept_digests
from hearth.operations._fsck._facts import Journal
from hearth.operations._fsck._report import Mend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_journals", "compare_journals"]

_HASH = 64
_BEGINNING = re.compile(rb"[0-9a-f]{64} \{\"")
_REFUSED = re.compile(r".*\.journal(\.[0-9]+)?")


def check_journals(root: Path, findings: Findings, facts: Facts, live: Callable[[Path], bool]) -> None:
    """Check the journals that wait or are written now; `live` tells whether a process holds one."""
    for path in _files(root / "journals"):
        if not path.name.endswith(".journal") or not path.is_file():
            continue
        findings.count("journals")
        try:
            _check(path, findings, facts, live)
        except FileNotFoundError:
            continue  # stored and removed meanwhile
        except OSError as error:
            findings.damage("journal", f"the journal cannot be read: {error.strerror}", where=_name(root, path))
    for path in _files(root / "quarantine"):
        if _REFUSED.fullmatch(path.name):
            what = "a damaged journal lies in quarantine"
            findings.damage("quarantine", what, where=_name(root, path), records=[_id_of(path)])
            facts.quarantined.add(_id_of(path))


def compare_journals(root: Path, findings: Findings, facts: Facts) -> None:
    """Compare journals with the records of the same executions: they say the same, or one of them is wrong."""
    for name, journal in facts.journals.items():
        where = _name(root, journal.path)
        stored, tombstone = facts.records.get(name), facts.tombstones.get(name)
        remove = Mend("remove", where)
        if journal.live or (stored is None and tombstone is None):
            continue
        if tombstone is not None and journal.head != tombstone["head_hash"]:
            what = "a journal of a purged execution ends otherwise than the record did"
            findings.damage("journal", what, where=where, records=[name])
        elif tombstone is not None:
            findings.leftover("journal", "the journal of a purged record", where=where, records=[name], mend=remove)
        elif stored is not None and stored.head != journal.head:
            what = "the journal ends otherwise than the record that is stored"
            findings.damage("journal", what, where=where, records=[name])
        else:
            what = "the journal of a record that is stored"
            findings.leftover("journal", what, where=where, records=[name], mend=remove)


def _check(path: Path, findings: Findings, facts: Facts, live: Callable[[Path], bool]) -> None:
    running = live(path)
    chain = Chain()
    where = f"journals/{path.name}"
    try:
        with path.open("rb") as file:
            for entry, parts, line in _whole_lines(file, chain):
                findings.count("journal lines")
                chain.add(entry, parts, line[:_HASH].decode())
                _refer(facts, entry, line, chain.start["execution_id"])
        chain.finish()
    except Problem as problem:
        known = str(chain.start.get("execution_id") or _id_of(path))
        findings.damage("journal", f"the journal is damaged: {problem}", where=where, records=[known])
        facts.broken.add(known)
        return
    if not chain.length:
        if not running:
            findings.note(f"{where} holds no whole line: its execution never began (`hearth recover`)")
        return
    name, approval = chain.start["execution_id"], chain.start["details"].get("approval")
    said = approval if isinstance(approval, dict) else {}
    facts.journals[name] = Journal(path, running, chain.seal is not None, chain.first, chain.head, said)
    if not running:
        state = "sealed, but not stored" if chain.seal else "not sealed: its process died"
        findings.note(f"{name}: its journal is {state} (`hearth recover`)")


def _whole_lines(file: BinaryIO, chain: Chain) -> Iterator[tuple[dict[str, Any], dict[str, bytes], bytes]]:
    """Yield lines up to the first that is not whole; Problem where anything true stands in or behind that one."""
    torn = False
    for number, line in enumerate(file, 1):
        if torn:
            if _looks_whole(line):
                raise Problem(f"line {number} is whole, but the one before it is damaged")
            continue
        entry, parts = _read(line)
        if entry is not None and parts is not None:
            yield entry, parts, line
            continue
        if chain.seal is not None:
            raise Problem(f"line {number} stands behind the seal")
        if any(_looks_whole(line[match.start() :]) for match in _BEGINNING.finditer(line, 1)):
            raise Problem(f"line {number} is damaged, and another one begins in it")
        torn = True
        if not line.endswith(b"\n"):
            return  # where it ends now; its process may be writing the rest


def _read(line: bytes) -> tuple[dict[str, Any] | None, dict[str, bytes] | None]:
    """Return a line's entry and its members, None where it is no whole line with a true hash."""
    try:
        if not line.endswith(b"}\n") or line[_HASH : _HASH + 1] != b" " or not is_digest(line[:_HASH].decode("ascii")):
            return None, None
        raw = line[_HASH + 1 : -1]
        entry = load(raw)
        parts = members(entry)
    except (ValueError, AttributeError):
        return None, None
    return (entry, parts) if joined(parts) == raw and _true(line, parts) else (None, None)


def _true(line: bytes, parts: dict[str, bytes]) -> bool:
    return sha256(b"HEARTH-event-v1\0", joined(parts)) == line[:_HASH].decode()


def _looks_whole(line: bytes) -> bool:
    try:
        entry = load(line[_HASH + 1 :])
    except ValueError:
        return False
    return isinstance(entry, dict) and "previous_event_hash" in entry


def _refer(facts: Facts, entry: dict[str, Any], line: bytes, name: str) -> None:
    facts.named.update(facts.on_disk.intersection(match.decode() for match in DIGEST.findall(line)))
    if entry["sequence"] == 0 and is_digest(entry["details"].get("plan_copy")):
        facts.plans.setdefault(entry["details"]["plan_copy"], []).append(name)
    lists = {"marks": [], "step_events": [entry], "side_effects_report": {"side_effects_observed": []}}
    for digest in kept_digests(lists):
        facts.kept.setdefault(digest, []).append(name)


def _id_of(path: Path) -> str:
    """Return the execution id that a journal's name gives; of a long one, whose name was shortened, the name."""
    name = path.name.partition(".journal")[0]
    return name if "~" in name else unquote(name)


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
