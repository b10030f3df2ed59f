"""What an envelope says of an execution: an in-toto Statement, v1, and our predicate.

The predicate (docs/execution-record-predicate.md) repeats what the record says, so that a reader who knows nothing of
records can decide by it. A verifier makes it anew from the record, and believes it only where both are the same; only
the log's origin is not in a record.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import EvidenceError, RecordError
from hearth.record import (
    Bulk,
    ExecutionRecord,
    Verdict,
    canonical_bytes,
    format_time,
    strict_loads,
    thaw,
    verify_document,
)
from hearth.signing import Envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.signing import SigningKey

__all__ = [
    "LARGEST_ENVELOPE",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "ExecutionStatement",
    "sign_statement",
    "statement_of",
]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:hearth:execution-record:v1"
"""A name, not a place: it is compared, and leads nowhere. What changes the predicate's members gets another version."""
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_ENVELOPE = 16 << 20
"""The most bytes of an envelope as JSON: who reads one holds all of it, and several copies, in memory."""
_LARGEST_STATEMENT = LARGEST_ENVELOPE // 4 * 3 - (1 << 16)  # base64, and room for signatures
_MEMBERS = {"_type", "subject", "predicateType", "predicate"}


def statement_of(record: ExecutionRecord, *, log_origin: str | None = None, detached: bool = False) -> dict[str, Any]:
    """Return the statement on a sealed record, as a plain object; EvidenceError for one that is not sealed.

    `log_origin` names the log that has the record's leaf. `detached` leaves the record out, and its digests in.
    """
    if not record.is_sealed:
        raise EvidenceError(
            f"the record of {record.execution_id} is not sealed: its execution is under way, or was killed "
            "(`hearth recover` seals it); only a sealed record is signed"
        )
    document = _bare(record.to_dict())
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": record.execution_id, "digest": {"sha256": document["execution_hash"]}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": _predicate(record, document, log_origin, detached=detached),
    }


def sign_statement(
    record: ExecutionRecord, key: SigningKey, *, log_origin: str | None = None, detached: bool = False
) -> Envelope:
    """Return the envelope of the statement on a record, with one signature.

    EvidenceError for a record that is not sealed or does not verify, and for one that is too large to stand in an
    envelope (then `detached` is the way).
    """
    statement = statement_of(record, log_origin=log_origin, detached=detached)
    verdict = record.verify()
    if not verdict:
        raise EvidenceError(f"the record of {record.execution_id} does not verify, so it is not signed: {verdict.why}")
    payload = canonical_bytes(statement)
    if len(payload) > _LARGEST_STATEMENT:
        raise EvidenceError(
            f"the statement on {record.execution_id} has {len(payload):,} bytes, and an envelope takes "
            f"{_LARGEST_STATEMENT:,}; have the record beside it (`hearth export --dsse --detached`)"
        )
    return Envelope.sign(payload, _PAYLOAD_TYPE, key)


