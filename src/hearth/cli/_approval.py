"""Which approval a live run uses: one that was given, or one's own, given here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hearth.cli._confirm import confirm
from hearth.cli._keygen import ask_passphrase, key_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._settings import Settings
    from hearth.ledger import LedgerHome
    from hearth.operations import Confirmation, TrustedAs
    from hearth.plan import Plan

__all__ = ["Chosen", "approval_options", "choose_approval"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The request whose approval a live run uses, or the confirmation that a run in staging may have."""

    request_id: str | None = None
    confirmation: Confirmation | None = None


def approval_options(function: _Function) -> _Function:
    """Give a command --approval, --key and --emergency."""
    function = click.option(
        "--emergency",
        is_flag=True,
        help="Break the glass: run live now, on your own emergency key; needs --reason, and a review afterwards.",
    )(function)
    function = key_option(function)
    return click.option(
        "--approval", "request_id", metavar="REQUEST", help="The approval to use; else any that holds."
    )(function)


def choose_approval(
    settings: Settings,
    home: LedgerHome,
    plan: Plan,
    mode: Any,  # noqa: ANN401 - a LiveMode, which is not loaded for --help
    *,
    yes: bool,
    reason: str | None,
    request_id: str | None,
    key: str | None,
    emergency: bool,
) -> Chosen:
    """Find the approval of a live run, or have the person at the terminal give it, where the policy lets them.

    Where there is none, the run itself refuses, and says what is missing.
    """
    from hearth.operations import Confirmation, person
    from hearth.security import LiveMode

    if mode is not LiveMode.LIVE:
        if emergency or request_id:
            raise click.UsageError("--emergency and --approval are for --mode live")
        if mode is LiveMode.STAGING and reason and reason.strip():
            return Chosen(confirmation=Confirmation(by=person(), reason=reason.strip(), interactive=False))
        return Chosen()
    if emergency and request_id:
        raise click.UsageError("--emergency uses no approval that was given before")
    if request_id:
        return Chosen(request_id)
    return Chosen(_own(settings, home, plan, mode, yes=yes, reason=reason, key=key, emergency=emergency))


def _own(
    settings: Settings,
    home: LedgerHome,
    plan: Plan,
    mode: Any,  # noqa: ANN401 - as above
    *,
    yes: bool,
    reason: str | None,
    key: str | None,
    emergency: bool,
) -> str | None:
    """Return an approval that is there, else ask for one's own and give it; None where that is not possible."""
    from hearth.errors import ApprovalRefusedError
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, default_key, load_key, notify_of_request, person, untrusted_key

    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        found = None if emergency else approvals.usable(plan, mode)
        if found is not None:
            return found
        rules = approvals.policy.approvals
        named = key is not None or default_key().exists()
        if not emergency and not (rules.self_approval and named):
            _say_untrusted(settings, home, untrusted_key(home, key) if rules.keys else None)
            return None
        signer: TrustedAs = load_key(home, key, passphrase=ask_passphrase)
        if emergency:
            approvals.require_role(signer, "emergency")  # before anybody is asked, or told, anything
        elif "approver" not in signer.roles:
            _say_untrusted(settings, home, signer if signer.name is None else None)
            return None
        answered = confirm(
            plan, yes=yes, reason=reason, where=str(home.root), screen=lambda: settings.screen(to_stderr=True)
        )
        view = approvals.approve_own(
            plan, signer, requester=person(), reason=answered.reason, mode=mode, emergency=emergency
        )
        screen = settings.screen(to_stderr=True)
        for trouble in notify_of_request(home, "approval", view):
            screen.line((trouble, "yellow"))
        if view.state != "approved":
            raise ApprovalRefusedError(view.why, code=view.state)
        if emergency:
            screen.line(("EMERGENCY: ", "bold red"), f"{signer.name} breaks the glass; this run has to be reviewed.")
        return view.asked.request_id


def _say_untrusted(settings: Settings, home: LedgerHome, signer: TrustedAs | None) -> None:
    """Say that the caller's key is not trusted here: it may be good on every other ledger of theirs."""
    if signer is not None:
        settings.screen(to_stderr=True).line(
            (f"your key {signer.path} is not trusted by {home.policy}; to trust it, add it there: ", "yellow"),
            str(signer.key.public),
        )
