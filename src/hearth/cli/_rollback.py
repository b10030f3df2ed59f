"""`hearth rollback`: how an execution can be taken back. It runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["rollback"]


@click.command()
@execution_argument
@json_option
@click.pass_obj
def rollback(settings: Settings, execution: str, *, as_json: bool) -> int:
    """Show how an execution can be taken back: the plan's hints, the last step first. Nothing is run."""
    from hearth.operations import plan_rollback

    with settings.records() as records:
        found = records.find(execution)
        report = plan_rollback(records, found)
        use = records.ledger.approvals.use_by(found.execution_id)
    emergency = use is not None and use.emergency
    if as_json:
        print_json({**report.to_dict(), "emergency": emergency})
    else:
        screen = settings.screen()
        if emergency:
            screen.line(("EMERGENCY: the glass was broken for this run", "bold red"))
        screen.lines(report.scaffold.to_summary())
    return Exit.DONE if report.holds else Exit.NOT_VERIFIED
