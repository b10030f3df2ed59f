"""Running a plan under a ledger's kernel: the gate, the kept plan, the record."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import (
    ApprovalRefusedError,
    ArtemisEscalationError,
    ExecutionError,
    GateRefusedError,
    HearthError,
    LedgerError,
    RecorderError,
)
from hearth.execution import endings_reported, load_policy
from hearth.kernel import HearthKernel
from hearth.operations._approvals import Approvals
from hearth.operations._manifests import approved_manifest
from hearth.operations._people import person
from hearth.operations._plans import PlanArchive
from hearth.operations._sensors import record_refusal
from hearth.record import Redactor, SideEffectCategory
from hearth.security import LiveMode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hearth.execution import ApprovalGuard, RunListener, Sandboxing
    from hearth.ledger import LedgerHome
    from hearth.observe import Manifest
    from hearth.plan import ApprovalRequest, Plan
    from hearth.record import ExecutionRecord
    from hearth.security import Policy

__all__ = ["Confirmation", "RunOutcome", "require_confirmation", "run_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Somebody takes responsibility for a run: who, why, and whether a person answered a question on a terminal."""

    by: str
    reason: str
    interactive: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the form in which entry 0 of the record holds it."""
        return {"kind": "confirmation", "by": self.by, "reason": self.reason, "interactive": self.interactive}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A run that came to an end, with its sealed record.

    `error` is what ended it before the plan's end (None otherwise), `notes` are what else went wrong, such as a
    record that could not be stored, or somebody who could not be notified. `stored` is false where the record is in
    its journal alone.
    """

    record: ExecutionRecord
    error: HearthError | None = None
    notes: tuple[str, ...] = ()
    stored: bool = True


def run_plan(
    plan: Plan,
    *,
    home: LedgerHome,
    mode: LiveMode = LiveMode.DRY_RUN,
    confirmation: Confirmation | None = None,
    request_id: str | None = None,
    execution_id: str | None = None,
    listener: RunListener | None = None,
    sandbox: bool | None = None,
) -> RunOutcome:
    """Run a plan once; its record is in the ledger when this returns.

    LIVE uses an approval up: the one of `request_id`, else any that holds. STAGING acts on what the policy lists; a
    confirmation for it stands in entry 0. Before anything was started it raises a RefusedError, PlanError, TaskError
    or LedgerError; RecorderError and LedgerError also when a run could not be recorded or its record not be stored.
    Any other end is an outcome.

    With a `sandbox` steps run in sandboxes: a dry run then previews them, and else what they did is compared with what
    they declare, and with the manifest that the approval is bound to, before it is committed. None: a live run does so
    where the approval is bound to one, a dry run where that acts on nothing; else it only checks, and a note says why.
    """
    who = person()
    asked_in_place = sandbox is False
    with ExitStack() as stack, HearthKernel.open(home) as kernel:
        approval: ApprovalGuard | dict[str, Any] | None = None if confirmation is None else confirmation.to_dict()
        approved: Manifest | None = None
        checked = ""
        why = f"run of the plan {plan.id}" if confirmation is None else confirmation.reason
        if execution_id is not None:
            _require_no_secret(execution_id)
            kernel.require_new(execution_id)  # before an approval is used up for nothing
        try:
            if mode is LiveMode.LIVE:
                with endings_reported(kernel):
                    asked = _find_request(kernel, home, plan, mode, request_id)
                approved, why = approved_manifest(home, asked), asked.reason
                sandbox = _in_sandboxes(sandbox, asked, load_policy(home.policy))
                approval = kernel.approval(asked.request_id, preview_digest=asked.preview_digest)
            elif mode is LiveMode.DRY_RUN and sandbox is None:
                checked = _why_only_checked(plan)
                sandbox = not checked
            sandboxing = stack.enter_context(_sandboxes(home, plan, mode, approved)) if sandbox else None
            if mode is not LiveMode.DRY_RUN:
                kernel.arm(mode, who=who if confirmation is None else confirmation.by, why=why)
            plan_copy = PlanArchive(home).keep(plan)
            executor = kernel.executor(
                listener=listener,
                initiator=who,
                approval=approval,
                plan_copy=plan_copy,
                sandbox=sandboxing,
                in_place=asked_in_place,
            )
            result = executor.execute(plan, execution_id=execution_id, mode=mode)
        except ApprovalRefusedError as refusal:
            record_refusal(kernel, plan_digest=plan.digest, code=refusal.code, who=who)
            raise
        except (ExecutionError, ArtemisEscalationError) as error:
            return replace(ended(error, *kernel.settle_notices()), stored=_is_stored(kernel, error.execution_record))
        except (RecorderError, LedgerError) as error:
            for problem in kernel.settle_notices():
                error.add_note(problem)
            raise
        notes = (f"the steps were checked, and did not run: {checked}",) if checked else ()
        return RunOutcome(record=result.execution_record, notes=(*notes, *kernel.settle_notices()))


