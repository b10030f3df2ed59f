"""Approvals: what was asked, decided and used, each from what was signed, and which runs they belong to."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import is_digest, is_time
from hearth.operations._fsck._database import rows
from hearth.operations._fsck._envelope import key_id_of, read_envelope

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from hearth.operations._fsck._envelope import Keys, Signed
    from hearth.operations._fsck._facts import Facts
    from hearth.operations._fsck._report import Findings

__all__ = ["check_approvals", "check_signed"]

_CODES = {
    "missing", "denied", "expired", "not_yet", "spent", "host", "mode", "posture", "plan", "preview", "ledger",
    "untrusted",
    "damaged",
}  # fmt: skip
# A denial and a run that begins may wait for each other so long.
_AT_ONCE = timedelta(seconds=10)
_REVIEW = {"ledger_id", "execution_id", "request_id", "reviewer", "reason", "created"}
_REVIEW_KIND = "application/vnd.hearth.emergency-review.v1+json"


def check_signed(
    findings: Findings, keys: Keys, data: object, row: dict[str, Any], names: Iterable[str], *, where: str, record: str
) -> Signed | None:
    """Check an envelope: its form, its signature where the key is known, and the columns that repeat it."""
    findings.count("signed documents")
    try:
        signed = read_envelope(data)
    except ValueError as error:
        findings.damage("envelope", f"what was signed cannot be read: {error}", where=where, records=[record])
        return None
    verdict = keys.judge(signed)
    if verdict == "unknown":
        findings.unknown_keys.append(where)
    if verdict == "false":
        what = "its signature is not by the key that it names: it was changed after it was signed"
        findings.damage("signature", what, where=where, records=[record])
    for name in names:
        if name in signed.document and signed.document[name] != row[name]:
            what = f"{name} is {row[name]!r}, and what was signed says {signed.document[name]!r}"
            findings.damage("column", what, where=where, records=[record])
    return signed


def check_approvals(connection: sqlite3.Connection, findings: Findings, facts: Facts, keys: Keys) -> None:
    """Check requests, decisions, uses, reviews and refusals."""
    requests = _requests(connection, findings, facts, keys)
    approvers, denials = _decisions(connection, findings, keys, requests)
    used = _uses(connection, findings, facts, requests)
    _despite_denial(connection, findings, denials)
    _without_quorum(connection, findings, requests, approvers)
    _without_use(findings, facts, used)
    for row in rows(connection, findings, "reviews"):
        where, name = f"reviews, row {row['id']}", str(row["execution_id"])
        signed = check_signed(
            findings, keys, row["envelope"], row, ("execution_id", "reviewer", "created"), where=where, record=name
        )
        if signed is not None:
            if signed.document.keys() != _REVIEW or signed.kind != _REVIEW_KIND:
                findings.damage("column", "what was signed is no review", where=where, records=[name])
            elif signed.document["ledger_id"] != facts.ledger_id:
                findings.damage("identity", "the review is of another ledger", where=where, records=[name])
        known = {*facts.records, *facts.tombstones, *facts.journals, *facts.broken, *facts.quarantined}
        if name not in known:
            findings.damage(
                "loose-row", f"the review is of {name!r}, of which there is nothing", where=where, records=[name]
            )
    for row in rows(connection, findings, "refusals"):
        where = f"refusals, row {row['id']}"
        forms = {
            "created": is_time(row["created"]),
            "plan_digest": is_digest(row["plan_digest"]),
            "code": row["code"] in _CODES,
            "who": isinstance(row["who"], str) and bool(row["who"]),
        }
        for name in (name for name, holds in forms.items() if not holds):
            findings.damage("column", f"{name} is {row[name]!r}, which cannot be", where=where)


def _requests(connection: sqlite3.Connection, findings: Findings, facts: Facts, keys: Keys) -> dict[str, Signed | None]:
    found: dict[str, Signed | None] = {}
    users = {str(row["request_id"]): row["execution_id"] for row in rows(connection, findings, "approval_uses")}
    for row in rows(connection, findings, "approval_requests"):
        name, where = str(row["request_id"]), f"approval_requests, row {row['id']}"
        names = ("request_id", "plan_id", "plan_digest", "created")
        signed = check_signed(findings, keys, row["document"], row, names, where=where, record=name)
        found[name] = signed
        if signed is None:
            continue
        missing = [member for member in names if member not in signed.document]
        if missing:
            findings.damage("envelope", f"the request does not say {', '.join(missing)}", where=where, records=[name])
        if signed.document.get("ledger_id") != facts.ledger_id:
            findings.damage("identity", "the request was made for another ledger", where=where, records=[name])
        copy = signed.document.get("plan_copy")
        # What a request needs goes with the record of the run that used it up.
        if is_digest(copy) and users.get(name) not in facts.tombstones:
            facts.plans.setdefault(str(copy), []).append(name)
    return found


def _decisions(
    connection: sqlite3.Connection, findings: Findings, keys: Keys, requests: dict[str, Signed | None]
) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Check the decisions; return by which of today's keys each request was approved, and when first denied."""
    approvers: dict[str, set[str]] = {}
    denials: dict[str, str] = {}
    for row in rows(connection, findings, "approval_decisions"):
        name, where = str(row["request_id"]), f"approval_decisions, row {row['id']}"
        names = ("request_id", "approver", "verdict", "created")
        signed = check_signed(findings, keys, row["envelope"], row, names, where=where, record=name)
        if signed is None:
            continue
        if key_id_of(row["key"]) not in [key_id for key_id, _ in signed.signatures]:
            what = f"key is {row['key']!r}, and another one signed"
            findings.damage("column", what, where=where, records=[name])
        asked = requests.get(name)
        if name not in requests:
            findings.damage("loose-row", f"the request {name!r} is not there", where=where, records=[name])
        elif asked is not None and signed.document.get("request_digest") != asked.digest:
            what = "it was decided on other words than the request has: request_digest differs"
            findings.damage("envelope", what, where=where, records=[name])
        elif asked is not None and keys.judge(signed) == "true":
            said = signed.document
            if said.get("verdict") == "approve":
                approvers.setdefault(name, set()).add(key_id_of(row["key"]))
            elif said.get("verdict") == "deny" and is_time(said.get("created")):
                denials[name] = min(denials.get(name, said["created"]), said["created"])
    return approvers, denials


