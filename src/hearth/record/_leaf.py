"""What a ledger's transparency log holds of each event: a small object in canonical bytes, and no personal data.

A leaf has `schema`, `kind`, the log's `origin`, the `ledger_id`, `at` (when), and for its kind:

    log_created         log_key (the first key that signs checkpoints, as a verifier key), records (how many were in
                        the ledger by then) and last_record (the number of the newest row: so many of the first, up to
                        this row, may have no leaf execution_opened)
    execution_opened    execution_id, first_event_hash (that of entry 0)
    execution_sealed    execution_id, execution_hash, entries (how many), status
    approval_used       request_id, execution_id, request_sha256 (of the request's canonical bytes), decisions (the
                        SHA-256 of each envelope, sorted)
    posture_changed     version, security_state, boundary_state, document_sha256 (of what else the row says)
    execution_purged    execution_id, execution_hash, tombstone_sha256
    values_erased       execution_id, erasure_sha256
    key_changed         statement_sha256 (of the signed note that brings a new key, or ends one)
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hearth.errors import RecordError
from hearth.record._canonical import canonical_bytes
from hearth.record._strict_json import strict_loads

if TYPE_CHECKING:
    from hearth.record._record import ExecutionRecord

__all__ = ["LEAF_SCHEMA", "LeafKind", "leaf_bytes", "named_in_leaf", "parse_leaf", "sealed_leaf"]

LEAF_SCHEMA = "hearth.log-leaf/1"
_LARGEST = 65_535  # bytes of an entry (C2SP tlog-tiles, "Log Entries")
_LONGEST_NAME = 1024
_HASHED = re.compile("sha256:[0-9a-f]{64}")


class LeafKind(StrEnum):
    """Of which event a leaf tells."""

    LOG_CREATED = "log_created"
    EXECUTION_OPENED = "execution_opened"
    EXECUTION_SEALED = "execution_sealed"
    APPROVAL_USED = "approval_used"
    POSTURE_CHANGED = "posture_changed"
    EXECUTION_PURGED = "execution_purged"
    VALUES_ERASED = "values_erased"
    KEY_CHANGED = "key_changed"


def leaf_bytes(kind: LeafKind, *, origin: str, ledger_id: str, at: str, **said: Any) -> bytes:
    """Return a leaf's canonical bytes; RecordError where they are more than a log's entry may have."""
    document = {"schema": LEAF_SCHEMA, "kind": str(kind), "origin": origin, "ledger_id": ledger_id, "at": at, **said}
    data = canonical_bytes(document)
    if len(data) > _LARGEST:
        raise RecordError(f"a leaf of {len(data)} bytes is refused; an entry of a log has {_LARGEST} at most")
    return data


def sealed_leaf(record: ExecutionRecord, *, origin: str, ledger_id: str) -> bytes:
    """Return the leaf of a sealed record: whoever has the record and knows the log can make it anew."""
    if record.timestamp_end is None:
        raise RecordError("the record is not sealed; only a sealed one has a leaf in a log")
    seal = record.marks[-1]
    return leaf_bytes(
        LeafKind.EXECUTION_SEALED,
        origin=origin,
        ledger_id=ledger_id,
        at=seal.to_dict()["timestamp"],
        execution_id=named_in_leaf(record.execution_id),
        execution_hash=record.get_execution_hash(),
        entries=seal.sequence + 1,
        status=str(record.status),
    )


def named_in_leaf(execution_id: str) -> str:
    """Return how a leaf names an execution: by its id, or by the SHA-256 of one that is longer than 1,024 bytes.

    An id that has the form of such a name is hashed, too: no two executions have one name.
    """
    data = execution_id.encode("utf-8", "surrogatepass")
    plain = len(data) <= _LONGEST_NAME and not _HASHED.fullmatch(execution_id)
    return execution_id if plain else f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse_leaf(data: bytes) -> dict[str, Any]:
    """Return a leaf's members; RecordError where the bytes are no leaf in canonical form."""
    document = strict_loads(data)
    if not isinstance(document, dict) or document.get("schema") != LEAF_SCHEMA:
        raise RecordError(f"the entry of the log is no leaf of a ledger (schema {LEAF_SCHEMA})")
    if document.get("kind") not in set(LeafKind) or canonical_bytes(document) != data:
        raise RecordError("the entry of the log is a leaf of no kind that is known here, or not in canonical form")
    return document
