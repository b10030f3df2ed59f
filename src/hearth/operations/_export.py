"""Handing a record over: as JSON, with or without the values that the plan allows to disclose, or in an envelope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.operations._verify import verify_found
from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from hearth.operations._find import Found, Records
    from hearth.signing import SigningKey

__all__ = ["export_envelope", "export_record"]


def export_record(records: Records, found: Found, *, indent: bool = False, disclose: bool = False) -> bytes:
    """Return a record as UTF-8 JSON with a line break at its end: canonical and compact, or indented for reading.

    `disclose` adds the values kept beside the record; what was erased of them is said in any case. An unsealed record,
    from a journal, is exported as it stands.
    """
    document: dict[str, Any] = records.read(found).to_dict()
    if disclose and found.journal is None:
        kept = records.ledger.disclosures(found.execution_id)
        if kept:
            document["disclosures"] = [item.to_dict() for item in kept]
    if found.journal is None and (erased := records.ledger.erasures.of(found.execution_id)):
        document["erasures"] = [item.to_dict() for item in erased]
    if indent:
        return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    return canonical_bytes(document) + b"\n"


def export_envelope(records: Records, found: Found, key: SigningKey, *, detached: bool = False) -> bytes:
    """Return the signed envelope of a record's statement as JSON with a line break at its end.

    It names the ledger's transparency log, where there is one.
    EvidenceError, and nothing is signed, for a record that is not sealed or does not hold, in itself or in the ledger.
    """
    from hearth.evidence import LogPlace, LogSettings, sign_statement

    record = records.read(found)
    if record.is_sealed and not (verdict := verify_found(records, found).verdict):
        raise EvidenceError(f"the record of {found.execution_id} does not hold, so it is not signed: {verdict.why}")
    place = LogPlace.of(records.home)
    log_origin = LogSettings.load(place).origin if place.exists else None
    return sign_statement(record, key, log_origin=log_origin, detached=detached).to_json() + b"\n"
