"""The leaves of the transparency log against the ledger: each row has its leaf, and each leaf its row."""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64encode
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import canonical, is_time, load, sha256
from hearth.operations._fsck._database import rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings
    from hearth.operations._fsck._transparency import Logged

__all__ = ["check_log_leaves", "check_noted_log"]

_LONGEST_NAME = 1024
_OF_RUNS = {"execution_opened", "execution_sealed"}
_OF_THE_LOG: dict[str, Callable[[Logged], Sequence[str]]] = {
    "log_created": lambda logged: [logged.first_key],
    "key_changed": lambda logged: logged.statements,
}
_Row = tuple[str, dict[str, Any]]  # by what the leaf is known, and what it says, in the order of the rows


def check_noted_log(root: Path, connection: sqlite3.Connection, findings: Findings, logged: Logged | None) -> None:
    """Check that the log that the ledger says it has is the one that is there."""
    noted = []
    for row in rows(connection, findings, "logs"):
        noted.append(str(row["log_key"]))
        if not is_time(row["created"]):
            what = f"created is {row['created']!r}, which is no time"
            findings.damage("transparency", what, where=f"logs, row {row['id']}")
    if not noted:
        return
    if len(noted) > 1:
        before = "a log" if len(noted) == 2 else f"{len(noted) - 1} logs"  # noqa: PLR2004 - one, and that of now
        findings.note(f"the ledger had {before} before its present one, which took the place of what was lost")
    where = "transparency/settings.json"
    if not (root / where).exists():
        what = f"the ledger has a log, which began with the key {noted[-1]}, and it was taken away"
        findings.damage("transparency", what, where=where)
    elif logged is not None and logged.first_key != noted[-1]:
        what = f"the ledger's log began with the key {noted[-1]}, and this one with {logged.first_key}"
        findings.damage("transparency", what, where=where)


def check_log_leaves(connection: sqlite3.Connection, findings: Findings, facts: Facts, logged: Logged) -> None:
    """Compare the leaves that were read with the ledger, which was read after them."""
    if logged.ledger_id != facts.ledger_id:
        what = f"it is the log of the ledger {logged.ledger_id}, and this one is {facts.ledger_id}"
        findings.damage("identity", what, where="transparency/settings.json")
        return
    waiting = 0
    readers = {
        "execution_sealed": _records(facts),
        "approval_used": _uses(connection, findings),
        "posture_changed": _postures(connection, findings),
        "execution_purged": _tombstones(connection, findings),
        "values_erased": _erasures(connection, findings),
    }
    there: set[tuple[str, str]] = set()
    for kind, found in readers.items():
        missing: list[str] = []
        for name, said in found:
            there.add((kind, name))
            if (kind, name) not in logged.leaves:
                missing.append(name)
                continue
            number, data = logged.leaves[kind, name]
            where = f"transparency/log, leaf {number}"
            if differ := _differing(load(data), said):
                what = (
                    f"{kind} {name}: {', '.join(differ)} is another in the ledger; the log tells what was there first"
                )
                findings.damage("transparency", what, where=where, records=[name])
            for earlier in missing:
                what = f"{kind} {earlier} is not in the log, and what came after it is: it was put there since"
                findings.damage("transparency", what, where=where, records=[earlier])
            missing = []
        waiting += len(missing)
    if waiting and not facts.busy:
        findings.note(
            f"{waiting} events of the ledger are not in its log yet; the next run adds them, or `hearth log update`"
        )
    _without_row(findings, facts, logged, there)
    _openings(findings, facts, logged)


def _openings(findings: Findings, facts: Facts, logged: Logged) -> None:
    """Compare each run with the leaf that told of it before it acted; records of before the log have none."""
    for execution_id, journal in facts.journals.items():
        opening = logged.leaves.get(("execution_opened", _named(execution_id)))
        if opening is not None and load(opening[1]).get("first_event_hash") != journal.first:
            what = f"execution {execution_id} is not the one that was opened (leaf {opening[0]}): another took its id"
            findings.damage("transparency", what, where=f"journals/{journal.path.name}", records=[execution_id])
    sealed = sorted(number for (kind, _), (number, _) in logged.leaves.items() if kind == "execution_sealed")
    backlog, last = _backlog(logged, "records"), _backlog(logged, "last_record")
    for execution_id, record in facts.records.items():
        name = _named(execution_id)
        ending = logged.leaves.get(("execution_sealed", name))
        opening = logged.leaves.get(("execution_opened", name))
        where = "executions" if ending is None else f"transparency/log, leaf {ending[0]}"
        if opening is not None and load(opening[1]).get("first_event_hash") != record.first:
            what = f"execution {name} is not the one that was opened (leaf {opening[0]}): another took its id"
            findings.damage("transparency", what, where=where, records=[execution_id])
        elif record.acted and (opening is None or (ending is not None and opening[0] > ending[0])):
            before = len(sealed) if ending is None else bisect_left(sealed, ending[0])
            if (before >= backlog or record.row > last) and not (ending is None and (facts.busy or logged.behind)):
                what = f"execution {name} has steps, and the log was not told of it before the first of them"
                findings.damage("transparency", what, where=where, records=[execution_id])


