"""Tombstones of purged records, one linked to the other, and legal holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import canonical, is_digest, is_time, load, sha256
from hearth.operations._fsck._database import rows

if TYPE_CHECKING:
    import sqlite3

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_holds", "check_tombstones"]

_TIMES = ("started", "ended", "purged")
_COUNTS = ("entries", "size", "row")
_DIGESTS = ("execution_hash", "head_hash", "previous")


def check_tombstones(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> None:
    """Check every tombstone: its document, its link to the one before, the columns that repeat it."""
    previous = "0" * 64
    for row in rows(connection, findings, "tombstones"):
        findings.count("tombstones")
        name, where = str(row["execution_id"]), f"tombstones, row {row['id']}"
        raw = row["document"]
        try:
            document = _document(raw)
        except ValueError as error:
            findings.damage("tombstone", f"the tombstone cannot be read: {error}", where=where, records=[name])
        else:
            _columns(findings, facts, row, document, where)
            if document["previous"] != previous:
                what = "it does not follow the tombstone before it, which was changed or removed"
                findings.damage("tombstone", what, where=where, records=[name])
            facts.tombstones[document["execution_id"]] = document
            facts.purged_rows.add(document["row"])
            for names in document["files"].values():
                facts.purged_files.update(names)
        previous = sha256(b"HEARTH-tombstone-v1\0", raw) if isinstance(raw, bytes) else ""


def _document(raw: object) -> dict[str, Any]:
    if not isinstance(raw, bytes):
        raise ValueError("it is no longer bytes")  # noqa: TRY004 - a finding about data
    document = load(raw)
    if not isinstance(document, dict) or canonical(document) != raw:
        raise ValueError("its bytes are not those of a canonical object")
    if document.get("schema") != "hearth/tombstone/v1":
        raise ValueError(f"its schema is {document.get('schema')!r}")
    holds = (
        all(is_time(document.get(name)) for name in _TIMES)
        and all(type(document.get(name)) is int for name in _COUNTS)
        and all(is_digest(document.get(name)) for name in _DIGESTS)
        and all(isinstance(document.get(name), str) for name in ("execution_id", "plan_id", "by", "reason"))
    )
    files = document.get("files")
    if not holds or not isinstance(files, dict) or not all(isinstance(names, list) for names in files.values()):
        raise ValueError("a member is missing or malformed")
    return document


def _columns(findings: Findings, facts: Facts, row: dict[str, Any], document: dict[str, Any], where: str) -> None:
    name = document["execution_id"]
    for column in ("execution_id", "execution_hash", "purged"):
        if row[column] != document[column]:
            what = f"{column} is {row[column]!r}, and the tombstone says {document[column]!r}"
            findings.damage("column", what, where=where, records=[name])
    if document.get("ledger_id") != facts.ledger_id:
        findings.damage("identity", "the tombstone is of another ledger", where=where, records=[name])
    if name in facts.records or name in facts.broken:
        findings.damage("tombstone", "a record stands under the id of a purged one", where=where, records=[name])


def check_holds(connection: sqlite3.Connection, findings: Findings) -> None:
    """Check the form of legal holds; nothing else tells what they should say."""
    for row in rows(connection, findings, "legal_holds"):
        where = f"legal_holds, row {row['id']}"
        released = row["released"] is not None
        forms = {
            "kind": row["kind"] in {"execution", "plan"},
            "name": isinstance(row["name"], str) and bool(row["name"]),
            "who": isinstance(row["who"], str) and bool(row["who"]),
            "why": isinstance(row["why"], str) and bool(row["why"]),
            "created": is_time(row["created"]),
            "released": row["released"] is None or is_time(row["released"]),
            "released_by": (row["released_by"] is not None) == released,
        }
        for name in (name for name, holds in forms.items() if not holds):
            what = f"{name} is {row[name]!r}, which cannot be"
            findings.damage("column", what, where=where, records=[str(row["name"])])