def _despite_denial(connection: sqlite3.Connection, findings: Findings, denials: dict[str, str]) -> None:
    """Name the runs that used an approval which was denied before."""
    for row in rows(connection, findings, "approval_uses"):
        denied, used = denials.get(str(row["request_id"])), row["used"]
        if denied is None or not is_time(used) or denied >= used:
            continue
        name, what = str(row["execution_id"]), f"{row['request_id']} was denied at {denied}"
        if datetime.fromisoformat(used) - datetime.fromisoformat(denied) < _AT_ONCE:
            findings.note(f"{what}, just before {name} used it at {used}: they may have met")
        else:
            what = f"the request {what}, and {name} used it at {used}: the denial was hidden from it"
            findings.damage("approval", what, where=f"approval_uses, row {row['id']}", records=[name])


def _without_quorum(
    connection: sqlite3.Connection,
    findings: Findings,
    requests: dict[str, Signed | None],
    approvers: dict[str, set[str]],
) -> None:
    """Name the requests that were used though not so many of today's keys approved them as the policy wants."""
    quorum = quorum_of(Path(connection.execute("PRAGMA database_list").fetchone()[2]).with_name("policy.yaml"))
    for row in rows(connection, findings, "approval_uses"):
        asked = requests.get(str(row["request_id"]))
        if asked is None:
            continue
        needed = 1 if asked.document.get("emergency") is True else quorum
        have = len(approvers.get(str(row["request_id"]), ()))
        if have < needed:
            findings.note(
                f"the approval {row['request_id']}, which {row['execution_id']} used up, has {have} of {needed} "
                "approvals by keys that the policy names today: a key or the quorum has changed since, or nobody "
                "approved it"
            )


def quorum_of(policy: Path) -> int:
    """Return how many keys a policy wants for an approval; 1 where it does not say."""
    import yaml

    try:
        quorum = yaml.safe_load(policy.read_bytes())["approvals"]["quorum"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return 1
    return quorum if isinstance(quorum, int) else 1


def _uses(
    connection: sqlite3.Connection, findings: Findings, facts: Facts, requests: dict[str, Signed | None]
) -> dict[str, str]:
    used: dict[str, str] = {}
    for row in rows(connection, findings, "approval_uses"):
        name, request, where = str(row["execution_id"]), str(row["request_id"]), f"approval_uses, row {row['id']}"
        used[name] = request
        asked = requests.get(request)
        if request not in requests:
            findings.damage("loose-row", f"the request {request!r} is not there", where=where, records=[name])
        elif asked is not None and row["emergency"] != int(asked.document.get("emergency") is True):
            what = f"emergency is {row['emergency']!r}, and the request says otherwise"
            findings.damage("column", what, where=where, records=[name])
        if not is_time(row["used"]):
            findings.damage("column", f"used is {row['used']!r}, which is no time", where=where, records=[name])
        said = _said(facts, name)
        if said is not None and said != request:
            what = f"it says that {name} used the request {request}, and its record names {said or 'none'}"
            findings.damage("approval", what, where=where, records=[name])
        elif said is None and name not in facts.broken | facts.quarantined:
            findings.note(f"the approval {request} was used up by {name}, which never began, or is just beginning")
    return used


def _said(facts: Facts, execution: str) -> str | None:
    """Return the request that a record, a journal or a tombstone names ("" for none); None where there is nothing."""
    if execution in facts.records:
        return str(facts.records[execution].approval.get("request_id", ""))
    if execution in facts.tombstones:
        return str(facts.tombstones[execution].get("request_id") or "")
    if execution in facts.journals:
        return str(facts.journals[execution].approval.get("request_id", ""))
    return None


def _without_use(findings: Findings, facts: Facts, used: dict[str, str]) -> None:
    """Find the records that say they ran on an approval which nobody used up."""
    unsigned = 0
    for name, record in facts.records.items():
        request = record.approval.get("request_id")
        if request is not None and name not in used:
            what = f"it ran on the approval {request}, and no row says that it was used up"
            findings.damage("approval", what, where="approval_uses", records=[name])
        unsigned += request is None and record.live_mode == "LIVE"
    for name, journal in facts.journals.items():
        request = journal.approval.get("request_id")
        if request is not None and name not in used and name not in facts.records:
            what = f"it ran on the approval {request}, and no row says that it was used up"
            findings.damage("approval", what, where="approval_uses", records=[name])
    if unsigned:
        findings.note(f"{unsigned} LIVE record{'s' if unsigned > 1 else ''} without a signed approval")