@dataclass(frozen=True, slots=True)
class ExecutionStatement:
    """A statement that was read from an envelope: who signed it, the envelope says; whether it is true, `check`.

    `document` is the record that stands in it, None where it is detached.
    """

    execution_id: str
    execution_hash: str
    predicate: Mapping[str, Any]
    document: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, envelope: Envelope) -> Self:
        """Read an envelope's payload strictly; EvidenceError where it is no statement on an execution record."""
        if envelope.payload_type != _PAYLOAD_TYPE:
            raise EvidenceError(f"the envelope holds {envelope.payload_type[:80]!r}, not {_PAYLOAD_TYPE!r}")
        try:
            Bulk.of((envelope.payload,)).refuse_sent()
            statement = strict_loads(envelope.payload)
        except RecordError as error:
            raise EvidenceError(f"the envelope's payload is {error}") from None
        if not isinstance(statement, dict) or not statement.keys() >= _MEMBERS:
            raise EvidenceError(
                f"the envelope holds no statement: that is an object with {', '.join(sorted(_MEMBERS))}"
            )
        for name, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
            if statement[name] != wanted:
                raise EvidenceError(f"the statement's {name} is {str(statement[name])[:80]!r}, not {wanted!r}")
        name, digest = _subject(statement["subject"])
        predicate = statement["predicate"]
        if not isinstance(predicate, dict):
            raise EvidenceError("the statement's predicate is no object")
        part = predicate.get("record")
        document = part.get("document") if isinstance(part, dict) else None
        if document is not None and not isinstance(document, dict):
            raise EvidenceError("the record in the statement is no object")
        # Consumers of a statement pass over what they do not know (in-toto, "Parsing rules"); it is said, though.
        unknown = tuple(
            f"the statement's member {one!r} is not known here" for one in sorted(statement.keys() - _MEMBERS)
        )
        return cls(name, digest, predicate, document, unknown)

    def check(self, document: Mapping[str, Any] | None = None) -> Verdict:
        """Check the record, and that subject and predicate say what the record says.

        `document` is the record that was kept beside a detached statement; where one is in the statement too, the
        subject decides: both have to be the record that it names.
        """
        parts = [one for one in (self.document, document) if one is not None]
        if not parts:
            why = (
                f"the record of {self.execution_id} does not stand in the statement (it is detached), so nothing of it "
                "was checked; give it with --record FILE"
            )
            return Verdict(ok=False, why=why, notes=self.notes)
        notes = self.notes
        for part in parts:
            verdict = self._held_against(part)
            notes += tuple(note for note in verdict.notes if note not in notes)
            if not verdict:
                return Verdict(ok=False, first_bad=verdict.first_bad, why=verdict.why, notes=notes)
        return Verdict(ok=True, notes=notes)

    def _held_against(self, document: Mapping[str, Any]) -> Verdict:
        try:
            verdict = verify_document(document)
            if not verdict:
                return verdict
            record = ExecutionRecord.from_dict(document)
        except RecordError as error:
            return Verdict(ok=False, first_bad=error.first_bad, why=str(error))
        if record.stated_hash != self.execution_hash:
            why = (
                f"the statement is about another record: its subject is {self.execution_hash}, not {record.stated_hash}"
            )
            return Verdict(ok=False, why=why, notes=verdict.notes)
        if record.execution_id != self.execution_id:
            why = f"the statement's subject is called {self.execution_id!r}, and the execution {record.execution_id!r}"
            return Verdict(ok=False, why=why, notes=verdict.notes)
        why = self._difference(record)
        return Verdict(ok=not why, why=why, notes=verdict.notes)

    def _difference(self, record: ExecutionRecord) -> str:
        """Return where the predicate is not what the record says; nothing where it is."""
        origin = _origin(self.predicate.get("log"))
        bare = _bare(record.to_dict())
        wanted = _predicate(record, bare, origin, detached=self.document is None)
        for name in sorted(wanted.keys() | self.predicate.keys()):
            if name not in self.predicate:
                return f"the predicate does not say {name}"
            if name not in wanted:
                return f"the predicate has a member {name!r}, which this version does not know"
            try:
                same = canonical_bytes(self.predicate[name]) == canonical_bytes(wanted[name])
            except RecordError:
                same = False
            if not same:
                return f"the predicate's {name} is not what the record says"
        return ""


def _predicate(
    record: ExecutionRecord, document: dict[str, Any], log_origin: str | None, *, detached: bool
) -> dict[str, Any]:
    started = thaw(record.started)
    return {
        "execution_id": record.execution_id,
        "plan": {
            "id": record.plan_id,
            "digest": started.get("plan_digest"),
            "copy": started.get("plan_copy"),
            "steps": started.get("number_of_steps"),
        },
        "live_mode": record.live_mode_state,
        "live_mode_anchored": started.get("live_mode") is not None,
        "status": str(record.status),
        "cause": thaw(record.marks[-1].details).get("cause"),
        "reason": record.completion_reason,
        "started": format_time(record.timestamp_start),
        "ended": document["timestamp_end"],
        "initiator": started.get("initiator"),
        "host": started.get("host"),
        "approval": started.get("approval"),
        "entries": record.marks[-1].sequence + 1,
        "unknown_effects": record.side_effects_report.unknown_effects,
        "recorder_version": started.get("recorder_version"),
        "ledger_id": started.get("ledger_id"),
        "log": None if log_origin is None else {"origin": log_origin},
        "record": {
            # Of the file that `hearth export` writes: canonical bytes and the end of the line.
            "digest": {"sha256": hashlib.sha256(canonical_bytes(document) + b"\n").hexdigest()},
            "document": None if detached else document,
        },
    }


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what is outside its hash, but for the hash itself; in its form it stays a record."""
    bare = {key: value for key, value in document.items() if key not in {"disclosures", "erasures"}}
    bare["signatures"] = []
    return bare


def _origin(log: object) -> str | None:
    origin = log.get("origin") if isinstance(log, dict) else None
    return origin if isinstance(origin, str) and origin else None


def _subject(subject: object) -> tuple[str, str]:
    one = subject[0] if isinstance(subject, list) and len(subject) == 1 else None
    digest = one.get("digest") if isinstance(one, dict) else None
    sha256 = digest.get("sha256") if isinstance(digest, dict) else None
    name = one.get("name") if isinstance(one, dict) else None
    if not isinstance(name, str) or not isinstance(sha256, str):
        raise EvidenceError("the statement's subject is not one execution, with its id as name and its hash as sha256")
    return name, sha256
