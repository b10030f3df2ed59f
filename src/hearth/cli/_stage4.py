"""The handoff's script `stage4_cli.py`: a plan run without a ledger, its record saved as a file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._confirm import confirm, require_reason
from hearth.cli._finish import finish, print_outcome_json
from hearth.cli._group import end, prepare_streams
from hearth.cli._json import json_option
from hearth.cli._late_signals import LateSignals
from hearth.cli._live import RunDisplay, stopping_notice
from hearth.cli._options import confirmation_options, mode_option, read_variables, var_option
from hearth.cli._settings import Settings
from hearth.security import LiveMode, Policy

if TYPE_CHECKING:
    from hearth.operations import StandaloneOutcome
    from hearth.plan import Plan

__all__ = ["main"]

_FOLDER = "executions"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("plan_file", required=False, type=click.Path(), metavar="[PLAN_FILE]")
@click.option("--test-observation", is_flag=True, help="Run a small real plan in a temporary folder, and record it.")
@mode_option("dry-run")
@var_option
@confirmation_options
@json_option
@click.pass_obj
def _stage4(
    settings: Settings,
    plan_file: str | None,
    *,
    test_observation: bool,
    mode: str,
    variables: tuple[str, ...],
    yes: bool,
    reason: str | None,
    as_json: bool,
) -> int:
    """Run a plan through Stage 4 without a ledger; its record is saved in executions/, in the current folder.

    A dry run, which acts on nothing, unless --mode says otherwise. `hearth run` keeps records in a ledger instead.
    """
    require_reason(yes=yes, reason=reason)
    if (plan_file is None) != test_observation:
        raise click.UsageError("name a PLAN_FILE, or give --test-observation")
    if plan_file is None:
        outcome = _observe(settings)
    else:
        from hearth.operations import installed_tasks
        from hearth.plan import load_plan

        plan = load_plan(plan_file, variables=read_variables(variables), tasks=installed_tasks())
        live_mode = LiveMode(mode.upper().replace("-", "_"))
        where = str(Path(_FOLDER).absolute())
        confirmation = None
        if live_mode is LiveMode.LIVE:
            # Without a ledger there is no policy and nobody to approve: the record says who confirmed it.
            confirmation = confirm(
                plan, yes=yes, reason=reason, where=where, screen=lambda: settings.screen(to_stderr=True)
            )
        outcome = _run(settings, plan, mode=live_mode, confirmation=confirmation)
    if as_json:
        print_outcome_json(outcome, str(outcome.path))
    return finish(settings.screen(), outcome, where=str(outcome.path))


def _observe(settings: Settings) -> StandaloneOutcome:
    """Run the small plan for real, on nothing but a folder of its own."""
    from glob import escape

    from hearth.operations import observation_plan

    with tempfile.TemporaryDirectory(prefix="hearth-observation-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        # STAGING acts on what a policy lists: here on this folder, and on what the plan makes in it.
        own = escape(str(folder))
        policy = Policy((f"host:*:{own}", f"file:{own}/*", f"sql:sqlite:///{own}/readings.db"), "the test's own policy")
        return _run(settings, observation_plan(folder), mode=LiveMode.STAGING, policy=policy)


def _run(settings: Settings, plan: Plan, *, mode: LiveMode, **options: Any) -> StandaloneOutcome:
    from hearth.operations import run_standalone

    screen = settings.screen()
    display = RunDisplay(screen, mode)
    try:
        with LateSignals(keeps=settings.ends_process) as late, stopping_notice(screen, late):
            listener = late.told_by(display)
            return run_standalone(plan, folder=_FOLDER, mode=mode, listener=listener, **options)
    finally:
        display.close()


def main() -> None:
    """Run the script's command line; ends the process with `hearth`'s exit codes."""
    prepare_streams()
    settings, given = Settings(ends_process=True, command="run"), sys.argv[1:]
    end(lambda: _stage4.main(given, prog_name="stage4_cli.py", standalone_mode=False, obj=settings), settings, given)
