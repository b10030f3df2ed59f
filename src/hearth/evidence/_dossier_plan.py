"""The plan, the manifests and the guidance in a dossier, held against what entry 0 and the steps name."""

from __future__ import annotations

import hashlib
from typing import Any

from hearth.errors import EvidenceError
from hearth.evidence._dossier_keys import require, unchecked
from hearth.evidence._dossier_record import entries_of
from hearth.record import canonical_bytes, same_json

__all__ = ["check_guidance", "check_manifests", "check_plan", "started_of"]

_PLAN_DOMAIN = b"HEARTH-plan-v1\0"
_WITHHELD = (b'{"$sha256":', b"[redacted:")
_HINT = ("description", "actions", "required_inputs", "risks", "estimated_duration")


def started_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what entry 0 commits."""
    details = entries_of(document["record"])[0][1]["details"]
    require(isinstance(details, dict), "entry 0 has no details")
    return dict(details)


def check_plan(document: dict[str, Any]) -> str:
    """Hold the kept plan against the two digests in entry 0."""
    kept, started = document["plan"], started_of(document)
    if kept is None:
        unchecked(document["plan_missing"] or "the plan is not in the file")
    require(document["plan_missing"] == "", "the plan is in the file, and is said to be missing")
    data = canonical_bytes(kept)
    copy = hashlib.sha256(data + b"\n").hexdigest()
    require(copy == started.get("plan_copy"), "the plan is not the one that entry 0 names")
    require(kept["digest"] == started.get("plan_digest"), "the plan's digest is not the one that entry 0 names")
    content = {"plan": kept["plan"], "inputs": kept["inputs"], "tasks": kept["tasks"]}
    digest = hashlib.sha256(_PLAN_DOMAIN + canonical_bytes(content)).hexdigest()
    if digest == kept["digest"]:
        return f"kept copy and digest {digest}"
    if any(mark in data for mark in _WITHHELD):
        return "the kept copy; its digest cannot be given anew, for values in it are withheld"
    raise EvidenceError("the plan does not give the digest that was approved")


def check_manifests(document: dict[str, Any]) -> str:
    """Give the digest of each manifest anew, and see that the record names it."""
    named = _named(document)
    held = folded = 0
    require(
        same_json([(one["of"], one["step_index"], one["sha256"]) for one in document["manifests"]], named),
        "the manifests are not those that the record names",
    )
    for one in document["manifests"]:
        if one["document"] is None:
            require(bool(one["missing"]), "a manifest is missing without a reason")
            folded += 1
            continue
        data = canonical_bytes(one["document"])
        require(hashlib.sha256(data).hexdigest() == one["sha256"], f"the manifest {one['sha256']} was changed")
        require(
            same_json((one["bytes"], one["missing"]), (len(data), "")), "what is said of a manifest is not what it is"
        )
        held += 1
    if not named:
        return "the record names none"
    if not held:
        unchecked(f"none of the {folded} manifests is in the file; their digests stand in the record")
    return f"{held} manifests" + (f"; {folded} are not in the file, their digests stand in the record" * bool(folded))


def _named(document: dict[str, Any]) -> list[tuple[str, int | None, str]]:
    approval = started_of(document).get("approval")
    named: list[tuple[str, int | None, str]] = []
    if isinstance(approval, dict) and isinstance(approval.get("preview_digest"), str):
        named.append(("preview", None, approval["preview_digest"]))
    for event in document["record"]["step_events"]:
        manifest = event["details"].get("manifest")
        if isinstance(manifest, dict) and isinstance(manifest.get("sha256"), str):
            named.append(("step", event["step_index"], manifest["sha256"]))
    return named


def check_guidance(document: dict[str, Any]) -> str:
    """Compare each hint of the scaffold with the plan's own words."""
    scaffold, kept, record = document["rollback"], document["plan"], document["record"]
    for name in ("execution_id", "plan_id", "status"):
        require(same_json(scaffold[name], record[name]), f"the guidance is for another execution: {name} differs")
    hints = scaffold["rollback_hints"]
    if kept is None and hints:
        unchecked("the plan is not in the file, so its guidance cannot be compared")
    steps = kept["plan"]["steps"] if kept is not None else []
    for hint in hints:
        index = hint["step_index"]
        require(type(index) is int and 0 <= index < len(steps), f"there is no step {index}, but guidance for it")
        said = steps[index]["rollback"]
        defaults = {"actions": [], "required_inputs": [], "risks": [], "estimated_duration": ""}
        for name in _HINT:
            require(
                same_json(hint[name], said.get(name, defaults.get(name))),
                f"the guidance for step {index} is not the plan's: {name} differs",
            )
    return f"{len(hints)} hints" if hints else "no hint is given"
