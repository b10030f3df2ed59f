"""Verifying: a file that somebody sent, a stored record and its row in the ledger, or everything."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hearth.errors import EvidenceUsageError, LedgerError, RecordError
from hearth.operations._kept import check_kept
from hearth.operations._sensors import sense_verified, tell_findings
from hearth.operations._write import write_file
from hearth.record import (
    LARGEST_EXPORT,
    UNSEALED,
    Bulk,
    Disclosure,
    ExecutionRecord,
    Verdict,
    strict_loads,
    verify_document,
)
from hearth.recorder import verify_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from hearth.ledger import Ledger
    from hearth.operations._envelopes import TrustedKeys
    from hearth.operations._find import Found, JournalNote, Records
    from hearth.operations._log_keys import LogKeys

__all__ = ["UNSEALED", "Verified", "verify_all", "verify_file", "verify_found", "verify_stored"]

_JOURNAL_START = 66
_CHUNK = 1 << 20
_SIGNED_NOTE = re.compile("\\A[^\\n]+\\n[0-9]+\\n[A-Za-z0-9+/=]+\\n(?:[^\\n]+\\n)*\\n\u2014 ".encode())
_VKEY = re.compile(r"(?!ed25519:)[^\s+]+\+[0-9a-f]{8}\+\S+", re.ASCII)
_HEX = frozenset(b"0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was checked and what came out: `subject` is a file's path or an execution id.

    `emergency` says that the record, as far as it can be read, is that of a run under broken glass. `signed_by` names
    the trusted keys that signed an envelope; None for what is none. `checks` are those of a dossier, each with its
    finding.
    """

    subject: str
    kind: Literal["record", "journal", "ledger", "envelope", "dossier"]
    verdict: Verdict
    execution_id: str | None = None
    execution_hash: str | None = None
    emergency: bool = False
    signed_by: tuple[str, ...] | None = None
    checks: tuple[dict[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; `signed_by` of envelopes only, `checks` of dossiers."""
        signed: dict[str, Any] = {} if self.signed_by is None else {"signed_by": list(self.signed_by)}
        if self.checks:
            signed["checks"] = list(self.checks)
        return {
            "subject": self.subject,
            "kind": self.kind,
            "execution_id": self.execution_id,
            "execution_hash": self.execution_hash,
            "emergency": self.emergency,
            **signed,
            **self.verdict.to_dict(),
        }


def verify_file(
    path: Path,
    *,
    trusted: Callable[[], TrustedKeys] | None = None,
    record: Path | None = None,
    keys: Sequence[str] = (),
    of_log: LogKeys | None = None,
    anew: Path | None = None,
) -> Verified:
    """Check an exported record (JSON), a journal, a dossier, or an envelope over a record; its content says which.

    A journal of any length takes bounded memory. `trusted` is asked whose signature counts where the file is an
    envelope (without it: the keys of the nearest ledger's policy); `record` is then the file of a record that does not
    stand in it. `keys`, as text or files, are those that have to have signed something in a dossier; `of_log` says
    whose checkpoint its proof has to have, and who has to have cosigned that. Its page is made
    anew into the file `anew`, where one is named, and not compared. EvidenceUsageError where that is there, or what is
    checked is no dossier.

    What is neither is not verified, and the verdict says why; so is a record of more bytes or values than its entries
    can have, before it is read whole. LedgerError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_JOURNAL_START)
            if _is_journal(start):
                return Verified(subject=str(path), kind="journal", verdict=_journal_verdict(path))
            if start.startswith(b"<!doctype html>"):
                return _dossier(path, start + file.read(2 * LARGEST_EXPORT), keys, of_log, anew)
            if anew is not None:
                raise EvidenceUsageError(f"{path} is no dossier, so no page can be made anew from it")
            if (size := os.fstat(file.fileno()).st_size) > LARGEST_EXPORT:
                why = f"it is refused: {size:,} bytes; a record in a file has {LARGEST_EXPORT:,} at most"
                return Verified(subject=str(path), kind="record", verdict=Verdict(ok=False, why=why))
            data = _read_sent(file, start)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecordError as error:
        return Verified(subject=str(path), kind="record", verdict=Verdict(ok=False, why=str(error)))
    if not data.strip():
        return Verified(subject=str(path), kind="record", verdict=Verdict(ok=False, why="the file is empty"))
    document: Any = None
    try:
        document = strict_loads(data)
        if isinstance(document, dict) and {"payload", "payloadType"} <= document.keys():
            return _envelope(path, data, trusted, None if record is None else _beside(record))
        verdict = verify_document(document)
    except RecordError as error:
        verdict = Verdict(ok=False, first_bad=error.first_bad, why=_of_a_log(data) or str(error))
    return _verified(str(path), "record", document, verdict)


def _of_a_log(data: bytes) -> str:
    """Return what to do with a file of a log, "" for what is none."""
    if data.startswith(b"c2sp.org/tlog-proof@"):
        return "this is a proof that a log has a record: `hearth verify RECORD --proof FILE --log-key VKEY` checks both"
    if data.startswith(b"hearth.log-keys/"):
        return "this is the history of a log's keys: `hearth log verify DIR --key FILE` believes what follows from it"
    if _SIGNED_NOTE.search(data):
        return "this is a log's signed checkpoint: `hearth log verify DIR --key VKEY` checks the log that is beside it"
    return ""


def _dossier(path: Path, page: bytes, keys: Sequence[str], of_log: LogKeys | None, anew: Path | None) -> Verified:
    from hearth.evidence import Finding, LogBelieved, remade_dossier, verify_dossier  # with the library for signatures
    from hearth.operations._envelopes import read_public_key
    from hearth.operations._guidance import check_guidance_anew

    # A verifier key (NAME+ID+KEY) is told by its form; all else is a public key, or a file with one.
    given = [text if _VKEY.fullmatch(text) else str(read_public_key(text)) for text in keys]
    believed = None
    if of_log is not None:
        if not of_log.given:
            raise EvidenceUsageError("whose log it is only a key tells: give --log-key, or a policy that names the log")
        believed = LogBelieved(
            lambda proof: of_log.with_history(proof.extra).check(proof.note), (*of_log.logs, *of_log.witnesses)
        )
    remade = None
    if anew is not None:
        if os.path.lexists(anew):
            raise EvidenceUsageError(f"{anew} is there already; name another file for the page that is made anew")
        remade = remade_dossier(page)
        write_file(anew, remade)
    found = verify_dossier(page, given, read=remade, guidance=check_guidance_anew, log=believed)
    bad = next(iter(found.failed), None)
    left = [f"not checked: {one.check.title}: {one.says}" for one in found.finds if one.finding is Finding.UNCHECKED]
    return Verified(
        subject=str(path),
        kind="dossier",
        verdict=Verdict(ok=bool(found), why="" if bad is None else f"{bad.check.title}: {bad.says}", notes=tuple(left)),
        execution_id=found.execution_id,
        execution_hash=found.execution_hash,
        emergency=found.emergency,
        checks=tuple(one.to_dict() for one in found.finds),
    )


def _envelope(
    path: Path, data: bytes, trusted: Callable[[], TrustedKeys] | None, beside: Mapping[str, Any] | None
) -> Verified:
    from hearth.operations._envelopes import check_envelope, trusted_keys  # with the library for signatures

    verdict, statement, signed_by = check_envelope(data, (trusted or trusted_keys)(), record=beside)
    document = None if statement is None else beside if statement.document is None else statement.document
    return Verified(
        subject=str(path),
        kind="envelope",
        verdict=verdict,
        execution_id=None if statement is None else statement.execution_id,
        execution_hash=None if statement is None else statement.execution_hash,
        emergency=_is_emergency(document or {}),
        signed_by=signed_by,
    )


def _beside(path: Path) -> Mapping[str, Any]:
    """Return the record that was kept beside an envelope; RecordError where the file holds none."""
    try:
        with path.open("rb") as file:
            document = strict_loads(_read_sent(file, b""))
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(document, dict):
        raise RecordError(f"{path} holds no record: it is no JSON object")
    return document


def _read_sent(file: BinaryIO, start: bytes) -> bytes:
    """Return a document, which is read whole only after its bytes and values were counted; a pipe is read once."""
    if not file.seekable():
        data = start + file.read(LARGEST_EXPORT)
        Bulk.of((data,)).refuse_sent()
        return data
    file.seek(0)
    Bulk.of(iter(partial(file.read, _CHUNK), b"")).refuse_sent()
    file.seek(0)
    return file.read(LARGEST_EXPORT)


def verify_found(records: Records, found: Found) -> Verified:
    """Check one execution of a home, wherever its record is; damage that is found worsens the ledger's posture."""
    if found.journal is None:
        verified = verify_stored(records.ledger, found.execution_id)
    else:
        verdict = _journal_verdict(found.journal)
        verified = Verified(
            subject=found.execution_id, kind="journal", verdict=verdict, execution_id=found.execution_id
        )
    tell_findings(records.home, [sense_verified(verified)])
    return verified


def verify_all(records: Records) -> Iterator[Verified]:
    """Check every stored record, one after the other, in bounded memory; at the end, only if it is so, what is wrong.

    That is a row that belongs to no execution, a journal that is damaged, or one that lies in quarantine. A journal
    that has no seal yet, but holds so far, is not yielded. Damage that is found worsens the ledger's posture.
    """
    for verified in _verify_all(records):
        tell_findings(records.home, [sense_verified(verified)])
        yield verified
    # Those in quarantine were told of when they came there.
    for note in records.quarantined():
        yield _of_journal(note, Verdict(ok=False, why=f"its journal was damaged, and lies in {note.path}"))


def _verify_all(records: Records) -> Iterator[Verified]:
    ledger = records.ledger
    for execution_id in ledger.iterate_ids():
        yield verify_stored(ledger, execution_id)
    loose = ledger.loose_rows()
    if loose:
        yield Verified(subject=str(ledger.home.database), kind="ledger", verdict=Verdict(ok=False, why=loose))
    for note in records.journals():
        verdict = Verdict(ok=False, why=UNSEALED) if note.running else _waiting_verdict(note.path)
        if not verdict and verdict.why != UNSEALED:
            yield _of_journal(note, verdict)


def _of_journal(note: JournalNote, verdict: Verdict) -> Verified:
    subject = note.execution_id or str(note.path)
    return Verified(subject=subject, kind="journal", verdict=verdict, execution_id=note.execution_id)


def _waiting_verdict(path: Path) -> Verdict:
    if not path.is_file():
        # Stored and removed meanwhile, or never a journal.
        return Verdict(ok=False, why="it is no regular file" if path.exists() else UNSEALED)
    return _journal_verdict(path)


def verify_stored(ledger: Ledger, execution_id: str) -> Verified:
    """Check a stored record, the values disclosed beside it, all that the ledger derives from it, and what is kept.

    Kept are, by digest, the outputs of its steps, what files were before, and the plan.
    """
    document: Any = None
    try:
        document = strict_loads(ledger.get_bytes(execution_id))
        verdict = verify_document(document)
        if verdict:
            verdict = _with_disclosures(ledger, document, verdict)
        if verdict:
            verdict = _with_ledger(ledger, execution_id, document, verdict)
    except RecordError as error:
        verdict = Verdict(ok=False, first_bad=error.first_bad, why=str(error))
    return _verified(execution_id, "ledger", document, verdict)


def _verified(subject: str, kind: Literal["record", "ledger"], document: object, verdict: Verdict) -> Verified:
    said: Mapping[str, Any] = document if isinstance(document, dict) else {}
    execution_id, execution_hash = said.get("execution_id"), said.get("execution_hash")
    return Verified(
        subject=subject,
        kind=kind,
        verdict=verdict,
        execution_id=execution_id if isinstance(execution_id, str) else None,
        execution_hash=execution_hash if isinstance(execution_hash, str) else None,
        emergency=_is_emergency(said),
    )


def _is_emergency(document: Mapping[str, Any]) -> bool:
    """Whether the first mark of a record names broken glass; a document that does not verify may hold anything."""
    marks = document.get("marks")
    here: Any = marks[0] if isinstance(marks, list) and marks else None
    for name in ("details", "approval", "kind"):
        here = here.get(name) if isinstance(here, dict) else None
    return bool(here == "emergency")


def _is_journal(start: bytes) -> bool:
    """Whether a file begins as a journal's line does; a short one may be a journal with a torn first line."""
    return (
        bool(start) and not start.startswith((b"{", b" ", b"\n", b"\r", b"\t", b"\xef")) and _HEX.issuperset(start[:64])
    )


def _journal_verdict(path: Path) -> Verdict:
    try:
        return verify_journal(path)
    except RecordError as error:
        return Verdict(ok=False, first_bad=error.first_bad, why=str(error))


def _with_disclosures(ledger: Ledger, document: dict[str, Any], verdict: Verdict) -> Verdict:
    try:
        kept: tuple[Disclosure, ...] = ledger.disclosures(document["execution_id"])
    except LedgerError as error:
        return Verdict(ok=False, why=str(error), notes=verdict.notes)
    if not kept:
        return verdict
    found = verify_document({**document, "disclosures": [item.to_dict() for item in kept]})
    return verdict if found else found


def _with_ledger(ledger: Ledger, execution_id: str, document: dict[str, Any], verdict: Verdict) -> Verdict:
    """Compare what lists and searches show with what the record says, and look at what is kept beside it."""
    if document["execution_id"] != execution_id:
        why = f"the ledger holds the record of {document['execution_id']!r} under this id"
        return Verdict(ok=False, why=why, notes=verdict.notes)
    record = ExecutionRecord.from_dict(document)
    try:
        difference = ledger.difference(record)
    except LedgerError as error:
        difference = str(error)
    if difference:
        why = f"the ledger's row does not say what the record says: {difference}"
        return Verdict(ok=False, why=why, notes=verdict.notes)
    changed, missing = check_kept(ledger.home, record)
    notes = (*verdict.notes, *missing)
    written = record.started.get("ledger_id")
    if written is not None and written != ledger.ledger_id:
        notes += (f"it was recorded for the ledger {written}, and this one is {ledger.ledger_id}",)
    return Verdict(ok=not changed, why=changed, notes=notes)
