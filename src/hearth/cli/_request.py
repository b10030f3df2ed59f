"""`hearth request` and `hearth approvals`: asking for an approval, and seeing how the requests stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._keygen import ask_passphrase, key_option
from hearth.cli._options import plan_argument, read_variables, var_option

if TYPE_CHECKING:
    from hearth.cli._screen import Part, Screen
    from hearth.cli._settings import Settings
    from hearth.ledger import LedgerHome
    from hearth.operations import ApprovalView
    from hearth.plan import Plan

__all__ = ["STATES", "approvals", "print_request", "request"]

STATES = {
    "approved": "green",
    "waiting": "yellow",
    "untrusted": "yellow",
    "not_yet": "yellow",
    "spent": "dim",
    "expired": "dim",
    "denied": "red",
    "damaged": "bold red",
}
_WORDS = {"waiting": "waits for approval"}
_OPEN = ("approved", "waiting", "untrusted", "not_yet")


@click.command()
@plan_argument
@var_option
@click.option("--reason", metavar="TEXT", required=True, help="Why it is to run; the approvers see it.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Where it may run; repeatable; here by default.")
@click.option("--preview", "with_preview", is_flag=True, help="Preview it first; the approval is bound to what it did.")
@click.option("--valid-for", metavar="TIME", help="How long the approval may be used: 30m, 8h, 2d.")
@key_option
@json_option
@click.pass_obj
def request(
    settings: Settings,
    plan_file: str,
    variables: tuple[str, ...],
    *,
    reason: str,
    hosts: tuple[str, ...],
    with_preview: bool,
    valid_for: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Ask for an approval of one live run of a plan, exactly as it is now.

    The plan and its inputs are kept, so that approvers can read them. One approval is one run. With --preview, or where
    the policy demands it, its steps are run in sandboxes first; the approvers see what they did, and the live run is
    held to it: what turns out otherwise is not committed.
    """
    values = read_variables(variables)
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, load_key, notify_of_request, person
    from hearth.plan import load_plan
    from hearth.security import duration

    seconds = None
    if valid_for is not None:
        seconds = duration(valid_for)
        if seconds is None:
            raise click.UsageError(f"--valid-for {valid_for!r} is no time such as 30m, 8h or 2d")
    home = settings.find_home()
    plan = load_plan(plan_file, variables=values)
    signer = load_key(home, key, passphrase=ask_passphrase)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        digest = (
            _previewed(settings, home, plan) if with_preview or approvals.policy.approvals.require_preview else None
        )
        view = approvals.request(
            plan,
            signer,
            requester=person(),
            reason=reason,
            hosts=hosts,
            valid_for=seconds,
            preview_digest=digest,
        )
    troubles = notify_of_request(home, "request", view)
    if as_json:
        print_json({**view.to_dict(), "notes": list(troubles)})
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), "asked for an approval: ", (view.asked.request_id, "bold"))
    print_request(screen, view)
    for trouble in troubles:
        screen.line((trouble, "yellow"), indent=2)
    screen.line((f"next: hearth approve {view.asked.request_id}", "dim"), indent=2)


def _previewed(settings: Settings, home: LedgerHome, plan: Plan) -> str:
    """Preview the plan and keep the manifest; return its digest. What failed or is undeclared is not asked for."""
    from hearth.cli._preview_display import preview_display
    from hearth.operations import keep_manifest, preview_in_sandbox

    with preview_display(settings) as display:
        outcome = preview_in_sandbox(plan, home=home, listener=display)
    if outcome.error is not None:
        outcome.error.add_note("nothing was asked for: what fails in its preview is not worth an approval")
        raise outcome.error
    outcome.require_declared()
    return keep_manifest(home, outcome.manifest)


