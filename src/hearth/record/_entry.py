r"""The entry: one JSON object of the chain, its keys, and its hash.

    event_hash     = SHA-256("HEARTH-event-v1\0"  || JCS(entry))                    without `event_hash` itself
    execution_hash = SHA-256("HEARTH-record-v1\0" || JCS(record))   without execution_hash, signatures, disclosures
                                                                    and erasures

The prefixes keep the two kinds of hash apart: nothing that was hashed as one can pass as the other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hearth.record._canonical import canonical_bytes, common_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVENT_DOMAIN", "GENESIS_HASH", "SCHEMA", "entry_hash", "hash_entry_bytes", "record_hash"]

SCHEMA = "hearth/execution-record/v1"
GENESIS_HASH = "0" * 64
EVENT_DOMAIN = b"HEARTH-event-v1\0"
_RECORD_DOMAIN = b"HEARTH-record-v1\0"
_OUTSIDE = frozenset(("execution_hash", "signatures", "disclosures", "erasures"))


def hash_entry_bytes(raw: bytes) -> str:
    """Return the event hash (64 hex digits) of an entry given in canonical form."""
    return hashlib.sha256(EVENT_DOMAIN + raw).hexdigest()


def entry_hash(entry: Mapping[str, Any]) -> str:
    """Return the event hash (64 hex digits) of an entry; a key `event_hash` in it does not count."""
    return hash_entry_bytes(canonical_bytes({key: value for key, value in entry.items() if key != "event_hash"}))


def record_hash(document: Mapping[str, Any], *, common: bool = False) -> str:
    """Return the execution hash (64 hex digits) of a record in its JSON form.

    `common`: the caller knows that the fast encoder is exact for all of it (see `is_common`).
    """
    covered = {key: value for key, value in document.items() if key not in _OUTSIDE}
    raw = common_bytes(covered) if common else canonical_bytes(covered)
    return hashlib.sha256(_RECORD_DOMAIN + raw).hexdigest()
