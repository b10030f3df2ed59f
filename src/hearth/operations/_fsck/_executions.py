"""Stored records: each row of `executions`, its texts and its disclosures, from the record's bytes."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import DIGEST, canonical, is_digest, is_time, load
from hearth.operations._fsck._chain import Problem
from hearth.operations._fsck._database import rows
from hearth.operations._fsck._derived import columns, entries_of, kept_digests, texts
from hearth.operations._fsck._facts import Recorded
from hearth.operations._fsck._record import check_record
from hearth.operations._fsck._report import Mend

if TYPE_CHECKING:
    import sqlite3

    from hearth.operations._fsck._chain import Chain
    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_executions"]


def check_executions(connection: sqlite3.Connection, findings: Findings, facts: Facts) -> None:
    """Check every row of `executions` and what hangs on it; fills in `facts`."""
    previous = ""
    for row in rows(connection, findings, "executions"):
        findings.count("records")
        name, raw = str(row["execution_id"]), row["record"]
        where = f"executions, row {row['id']}"
        if isinstance(raw, bytes):
            facts.named.update(facts.on_disk.intersection(match.decode() for match in DIGEST.findall(raw)))
        try:
            document, chain = check_record(raw)
        except Problem as problem:
            facts.broken.add(name)
            findings.damage("record", str(problem), where=where, records=[name, *_said(raw, name)])
            continue
        _columns(findings, row, document, chain, where)
        _texts(connection, findings, row["id"], document)
        _disclosures(connection, findings, row["id"], document)
        previous = _stored(findings, row, document, previous)
        _learn(facts, row["id"], document, chain)


def _said(raw: object, name: str) -> list[str]:
    """Return the id that a damaged record gives itself, where it is another one."""
    try:
        said = load(raw)["execution_id"] if isinstance(raw, bytes) else name
    except (ValueError, TypeError, KeyError):
        return []
    return [said] if isinstance(said, str) and said != name else []


def _columns(findings: Findings, row: dict[str, Any], document: dict[str, Any], chain: Chain, where: str) -> None:
    wanted = columns(document, chain)
    wrong = {key: value for key, value in wanted.items() if type(row[key]) is not type(value) or row[key] != value}
    records = {document["execution_id"]: None, str(row["execution_id"]): None}
    for key, value in wrong.items():
        findings.derived(
            "column",
            f"{key} is {row[key]!r}, and the record says {value!r}",
            where=where,
            records=records,
            mend=Mend("update", "executions", row["id"], {key: value}),
        )


def _stored(findings: Findings, row: dict[str, Any], document: dict[str, Any], previous: str) -> str:
    """Check `stored`, which no record repeats: it is a time, and hardly before that of the row before."""
    name = document["execution_id"]
    if not is_time(row["stored"]):
        findings.derived(
            "column",
            f"stored is {row['stored']!r}, which is no time",
            where=f"executions, row {row['id']}",
            records=[name],
            mend=Mend("update", "executions", row["id"], {"stored": document["timestamp_end"]}),
        )
        return previous
    if row["stored"] < previous:
        findings.note(
            f"{name} was stored at {row['stored']}, before the record in the row above it: a clock stepped back"
        )
    return str(row["stored"])


def _texts(connection: sqlite3.Connection, findings: Findings, row: int, document: dict[str, Any]) -> None:
    wanted = texts(document)
    query = "SELECT kind, step_index, text FROM execution_texts WHERE execution = ?"
    found = connection.execute(query, (row,)).fetchall()
    if len(found) == len(wanted) and set(found) == set(wanted):
        return
    odd = len(set(found) ^ set(wanted))
    findings.derived(
        "texts",
        f"{odd or len(found) - len(wanted)} of its texts for the search are not what the record says",
        where="execution_texts",
        records=[document["execution_id"]],
        mend=Mend("texts", row=row, texts=tuple(wanted)),
    )


def _disclosures(connection: sqlite3.Connection, findings: Findings, row: int, document: dict[str, Any]) -> None:
    query = "SELECT id, sequence, pointer, digest, salt, value FROM disclosures WHERE execution = ?"
    found = connection.execute(query, (row,)).fetchall()
    entries = entries_of(document) if found else []
    for number, sequence, pointer, digest, salt, value in found:
        findings.count("disclosures")
        try:
            tree = load(value.encode("utf-8"))
            made = urlsafe_b64encode(sha256(canonical([salt, pointer, tree])).digest()).rstrip(b"=").decode()
            there = str(_at(entries[sequence], pointer)) if 0 <= sequence < len(entries) else ""
            why = "" if made == digest else "salt and value do not give its commitment"
            why = why or ("" if digest in there else f"entry {sequence} has no such commitment at {pointer}")
            why = why or ("" if canonical(tree) == value.encode() else "its value is not in canonical form")
        except (ValueError, AttributeError, TypeError) as error:
            why = f"it cannot be read: {error}"
        if why:
            where = f"disclosures, row {number}"
            findings.damage("disclosure", f"a disclosed value: {why}", where=where, records=[document["execution_id"]])


def _at(value: Any, pointer: str) -> Any:  # noqa: ANN401 - a JSON tree (RFC 6901)
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def _learn(facts: Facts, row: int, document: dict[str, Any], chain: Chain) -> None:
    name, start = document["execution_id"], chain.start["details"]
    approval = start.get("approval")
    facts.records[name] = Recorded(
        row,
        document["execution_hash"],
        chain.first,
        chain.head,
        bool(document["step_events"]),
        document["live_mode_state"],
        approval if isinstance(approval, dict) else {},
    )
    for digest in kept_digests(document):
        facts.kept.setdefault(digest, []).append(name)
    copy = start.get("plan_copy")
    if is_digest(copy):
        facts.plans.setdefault(copy, []).append(name)
        facts.plan_digests.setdefault(copy, {})[name] = str(start.get("plan_digest"))
    if start.get("ledger_id") is not None:
        facts.ledger_ids[name] = str(start["ledger_id"])