def _backlog(logged: Logged, said: str) -> int:
    """Return what the log's first leaf says of the records of before it; any, where it does not."""
    first = next((data for number, data in logged.leaves.values() if number == 0), b"{}")
    found = load(first).get(said)
    return found if type(found) is int else sys.maxsize


def _differing(leaf: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """Name what the leaf says otherwise; a request can be given decisions after it was used."""
    wrong = {name for name in said if name != "decisions" and leaf.get(name) != said[name]}
    if "decisions" in said and not set(leaf.get("decisions", ())) <= set(said["decisions"]):
        wrong.add("decisions")
    return sorted(wrong)


def _without_row(findings: Findings, facts: Facts, logged: Logged, there: set[tuple[str, str]]) -> None:
    """Name the leaves of what is not in the ledger any more."""
    accounted = {_named(name) for name in (*facts.tombstones, *facts.broken)}
    open_ones = {_named(name) for name in (*facts.records, *facts.journals, *facts.quarantined)} | accounted
    for (kind, name), (number, _) in logged.leaves.items():
        known = {"execution_opened": open_ones, "execution_sealed": accounted}.get(kind, set())
        if (kind, name) in there or name in known:
            continue
        where, records = f"transparency/log, leaf {number}", [name]
        if kind in _OF_RUNS:
            has = "neither its record nor" if kind == "execution_sealed" else "no record, no journal and not"
            what = f"execution {name} was {kind.removeprefix('execution_')}, and there is {has} a tombstone"
        elif kind in _OF_THE_LOG:
            records = []
            if name in _OF_THE_LOG[kind](logged) and (number == 0) == (kind == "log_created"):
                continue
            what = f"{kind} {name[:100]} is not what its settings and the history of its keys say"
        else:
            what = f"{kind} {name} is not in the ledger: it was removed or changed, or an older state brought back"
        findings.damage("transparency", what, where=where, records=records)
    for name, tombstone in facts.tombstones.items():
        sealed = logged.leaves.get(("execution_sealed", _named(name)))
        if sealed is not None and load(sealed[1]).get("execution_hash") != tombstone.get("execution_hash"):
            what = f"execution {name} was sealed with another hash than its tombstone has"
            findings.damage("transparency", what, where=f"transparency/log, leaf {sealed[0]}", records=[name])


def _records(facts: Facts) -> Iterator[_Row]:
    for name, record in sorted(facts.records.items(), key=lambda one: one[1].row):
        yield _named(name), {"execution_hash": record.execution_hash}


def _uses(connection: sqlite3.Connection, findings: Findings) -> Iterator[_Row]:
    requests = {
        str(row["request_id"]): _digest(row["document"]) for row in rows(connection, findings, "approval_requests")
    }
    decisions: dict[str, list[str]] = {}
    for row in rows(connection, findings, "approval_decisions"):
        decisions.setdefault(str(row["request_id"]), []).append(_digest(row["envelope"]))
    for row in rows(connection, findings, "approval_uses"):
        name = str(row["request_id"])
        said = {"execution_id": _named(str(row["execution_id"])), "request_sha256": requests.get(name)}
        yield name, {**said, "at": row["used"], "decisions": sorted(decisions.get(name, []))}


def _postures(connection: sqlite3.Connection, findings: Findings) -> Iterator[_Row]:
    for row in rows(connection, findings, "postures", order="version"):
        state = {"version": row["version"], "security_state": row["security"], "boundary_state": row["boundary"]}
        envelope = b64encode(row["envelope"]).decode() if isinstance(row["envelope"], bytes) else row["envelope"]
        document = {**state, **{name: row[name] for name in ("who", "why", "source", "created")}, "envelope": envelope}
        try:
            digest = sha256(canonical(document))
        except (ValueError, TypeError):
            digest = "of what cannot be read"
        yield str(row["version"]), {**state, "at": row["created"], "document_sha256": digest}


def _tombstones(connection: sqlite3.Connection, findings: Findings) -> Iterator[_Row]:
    for row in rows(connection, findings, "tombstones"):
        said = {"execution_hash": row["execution_hash"], "tombstone_sha256": _digest(row["document"])}
        yield _named(str(row["execution_id"])), {**said, "at": row["purged"]}


def _erasures(connection: sqlite3.Connection, findings: Findings) -> Iterator[_Row]:
    for row in rows(connection, findings, "erasures"):
        yield _digest(row["document"]), {"execution_id": _named(str(row["execution_id"]))}


def _digest(data: object) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")).hexdigest()


def _named(execution_id: str) -> str:
    """Return how a leaf names an execution: by its id, or by the SHA-256 of a long one, or one that looks so."""
    data = execution_id.encode("utf-8", "surrogatepass")
    plain = len(data) <= _LONGEST_NAME and not re.fullmatch("sha256:[0-9a-f]{64}", execution_id)
    return execution_id if plain else f"sha256:{hashlib.sha256(data).hexdigest()}"
