"""Manifest: what each step of a plan did in a sandbox, or would do: what an approver is shown and a run is held to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import RecordError
from hearth.observe._change import Change
from hearth.observe._node import path_from_json, path_to_json
from hearth.observe._request import ObservedRequest
from hearth.observe._rows import RowChanges
from hearth.record import canonical_bytes, strict_loads

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MANIFEST_SCHEMA", "Manifest", "StepManifest", "Way"]

MANIFEST_SCHEMA = "hearth-manifest-v1"


class Way(StrEnum):
    """How a step ran: in a sandbox; as one database transaction; as one request; on the host itself; or not at all."""

    SANDBOX = "sandbox"
    TRANSACTION = "transaction"
    REQUEST = "request"
    IN_PLACE = "in-place"
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepManifest:
    """What one step did: paths, rows by table, requests, programs (as they were started), connections and actions.

    Actions are what a step in place did to other processes and to the machine: the call, and on what.

    `unseen` are the reasons why it may have done more than stands here; `error` says why it failed ("" when it did
    not). Everything is sorted, so that two equal runs give equal manifests.
    """

    index: int
    name: str
    way: Way
    changes: tuple[Change, ...] = ()
    rows: tuple[RowChanges, ...] = ()
    requests: tuple[ObservedRequest, ...] = ()
    programs: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed or sent."""
        return not (self.changes or self.rows or self.requests)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "index": self.index,
            "name": self.name,
            "way": str(self.way),
            "changes": [change.to_dict() for change in self.changes],
            "rows": [row.to_dict() for row in self.rows],
            "requests": [request.to_dict() for request in self.requests],
            "programs": list(self.programs),
            "connections": list(self.connections),
            **({"actions": list(self.actions)} if self.actions else {}),
            "unseen": list(self.unseen),
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        return cls(
            index=int(document["index"]),
            name=str(document["name"]),
            way=Way(document["way"]),
            changes=tuple(map(Change.from_dict, document["changes"])),
            rows=tuple(map(RowChanges.from_dict, document["rows"])),
            requests=tuple(map(ObservedRequest.from_dict, document["requests"])),
            programs=tuple(map(str, document["programs"])),
            connections=tuple(map(str, document["connections"])),
            actions=tuple(map(str, document.get("actions", ()))),
            unseen=tuple(map(str, document["unseen"])),
            error=str(document["error"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifests of a plan's steps, in their order. `tier` says what the machine could see.

    `cwd` is where the plan's relative paths start ("": that is not told).
    """

    plan_id: str
    plan_digest: str
    host: str
    tier: str
    steps: tuple[StepManifest, ...]
    cwd: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical bytes: what an approval is bound to, and where the document is kept."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def step(self, index: int) -> StepManifest | None:
        """Return what stands here of a step; None where nothing does."""
        return next((step for step in self.steps if step.index == index), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": MANIFEST_SCHEMA,
            "plan_id": self.plan_id,
            "plan_digest": self.plan_digest,
            "host": self.host,
            "tier": self.tier,
            **({"cwd": path_to_json(self.cwd)} if self.cwd else {}),
            "steps": [step.to_dict() for step in self.steps],
        }

    def to_bytes(self) -> bytes:
        """Return the canonical JSON (RFC 8785)."""
        return canonical_bytes(self.to_dict())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; RecordError for anything else."""
        document = strict_loads(data)
        if not isinstance(document, dict) or document.get("schema") != MANIFEST_SCHEMA:
            raise RecordError(f"this is no manifest: it does not say that its schema is {MANIFEST_SCHEMA}")
        try:
            return cls(
                plan_id=str(document["plan_id"]),
                plan_digest=str(document["plan_digest"]),
                host=str(document["host"]),
                tier=str(document["tier"]),
                steps=tuple(map(StepManifest.from_dict, document["steps"])),
                cwd=_folder(path_from_json(document["cwd"])) if "cwd" in document else "",
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"this is no manifest: {type(error).__name__}: {error}") from None


def _folder(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("cwd is no absolute path")
    return path
