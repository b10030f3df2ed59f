"""`hearth run`: run a plan and record it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hearth.cli._confirm import confirm, require_reason
from hearth.cli._json import json_option
from hearth.cli._options import confirmation_options, id_option, mode_option, plan_argument, read_variables, var_option

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.operations import Confirmation
    from hearth.plan import Plan

__all__ = ["choose_confirmation", "run"]


@click.command()
@plan_argument
@mode_option("dry-run")
@var_option
@confirmation_options
@id_option
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
    execution_id: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a plan and record it; a dry run, which acts on nothing, unless --mode says otherwise.

    A live run shows the plan and asks for a confirmation; without a terminal it needs --yes and --reason. Ctrl-C stops
    the run and seals its record.
    """
    require_reason(yes=yes, reason=reason)
    values = read_variables(variables)
    from hearth.cli._finish import finish, print_outcome_json
    from hearth.cli._live import RunDisplay, stopping_notice
    from hearth.operations import run_plan
    from hearth.plan import load_plan
    from hearth.security import LiveMode

    live_mode = LiveMode(mode.upper().replace("-", "_"))
    home = settings.find_home()
    plan: Plan = load_plan(plan_file, variables=values)
    confirmation = choose_confirmation(settings, plan, live_mode, yes=yes, reason=reason, where=str(home.root))
    screen = settings.screen(to_stderr=quiet)
    display = None if quiet else RunDisplay(screen, live_mode)
    try:
        with stopping_notice(screen):
            outcome = run_plan(
                plan,
                home=home,
                mode=live_mode,
                confirmation=confirmation,
                execution_id=execution_id,
                listener=display,
            )
    finally:
        if display is not None:
            display.close()
    if as_json:
        print_outcome_json(outcome, str(home.root))
    elif quiet:
        click.echo(outcome.record.execution_id)
    return finish(None if quiet else screen, outcome, where=f"the ledger {home.root}")


def choose_confirmation(
    settings: Settings,
    plan: Plan,
    mode: Any,  # noqa: ANN401 - a LiveMode, which is not loaded for --help
    *,
    yes: bool,
    reason: str | None,
    where: str,
) -> Confirmation | None:
    """Return the confirmation that a live run needs, and that a run in staging may have; None for a dry run."""
    from hearth.operations import Confirmation, person
    from hearth.security import LiveMode

    if mode is LiveMode.LIVE:
        # On stderr: what stdout is for, a question is not part of.
        return confirm(plan, yes=yes, reason=reason, where=where, screen=lambda: settings.screen(to_stderr=True))
    if mode is LiveMode.STAGING and reason and reason.strip():
        return Confirmation(by=person(), reason=reason.strip(), interactive=False)
    return None