@click.command()
@click.argument("request_id", required=False, metavar="[REQUEST]")
@click.option("--plan", metavar="ID", help="Only requests for this plan.")
@click.option("--open", "only_open", is_flag=True, help="Only those that wait for an approval, or may be used.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most so many."
)
@json_option
@click.pass_obj
def approvals(
    settings: Settings, request_id: str | None, *, plan: str | None, only_open: bool, limit: int, as_json: bool
) -> int:
    """List approval requests and how they stand, the latest first; or show one.

    Ends with 5 when one of them, or something that was decided on it, is damaged.
    """
    from hearth.cli._list import print_unreviewed
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, emergency_runs

    home = settings.find_home()
    unreadable: list[str] = []
    with Ledger.open(home) as ledger:
        known = Approvals(home, ledger)
        if request_id:
            found = [known.view(request_id)]
        else:
            found = known.listing(plan_id=plan, limit=limit, unreadable=unreadable)
        waiting = [name for name, reviewed in emergency_runs(home, ledger).items() if not reviewed]
    damaged = unreadable or any(view.state == "damaged" for view in found)
    code = Exit.NOT_VERIFIED if damaged else Exit.DONE
    if only_open:
        found = [view for view in found if view.state in _OPEN]
    if as_json:
        print_json(
            {
                "approvals": [view.to_dict() for view in found],
                "emergencies_without_review": waiting,
                "unreadable": unreadable,
            }
        )
        return code
    screen = settings.screen()
    if request_id:
        print_request(screen, found[0])
    elif not found and not unreadable:
        screen.line("no approval was asked for; `hearth request PLAN` does")
    elif found:
        screen.table(("REQUEST", "PLAN", "MODE", "STATE", "REQUESTER", "EXPIRES"), [_row(view) for view in found])
        unreadable += [f"{view.asked.request_id}: {view.why}" for view in found if view.state == "damaged"]
    for problem in unreadable:
        screen.line((problem, "bold red"))
    print_unreviewed(screen, waiting)
    return code


def _row(view: ApprovalView) -> list[Part]:
    asked = view.asked
    loud = " EMERGENCY" if asked.emergency else ""
    return [
        asked.request_id,
        asked.plan_id,
        asked.mode.value,
        (_WORDS.get(view.state, view.state) + loud, "bold red" if loud else STATES.get(view.state, "red")),
        _named(asked.requester, view.requester_key),
        f"{asked.expires:%Y-%m-%d %H:%M} UTC",
    ]


def print_request(screen: Screen, view: ApprovalView) -> None:
    """Print all that is known of a request."""
    asked = view.asked
    pairs: list[tuple[str, Any]] = [
        ("request", (asked.request_id, "bold")),
        ("plan", [asked.plan_id, (f"  digest {asked.plan_digest}", "dim")]),
        ("by", [_named(asked.requester, view.requester_key), f": {asked.reason}"]),
        ("for", f"one run in {asked.mode} on {', '.join(asked.hosts)}"),
        ("until", f"{asked.expires:%Y-%m-%d %H:%M:%S} UTC"),
        ("bears", f"no worse posture than {asked.worst_posture}"),
        ("state", (_WORDS.get(view.state, view.state), STATES.get(view.state, "red"))),
    ]
    if asked.emergency:
        pairs.insert(1, ("", ("EMERGENCY: the glass was broken; this run has to be reviewed", "bold red")))
    if asked.preview_digest is not None:
        pairs.append(("held to", [f"its preview, manifest {asked.preview_digest}"]))
    if view.why:
        pairs.append(("why", view.why))
    pairs += [
        (
            one.verdict,
            [
                "by ",
                _named(one.approver, key),
                f" at {one.created:%Y-%m-%d %H:%M:%S} UTC" + (f": {one.reason}" if one.reason else ""),
            ],
        )
        for one, key in zip(view.decisions, view.decision_keys, strict=True)
    ]
    screen.pairs(pairs)


def _named(claimed: str, key: str | None) -> Part:
    """Return who signed: the policy's name for the key, and what the paper says where that is another name."""
    if key is None:
        return (f"{claimed}? (no key that the policy knows)", "bold red")
    return claimed if claimed == key else f"{key} (as {claimed})"
