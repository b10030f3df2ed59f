"""The manifests that approvals are bound to: kept in the ledger's folder, by their digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import ApprovalRefusedError, LedgerError, RecordError
from hearth.execution import ContentStore
from hearth.observe import Manifest

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome
    from hearth.plan import ApprovalRequest

__all__ = ["approved_manifest", "keep_manifest"]


def keep_manifest(home: LedgerHome, manifest: Manifest) -> str:
    """Keep a manifest, so that approvers can be shown it and a run be held to it; return its digest."""
    return ContentStore(home.outputs).put(manifest.to_bytes())


def approved_manifest(home: LedgerHome, asked: ApprovalRequest) -> Manifest | None:
    """Return the manifest that a request is bound to, None where it is bound to none.

    ApprovalRefusedError (`preview`) where it is not there any more, or is not of this plan.
    """
    if asked.preview_digest is None:
        return None
    try:
        manifest = Manifest.from_bytes(ContentStore(home.outputs).read(asked.preview_digest))
    except (LedgerError, RecordError, ValueError) as error:
        raise ApprovalRefusedError(
            f"the preview {asked.preview_digest} of the request {asked.request_id} cannot be read ({error}); preview "
            "the plan and ask anew",
            code="preview",
        ) from None
    if manifest.plan_digest != asked.plan_digest:
        raise ApprovalRefusedError(
            f"the preview {asked.preview_digest} is of another plan than the request {asked.request_id} is for; "
            "preview the plan and ask anew",
            code="preview",
        )
    return manifest
