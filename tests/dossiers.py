"""Dossiers for tests: of a run that was approved and failed, in a log that a witness has seen; and of odd records."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hearth.errors import StepFailedError
from hearth.evidence import COSIGNATURE, LogProof, Note, NoteKey, TransparencyLog, make_dossier
from hearth.evidence._dossier_data import embedded_text
from hearth.operations import Records, initialise, load_key, run_plan
from hearth.operations._dossier import gather
from hearth.plan import load_plan
from hearth.record import (
    ExecutionRecord,
    LeafKind,
    canonical_bytes,
    entry_hash,
    leaf_bytes,
    record_hash,
    sealed_leaf,
)
from hearth.security import LiveMode
from hearth.signing import Envelope, SigningKey
from tests import approving

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.ledger import LedgerHome

__all__ = [
    "KEYS",
    "ORIGIN",
    "approved_anew",
    "bare",
    "chained_anew",
    "decided_by",
    "fold",
    "gathered",
    "mutated",
    "resealed",
    "run",
    "signed",
    "span",
    "with_data",
    "with_log",
]

ORIGIN = "example.com/hearth"
KEYS = {name: SigningKey.generate() for name in ("log", "witness", "maker", "stranger")}
_DATA = re.compile(rb'(?<=<script type="application/json" id="dossier-data">)[^\n]*?(?=</script>)')
_PLAN = """
plan: user-import
description: Bring the new users in
steps:
  - name: Copy
    shell: {script: "cp users.csv copy.csv; echo copied 3 users"}
    effects: [{file_system: copy.csv, reversible: true}]
    rollback: {description: Remove the copy, actions: [rm copy.csv], risks: [it may be wanted]}
  - name: Tell
    file: {write: told.txt, content: "9"}
  - name: Fail
    shell: "echo 'no such user' >&2; exit 3"
  - name: Never
    shell: "true"
"""


def run(folder: Path) -> LedgerHome:
    """Run a plan that fails at its third step, live and approved; its execution is `the-run`."""
    home = initialise(folder / ".hearth").home
    key = approving.trust(home)
    work = folder / "work"
    work.mkdir()
    (work / "users.csv").write_text("a\nb\nc\n")
    path = work / "plan.yaml"
    path.write_text(_PLAN)
    plan = load_plan(path)
    request = approving.approve(home, plan, load_key(home, key))
    with suppress(StepFailedError):
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="the-run")
    return home


def gathered(home: LedgerHome, execution_id: str = "the-run") -> dict[str, Any]:
    """Return the data of an execution's dossier."""
    with Records(home) as records:
        return gather(records, records.find(execution_id))


