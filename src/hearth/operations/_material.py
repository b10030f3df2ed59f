"""What an approver is shown: the plan that the digest covers and its inputs, and how they differ from the last ones."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, LedgerError
from hearth.execution import ContentStore
from hearth.plan import plan_digest, plan_text
from hearth.record import Redactor, thaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.ledger import LedgerHome
    from hearth.operations._plans import KeptPlan
    from hearth.plan import ApprovalRequest, Plan

__all__ = ["InputText", "Material", "keep_inputs", "material_of"]

_LARGEST_KEPT = 1 << 20


@dataclass(frozen=True, slots=True)
class InputText:
    """An input: its SHA-256, and its content where that is text and at hand; `missing` says why it is not shown."""

    digest: str
    text: str | None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """A plan's rendered document and its inputs, by name. What stands here has the digest that is to be approved."""

    document: dict[str, Any]
    inputs: dict[str, InputText] = field(default_factory=dict)

    def diff(self, before: Material) -> Iterator[str]:
        """Yield the lines of a unified diff from an earlier version to this one; none where nothing differs."""
        yield from _diff("plan", plan_text(before.document).splitlines(), plan_text(self.document).splitlines())
        for name in sorted({*before.inputs, *self.inputs}):
            old, new = before.inputs.get(name), self.inputs.get(name)
            if old is not None and new is not None and old.digest == new.digest:
                continue
            yield from _diff(name, _lines(old), _lines(new))


def keep_inputs(home: LedgerHome, plan: Plan) -> None:
    """Keep the inputs that are texts without secrets beside the plan, so that approvers elsewhere can read them.

    What looks as if it held a secret is not kept: an approver reads it where it lies.
    """
    store = ContentStore(home.root / "inputs")
    redactor = Redactor()
    for value in plan.secret_variables(redactor.telling):
        redactor.add_secret(value)
    for name, digest in plan.inputs.items():
        path = plan.folder / name
        try:
            if path.stat().st_size > _LARGEST_KEPT:
                continue
            data = path.read_bytes()
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if hashlib.sha256(data).hexdigest() == digest and redactor.text(text) == text and not store.has(digest):
            try:
                store.put(data)
            except OSError as error:
                raise LedgerError(f"{store.path(digest)}: the input cannot be kept: {error.strerror}") from error


def material_of(
    home: LedgerHome, request: ApprovalRequest, kept: KeptPlan | None, plan: Plan | None = None
) -> Material:
    """Return what the request's digest covers, from the plan file where it is given, else from what was kept.

    ApprovalRefusedError (`plan`) where neither has that digest: what cannot be shown cannot be approved.
    """
    if plan is not None:
        if plan.digest != request.plan_digest:
            raise ApprovalRefusedError(
                f"{plan.path or plan.id} has the digest {plan.digest}, and the request {request.request_id} is for "
                f"{request.plan_digest}; this is not the plan that was asked for",
                code="plan",
            )
        document, inputs = thaw(plan.document), dict(plan.inputs)
    else:
        if kept is None or plan_digest(kept.document, kept.inputs, kept.tasks) != request.plan_digest:
            raise ApprovalRefusedError(
                f"what was kept of the plan {request.plan_id} does not have the digest that is to be approved (a plan "
                "that holds secrets in clear is kept without them); name the plan's file with --plan",
                code="plan",
            )
        document, inputs = kept.document, kept.inputs
    store = ContentStore(home.root / "inputs")
    return Material(document, {name: _input(store, name, digest, plan) for name, digest in inputs.items()})


def _input(store: ContentStore, name: str, digest: str, plan: Plan | None) -> InputText:
    path = store.path(digest) if plan is None else plan.folder / name
    try:
        data = path.read_bytes()
    except OSError:
        return InputText(digest, None, "not kept here; name the plan's file with --plan to read it where it lies")
    if hashlib.sha256(data).hexdigest() != digest:
        return InputText(digest, None, f"{path} is not the input with this SHA-256")
    try:
        return InputText(digest, data.decode("utf-8"))
    except UnicodeDecodeError:
        return InputText(digest, None, f"{len(data)} bytes that are no text")


def _lines(known: InputText | None) -> list[str]:
    if known is None:
        return []
    return known.text.splitlines() if known.text is not None else [f"(sha256 {known.digest})"]


def _diff(name: str, before: list[str], after: list[str]) -> Iterator[str]:
    return difflib.unified_diff(before, after, f"{name} (last approved)", f"{name} (now)", lineterm="")
