"""`hearth run`: run a plan and record it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from hearth.cli._approval import approval_options, choose_approval
from hearth.cli._confirm import require_reason
from hearth.cli._json import json_option
from hearth.cli._options import confirmation_options, id_option, mode_option, plan_argument, read_variables, var_option

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.execution import RunListener
    from hearth.plan import Plan

__all__ = ["run"]


@click.command()
@plan_argument
@mode_option("dry-run")
@var_option
@confirmation_options
@approval_options
@id_option
@click.option(
    "--sandbox/--in-place",
    "sandbox",
    default=None,
    help="Run the steps in sandboxes, or on the host; else a dry run previews, a live one does as its approval says.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the execution's id, and errors.")
@json_option
@click.pass_obj
def run(
    settings: Settings,
    plan_file: str,
    mode: str,
    variables: tuple[str, ...],
    *,
    yes: bool,
    reason: str | None,
    request_id: str | None,
    key: str | None,
    emergency: bool,
    execution_id: str | None,
    sandbox: bool | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a plan and record it; a dry run, which acts on nothing, unless --mode says otherwise.

    A live run uses up a signed approval (hearth request, hearth approve). Where the policy lets your own count, it
    shows you the plan and asks you to approve it here; without a terminal that needs --yes and --reason. Ctrl-C stops
    the run and seals its record.

    In a dry run the steps really run, in sandboxes, and all they do is thrown away; where that could act on something
    (a step that asks for the network) or no sandbox can be made, they are only checked, as with --in-place. In a live
    run with --sandbox each step's changes are looked at first: what the plan does not declare, or a preview that was
    approved did not show, stops the run with the host unchanged.
    """
    require_reason(yes=yes, reason=reason, emergency=emergency)
    values = read_variables(variables)
    from hearth.cli._finish import finish, print_outcome_json
    from hearth.cli._late_signals import LateSignals
    from hearth.cli._live import RunDisplay, ToldAtTheEnd, stopping_notice
    from hearth.operations import run_plan
    from hearth.plan import load_plan
    from hearth.security import LiveMode

    live_mode = LiveMode(mode.upper().replace("-", "_"))
    home = settings.find_home()
    plan: Plan = load_plan(plan_file, variables=values)
    approval = choose_approval(
        settings,
        home,
        plan,
        live_mode,
        yes=yes,
        reason=reason,
        request_id=request_id,
        key=key,
        emergency=emergency,
    )
    screen = settings.screen(to_stderr=quiet)
    display = None if quiet else RunDisplay(screen, live_mode, settings.told)
    try:
        with LateSignals(keeps=settings.ends_process) as late, stopping_notice(screen, late):
            outcome = run_plan(
                plan,
                home=home,
                mode=live_mode,
                confirmation=approval.confirmation,
                request_id=approval.request_id,
                execution_id=execution_id,
                listener=late.told_by(display or cast("RunListener", ToldAtTheEnd(settings.told))),
                sandbox=sandbox,
            )
    finally:
        if display is not None:
            display.close()
    if as_json:
        print_outcome_json(outcome, str(home.root))
    elif quiet:
        from hearth._visible import visible

        name = outcome.record.execution_id
        click.echo(visible(name) if sys.stdout.isatty() else name)
    return finish(None if quiet else screen, outcome, where=f"the ledger {home.root}")
