"""Telling a ledger's hooks of what happens outside a run, and trying them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError
from hearth.execution import HookTrial, Notifier, PolicyFile, load_policy, try_hooks
from hearth.security import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.ledger import LedgerHome
    from hearth.operations._approval_view import ApprovalView

__all__ = ["notify", "notify_of_request", "probe_hooks"]


def notify(home: LedgerHome, event: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Tell the hooks of the ledger's policy of `event` (one of `EVENTS`); wait for them at most five seconds.

    `payload` is what stands in the notice beside its own fields: `ledger_id`, `execution_id`, `plan_id`, `status`,
    `reason` where there are such. Returns what went wrong, a line for each trouble of a hook; raises nothing for it,
    for what is told of has happened. Who has an open kernel calls its `notify`, which does not wait.
    """
    notifier = Notifier(PolicyFile(home.policy).load)
    notifier.send(event, payload)
    return notifier.settle()


def notify_of_request(home: LedgerHome, event: str, view: ApprovalView) -> tuple[str, ...]:
    """Tell the hooks of `request`, `approval` or `denial`; returns what went wrong, as `notify` does."""
    asked = view.asked
    last = view.decisions[-1] if view.decisions and event != "request" else None
    return notify(
        home,
        event,
        {
            "ledger_id": asked.ledger_id,
            "request_id": asked.request_id,
            "plan_id": asked.plan_id,
            "plan_digest": asked.plan_digest,
            "status": view.state,
            "emergency": asked.emergency,
            "who": asked.requester if last is None else last.approver,
            "reason": asked.reason if last is None else last.reason,
        },
    )


def probe_hooks(home: LedgerHome, event: str | None = None) -> tuple[HookTrial, ...]:
    """Send a test to every hook of the policy, or to those that ask for `event`, and return what became of it.

    Raises GateRefusedError for a policy that cannot be read, and where no hook would be told.
    """
    policy = load_policy(home.policy)
    trials = try_hooks(policy, event, facts={})
    if not trials:
        of = f" of {event}" if event else ""
        raise GateRefusedError(
            f"{policy.source} names nobody under `notify:` who is told{of}; "
            f"a hook needs `on:` with some of {', '.join(EVENTS)}"
        )
    return trials
