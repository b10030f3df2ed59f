"""The digest of a plan: what an approval is bound to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["plan_digest"]

_DOMAIN = b"HEARTH-plan-v1\0"


def plan_digest(document: Mapping[str, Any], inputs: Mapping[str, str], tasks: Mapping[str, str]) -> str:
    """Return SHA-256 (hex) over the rendered plan, its inputs' hashes and its tasks' versions (docs/plan-format.md).

    What the plan leaves out stays out: a default is not written into the document. The plan file's own name and
    folder do not enter, so a plan moved together with its inputs keeps its digest.
    """
    content = {"plan": document, "inputs": dict(inputs), "tasks": dict(tasks)}
    return hashlib.sha256(_DOMAIN + canonical_bytes(content)).hexdigest()
