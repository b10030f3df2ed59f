"""What was erased of disclosed values: each document, its link to the one before, and that the values are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import canonical, is_digest, is_time, load, sha256
from hearth.operations._fsck._database import rows

if TYPE_CHECKING:
    import sqlite3

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_erasures"]

_DOMAIN = b"HEARTH-erasure-v1\0"
_THERE = (
    "SELECT 1 FROM disclosures d JOIN executions e ON e.id = d.execution "
    "WHERE e.execution_id = ? AND d.sequence = ? AND d.pointer = ? AND d.digest = ?"
)


def check_erasures(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> None:
    """Check every erasure."""
    previous = "0" * 64
    for row in rows(connection, findings, "erasures"):
        findings.count("erasures")
        name, where, raw = str(row["execution_id"]), f"erasures, row {row['id']}", row["document"]
        try:
            document = _document(raw)
        except (ValueError, TypeError) as error:
            findings.damage("erasure", f"what was erased cannot be read: {error}", where=where, records=[name])
        else:
            for what in _wrong(connection, facts, name, document, previous):
                findings.damage("erasure", what, where=where, records=[name])
        previous = sha256(_DOMAIN, raw) if isinstance(raw, bytes) else ""


def _wrong(
    connection: sqlite3.Connection, facts: Facts, name: str, document: dict[str, Any], previous: str
) -> list[str]:
    wrong = []
    if document["previous"] != previous:
        wrong.append("it does not follow the erasure before it, which was changed or removed")
    if document["execution_id"] != name:
        wrong.append(f"execution_id is {name!r}, and the erasure says {document['execution_id']!r}")
    if document["ledger_id"] != facts.ledger_id:
        wrong.append("the erasure is of another ledger")
    told = facts.tombstones.get(document["execution_id"], {}).get("execution_hash")
    record = facts.records.get(document["execution_id"])
    told = told if record is None else record.execution_hash
    if told is None and document["execution_id"] not in facts.broken:
        wrong.append("it is of a record that is not there")
    elif told is not None and told != document["execution_hash"]:
        wrong.append("it is of another record under this id")
    for one in document["erased"]:
        place = (document["execution_id"], one["sequence"], one["pointer"], one["digest"])
        if connection.execute(_THERE, place).fetchone():
            wrong.append(f"the value at entry {one['sequence']}{one['pointer']} is there, and was erased")
    return wrong


def _document(raw: object) -> dict[str, Any]:
    if not isinstance(raw, bytes):
        raise ValueError("it is no longer bytes")  # noqa: TRY004 - a finding about data
    document = load(raw)
    if not isinstance(document, dict) or canonical(document) != raw:
        raise ValueError("its bytes are not those of a canonical object")
    texts = ("ledger_id", "execution_id", "by", "reason")
    holds = (
        document.get("schema") == "hearth/erasure/v1"
        and is_time(document.get("erased_at"))
        and is_digest(document.get("previous"))
        and is_digest(document.get("execution_hash"))
        and all(isinstance(document.get(one), str) for one in texts)
        and isinstance(document.get("erased"), list)
        and all(isinstance(one, dict) and one.keys() == {"sequence", "pointer", "digest"} for one in document["erased"])
    )
    if not holds:
        raise ValueError("a member is missing or malformed")
    return document