def with_log(
    folder: Path,
    document: dict[str, Any],
    *,
    told_late: bool = False,
    of_approval: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Put the record into a log of its own, among others, and have a witness see it; the opening first, or last.

    `of_approval` are members that the leaf of the approval's use has otherwise.
    """
    record = ExecutionRecord.from_dict(document["record"])
    about = {"origin": ORIGIN, "ledger_id": str(record.started["ledger_id"])}
    leaves = [
        _opening(record, about),
        *_approval(document, {**about, **(of_approval or {})}),
        sealed_leaf(record, **about),
    ]
    if told_late:
        leaves = [*leaves[1:], leaves[0]]
    log = TransparencyLog.create(folder / "log", folder / "signed.json", KEYS["log"], origin=ORIGIN)
    log.append([*(b"before %d" % n for n in range(12 - len(leaves))), *leaves, *(b"after %d" % n for n in range(5))])
    note = Note.parse(log.note()).cosigned("witness.example", KEYS["witness"], 1_790_000_000)
    numbers = range(12 - len(leaves), 12)
    proofs = [LogProof(number, tuple(log.inclusion(number)), note).to_bytes().decode() for number in numbers]
    more = [{"leaf": leaf.decode(), "proof": proof} for leaf, proof in zip(leaves, proofs, strict=True)]
    sealed = more.pop(-2 if told_late else -1)
    return {
        **document,
        "proof": {"origin": ORIGIN, "log_key": str(NoteKey(ORIGIN, KEYS["log"].public)), **sealed, "more": more},
        "proof_missing": "",
        "witnesses": {
            "keys": [str(NoteKey("witness.example", KEYS["witness"].public, COSIGNATURE))],
            "quorum": 1,
        },
    }


def _opening(record: ExecutionRecord, about: dict[str, str]) -> bytes:
    first = record.marks[0]
    said = {"execution_id": record.execution_id, "first_event_hash": first.event_hash}
    return leaf_bytes(LeafKind.EXECUTION_OPENED, at=first.to_dict()["timestamp"], **about, **said)


def _approval(document: dict[str, Any], about: dict[str, Any]) -> list[bytes]:
    signed = document["approval"]
    if signed is None:
        return []
    said = {
        "request_id": signed["request"]["says"]["request_id"],
        "execution_id": document["record"]["execution_id"],
        "request_sha256": hashlib.sha256(canonical_bytes(signed["request"]["envelope"])).hexdigest(),
        "decisions": sorted(
            hashlib.sha256(canonical_bytes(one["envelope"])).hexdigest() for one in signed["decisions"]
        ),
    }
    return [leaf_bytes(LeafKind.APPROVAL_USED, at=signed["use"]["used"], **{**said, **about})]


def approved_anew(document: dict[str, Any], *names: str, mark: bytes = b"") -> dict[str, Any]:
    """Return data whose request and decision were made up with keys of their own; with `names` one key says all.

    `mark` stands before what the request says, where it is signed.
    """
    made = copy.deepcopy(document)
    signed = made["approval"]
    asked = {**signed["request"]["says"], "reason": "nobody asked for this"}
    signed["request"] = _says(asked, signed["request"], KEYS["stranger"], mark)
    digest = hashlib.sha256(canonical_bytes(asked)).hexdigest()
    decided = {**signed["decisions"][0]["says"], "request_digest": digest}
    approvers = names or (decided["approver"],)
    signed["decisions"] = [
        _says({**decided, "approver": one}, signed["decisions"][0], KEYS["maker"]) for one in approvers
    ]
    held = {"ann": KEYS["maker"], "eve": KEYS["stranger"]}
    made["policy"]["keys"] = [
        {"name": name, "key": str(key.public), "roles": ["approver"]} for name, key in held.items()
    ]
    return made


def decided_by(document: dict[str, Any], name: str, created: str, **said: str) -> dict[str, Any]:
    """Return data with a decision more, by somebody whose key was made up."""
    made = copy.deepcopy(document)
    one = made["approval"]["decisions"][0]
    says = {**one["says"], "approver": name, "created": created, "nonce": "0" * 32, **said}
    made["approval"]["decisions"].append(_says(says, one, KEYS["stranger"]))
    made["policy"]["keys"].append({"name": name, "key": str(KEYS["stranger"].public), "roles": ["approver"]})
    return made


def review_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a review of a run's emergency, which it was none of."""
    one = document["approval"]["decisions"][0]
    says = {"reviewer": "eve", "reason": "it was right", "execution_id": "the-run", "created": one["says"]["created"]}
    made = _says(says, one, KEYS["stranger"])
    kind = "application/vnd.hearth.emergency-review.v1+json"
    envelope = Envelope.sign(canonical_bytes(says), kind, KEYS["stranger"])
    return {**made, "envelope": json.loads(envelope.to_json())}


def _says(says: dict[str, Any], was: dict[str, Any], key: SigningKey, mark: bytes = b"") -> dict[str, Any]:
    envelope = Envelope.sign(mark + canonical_bytes(says), was["envelope"]["payloadType"], key)
    return {"envelope": json.loads(envelope.to_json()), "says": says}


def bare(record: ExecutionRecord) -> dict[str, Any]:
    """Return the data of a dossier that has nothing but a record."""
    return {
        "schema": "hearth.dossier/1",
        "made_at": "2026-09-01T10:00:00.000000Z",
        "made_by": "hearth 0",
        "record": record.to_dict(),
        "plan": None,
        "plan_missing": "the record names no kept copy of its plan",
        "approval": None,
        "policy": {"keys": [], "quorum": 1, "missing": ""},
        "manifests": [],
        "rollback": {
            "execution_id": record.execution_id, "plan_id": record.plan_id, "status": str(record.status),
            "is_rollback_possible": False, "reason": "no hint", "rollback_hints": [], "warnings": [],
            "irreversible_steps": [], "manual_steps": [], "executed_steps": [],
        },
        "proof": None,
        "proof_missing": "this ledger has no log",
        "witnesses": {"keys": [], "quorum": 0},
        "erasures": [],
    }  # fmt: skip


def span(page: bytes) -> tuple[int, int]:
    """Return where the embedded data stand in a page."""
    found = _DATA.search(page)
    assert found is not None
    return found.span()


def mutated(page: bytes, place: int, byte: int) -> bytes:
    """Return a page with another byte at a place of its data."""
    at = span(page)[0] + place
    assert page[at] != byte
    return page[:at] + bytes([byte]) + page[at + 1 :]


def fold(document: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """Return data with another value at a place."""
    changed = copy.deepcopy(document)
    inner: Any = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return changed


def chained_anew(document: dict[str, Any]) -> dict[str, Any]:
    """Return data whose record has the hashes that belong to its entries, and no proof that it was always so."""
    made = copy.deepcopy({**document, "proof": None, "proof_missing": "lost"})
    record, previous = made["record"], "0" * 64
    lists = (record["marks"], record["step_events"], record["side_effects_report"]["side_effects_observed"])
    for entry in sorted((entry for entries in lists for entry in entries), key=lambda one: one["sequence"]):
        entry["previous_event_hash"] = previous
        entry["event_hash"] = previous = entry_hash(entry)
    record["execution_hash"] = record_hash(record)
    return made


def resealed(page: bytes, document: dict[str, Any]) -> bytes:
    """Return the page with other data and, as an attacker would, their SHA-256 made anew beside them; nothing else."""
    return with_data(page, embedded_text(document).encode())


def with_data(page: bytes, data: bytes) -> bytes:
    """Return the page with these data, canonical or not."""
    first, last = span(page)
    after = page[last:]
    seal = re.search(rb'id="dossier-seal">([^\n]*?)</script>', after)
    assert seal is not None
    said = json.loads(seal[1])
    said["sha256"] = hashlib.sha256(data).hexdigest()
    return page[:first] + data + after[: seal.start(1)] + embedded_text(said).encode() + after[seal.end(1) :]


def signed(document: dict[str, Any]) -> bytes:
    """Return the dossier, signed by its maker."""
    return make_dossier(document, KEYS["maker"])