def _require_no_secret(execution_id: str) -> None:
    if Redactor().text(execution_id, "") != execution_id:
        raise GateRefusedError(
            "the execution id looks like a secret (a token, or a password behind a telling word). Ids are shown "
            "everywhere, and a log publishes them for ever: choose another one"
        )


def _is_stored(kernel: HearthKernel, record: ExecutionRecord | None) -> bool:
    try:
        return record is not None and bool(kernel.ledger.get_bytes(record.execution_id))
    except LedgerError:
        return False


def _find_request(
    kernel: HearthKernel, home: LedgerHome, plan: Plan, mode: LiveMode, request_id: str | None
) -> ApprovalRequest:
    """Return the request whose approval a run is to use."""
    approvals = Approvals(home, kernel.ledger)
    chosen = request_id or approvals.usable(plan, mode)
    if chosen is None:
        raise approvals.refusal(plan, mode)
    view = approvals.view(chosen)
    approvals.require_open(view)  # one that was used is spent, whatever became of the plan since
    return view.asked


def _sandboxes(
    home: LedgerHome, plan: Plan, mode: LiveMode, approved: Manifest | None
) -> AbstractContextManager[Sandboxing]:
    from hearth.operations._sandboxes import sandboxes  # what few runs need

    return sandboxes(home, plan, mode, approved)


def _why_only_checked(plan: Plan) -> str:
    """Return why a dry run cannot preview a plan and yet act on nothing; "" where it can."""
    from hearth.observe import probe

    for step in plan.steps:
        named = f"step {step.index} ({step.name})"
        if step.task_type == "sql" and not str(step.params["url"]).startswith("sqlite:"):
            return f"{named} would begin a transaction on a server; --sandbox previews it, rolled back"
        if step.task_type != "http" and any(one.category is SideEffectCategory.NETWORK for one in step.effects):
            return f"{named} asks for the network, where nothing holds it back; --sandbox previews it all the same"
    return "this machine can make no sandbox (`hearth doctor`)" if probe().name == "fallback" else ""


def _in_sandboxes(wanted: bool | None, asked: ApprovalRequest, policy: Policy) -> bool:
    """Return whether a run is in sandboxes; one has to be by its approval's preview, or by the policy."""
    if policy.sandbox_tier != "none":
        from hearth.observe import probe

        policy.require_tier(probe().name)
        if wanted is False:
            raise GateRefusedError(
                f"{policy.source} lets nothing run LIVE in place (`sandbox: require: {policy.sandbox_tier}`)"
            )
        return True
    if asked.preview_digest is None:
        return bool(wanted)
    if wanted is False:
        raise ApprovalRefusedError(
            f"the approval {asked.request_id} is for what its preview showed, which a run in place is not held to; run "
            "it in sandboxes, or ask anew without a preview",
            code="preview",
        )
    return True


def require_confirmation(plan: Plan, mode: LiveMode, confirmation: Confirmation | None) -> None:
    """Raise GateRefusedError for a LIVE run that nobody has confirmed with a reason."""
    if mode is not LiveMode.LIVE:
        return
    if confirmation is None:
        raise GateRefusedError(
            f"a LIVE run of the plan {plan.id} needs a confirmation; run it from a terminal and answer the question, "
            "or give --yes together with --reason TEXT"
        )
    if not confirmation.reason.strip():
        raise GateRefusedError(f"a LIVE run of the plan {plan.id} needs a reason; give --reason TEXT")


def arm(kernel: HearthKernel, plan: Plan, mode: LiveMode, *, who: str, confirmation: Confirmation | None) -> None:
    """Arm the kernel's gate for one run."""
    if mode is LiveMode.DRY_RUN:
        return
    if confirmation is None:
        kernel.arm(mode, who=who, why=f"run of the plan {plan.id}")
    else:
        kernel.arm(mode, who=confirmation.by, why=confirmation.reason)


def ended(error: ExecutionError | ArtemisEscalationError, *more: str) -> RunOutcome:
    """Return the outcome of a run that was stopped; one without a record never began, so its error is raised.

    `more` are notes beside those that the error has.
    """
    if error.execution_record is None:
        raise error
    return RunOutcome(record=error.execution_record, error=error, notes=(*getattr(error, "__notes__", ()), *more))
