"""The dossier of an execution: everything that an outsider needs to check it, gathered from a ledger into one page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from hearth._version import __version__
from hearth.errors import EvidenceError, HearthError, LedgerError, RecordError, RequestNotFoundError
from hearth.evidence import LedgerLog, load_log_key, make_dossier, verify_dossier
from hearth.execution import ContentStore, load_policy
from hearth.operations._guidance import check_guidance_anew
from hearth.operations._plans import PlanArchive
from hearth.operations._rollback import plan_rollback
from hearth.record import LeafKind, canonical_bytes, format_time, strict_loads, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.evidence import DossierVerdict, LogProof, NoteKey
    from hearth.operations._find import Found, Records
    from hearth.record import ExecutionRecord
    from hearth.signing import SigningKey

__all__ = ["DossierMade", "dossier_of", "gather", "proof_of"]

Witnesses: TypeAlias = "tuple[Sequence[NoteKey], int]"
"""The verifier keys of a log's witnesses, and how many of them have to cosign."""

_LARGEST_MANIFEST, _LARGEST_TOGETHER = 256 << 10, 4 << 20
_SIGNED_KINDS = ("approval", "emergency")


@dataclass(frozen=True, slots=True, kw_only=True)
class DossierMade:
    """A dossier's bytes, and what came out of its own checks."""

    execution_id: str
    page: bytes
    verdict: DossierVerdict


def dossier_of(
    records: Records, found: Found, key: SigningKey | None = None, *, witnesses: Witnesses | None = None
) -> DossierMade:
    """Return the dossier of a sealed execution, signed where a key is given.

    LedgerError for one that is not sealed. A record that does not hold has one too, as evidence: its verdict says so.
    `witnesses` are those whose cosignatures of the log's checkpoint are counted.
    """
    page = make_dossier(gather(records, found, witnesses), key)
    return DossierMade(
        execution_id=found.execution_id, page=page, verdict=verify_dossier(page, guidance=check_guidance_anew)
    )


def gather(records: Records, found: Found, witnesses: Witnesses | None = None) -> dict[str, Any]:
    """Return what a dossier of a sealed execution holds."""
    if found.journal is not None:
        raise LedgerError(
            f"{found.execution_id} is not sealed yet; a dossier is of a sealed record. Where its run is over, "
            "`hearth recover` seals it"
        )
    record = records.read(found)
    plan, plan_missing = _plan(records, record)
    proof, proof_missing = proof_of(records, record)
    known, quorum = witnesses or ((), 0)
    return {
        "schema": "hearth.dossier/1",
        "made_at": format_time(utc_now()),
        "made_by": f"hearth {__version__}",
        # Signatures in a record are outside its hash, and nothing here checks them.
        "record": {**strict_loads(records.ledger.get_bytes(found.execution_id)), "signatures": []},
        "plan": plan,
        "plan_missing": plan_missing,
        "approval": _approval(records, record),
        "policy": _policy(records),
        "manifests": _manifests(records, record),
        "rollback": plan_rollback(records, found).scaffold.to_dict(),
        "proof": proof,
        "proof_missing": proof_missing,
        "witnesses": {"keys": [str(key) for key in known], "quorum": quorum},
        "erasures": [one.to_dict() for one in records.ledger.erasures.of(found.execution_id)],
    }


def proof_of(records: Records, record: ExecutionRecord) -> tuple[dict[str, Any] | None, str]:
    """Return the proof that the ledger's log has the record, or None and why there is none.

    A proof has the log's `origin`, its `log_key` (a verifier key), the `leaf` and the `proof` (a .tlog-proof) as
    texts; `more` are the leaves of the run's opening, of the approval that it used and of erasures, each with its own.
    """
    wanted = [
        (LeafKind.EXECUTION_SEALED, record.execution_id),
        (LeafKind.EXECUTION_OPENED, record.execution_id),
        *((LeafKind.APPROVAL_USED, request_id) for request_id in [_request_of(record)] if request_id is not None),
        *(
            (LeafKind.VALUES_ERASED, hashlib.sha256(canonical_bytes(one.to_dict())).hexdigest())
            for one in records.ledger.erasures.of(record.execution_id)
        ),
    ]
    try:
        log = LedgerLog(records.ledger, load_log_key)
        sealed, *others = log.prove_all(wanted)
        if sealed is None:
            raise EvidenceError(f"the log {log.settings.origin} does not have the record yet; see `hearth log status`")
    except (HearthError, OSError) as error:
        return None, str(error)
    return {
        "origin": log.settings.origin,
        "log_key": str(log.settings.key),
        **_as_texts(*sealed),
        "more": [_as_texts(leaf, replace(proof, extra=None)) for leaf, proof in filter(None, others)],
    }, ""


def _as_texts(leaf: bytes, proof: LogProof) -> dict[str, str]:
    return {"leaf": leaf.decode(), "proof": proof.to_bytes().decode()}


def _request_of(record: ExecutionRecord) -> str | None:
    """Return the request whose approval a run used."""
    named = record.started.get("approval")
    if not isinstance(named, Mapping) or named.get("kind") not in _SIGNED_KINDS:
        return None
    return str(named.get("request_id"))


def _plan(records: Records, record: ExecutionRecord) -> tuple[dict[str, Any] | None, str]:
    archive = PlanArchive(records.home)
    try:
        kept = archive.of(record)
        if kept is None:
            return None, "the record names no kept copy of its plan"
        document = strict_loads(archive.path(kept.copy).read_bytes())
    except (HearthError, OSError) as error:
        return None, f"the kept copy cannot be given: {error}"
    return document, ""


def _approval(records: Records, record: ExecutionRecord) -> dict[str, Any] | None:
    """Return what was signed for the run; None where entry 0 names no request."""
    request_id = _request_of(record)
    if request_id is None:
        return None
    store = records.ledger.approvals
    missing: dict[str, Any] = {"request": None, "decisions": [], "use": None, "reviews": []}
    try:
        row = store.find(request_id)
        if row.request_id != request_id:
            return {**missing, "missing": f"the ledger has no request {request_id}"}
        used = row.use
        return {
            "request": _signed(row.request.to_json()),
            "decisions": [_signed(envelope.to_json()) for envelope in row.decisions],
            "use": None if used is None else {"execution_id": used.execution_id, "used": used.used},
            "reviews": [_signed(data) for data in store.reviews(record.execution_id)],
            "missing": "",
        }
    except RequestNotFoundError:
        return {**missing, "missing": f"the ledger has no request {request_id}"}
    except HearthError as error:
        return {**missing, "missing": f"what was signed cannot be given: {error}"}


def _signed(envelope: bytes) -> dict[str, Any]:
    """Return an envelope, and its payload as it reads."""
    from hearth.signing import Envelope

    parsed = Envelope.parse(envelope)
    says = strict_loads(parsed.payload)
    if canonical_bytes(says) != parsed.payload:
        raise RecordError("what was signed is not in canonical form")
    return {"envelope": strict_loads(parsed.to_json()), "says": says}


def _policy(records: Records) -> dict[str, Any]:
    try:
        policy = load_policy(records.home.policy).approvals
    except HearthError as error:
        return {"keys": [], "quorum": None, "missing": f"the policy cannot be read: {error}"}
    return {
        "keys": [
            {"name": name, "key": trusted.key, "roles": list(trusted.roles)} for name, trusted in policy.keys.items()
        ],
        "quorum": policy.quorum,
        "missing": "",
    }


def _manifests(records: Records, record: ExecutionRecord) -> list[dict[str, Any]]:
    """Return the manifests that the record names: what was previewed, and what each step did. Large ones are folded."""
    store = ContentStore(records.home.outputs)
    found: list[dict[str, Any]] = []
    room = _LARGEST_TOGETHER
    for of, index, digest in _named_manifests(record):
        one: dict[str, Any] = {"of": of, "step_index": index, "sha256": digest, "bytes": None, "document": None}
        try:
            data = store.read(digest)
            one["bytes"] = len(data)
            if len(data) > min(room, _LARGEST_MANIFEST):
                one["missing"] = f"folded: it has {len(data):,} bytes; its digest stands in the record"
            elif canonical_bytes(document := strict_loads(data)) == data:
                one |= {"document": document, "missing": ""}
                room -= len(data)
            else:
                one["missing"] = "it is not in canonical form"
        except (HearthError, ValueError) as error:
            one["missing"] = f"it cannot be given: {error}"
        found.append(one)
    return found


def _named_manifests(record: ExecutionRecord) -> list[tuple[str, int | None, str]]:
    named: list[tuple[str, int | None, str]] = []
    approval = record.started.get("approval")
    preview = approval.get("preview_digest") if isinstance(approval, Mapping) else None
    if isinstance(preview, str):
        named.append(("preview", None, preview))
    for event in record.step_events:
        manifest = event.details.get("manifest")
        if isinstance(manifest, Mapping) and isinstance(manifest.get("sha256"), str):
            named.append(("step", event.step_index, manifest["sha256"]))
    return named
