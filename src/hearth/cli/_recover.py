"""`hearth recover`: seal what a killed process left, store what was not stored, refuse what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import EXECUTION

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["recover"]

_WORDS = {
    "undone": ("taken back", "yellow"),
    "finished": ("finished", "green"),
    "conflict": ("CONFLICT", "bold red"),
    "recovered": ("recovered", "green"),
    "stored": ("stored", "green"),
    "known": ("nothing to do", "dim"),
    "empty": ("empty", "yellow"),
    "running": ("running", "cyan"),
    "damaged": ("DAMAGED", "bold red"),
    "failed": ("failed", "red"),
}


@click.command()
@click.argument("execution", required=False, type=EXECUTION, metavar="[ID]")
@json_option
@click.pass_obj
def recover(settings: Settings, execution: str | None, *, as_json: bool) -> int:
    """Seal what a killed process left behind as INCOMPLETE, and store it; without ID, everything.

    What runs is left alone. A journal that is damaged before its end is put into quarantine, never sealed over; then
    the exit code is 5.
    """
    from hearth.operations import recover as recover_journals

    with settings.records() as records:
        outcomes = recover_journals(records, execution)
    if as_json:
        print_json(
            {"ok": all(outcome.ok for outcome in outcomes), "journals": [outcome.to_dict() for outcome in outcomes]}
        )
    else:
        screen = settings.screen()
        for outcome in outcomes:
            word, style = _WORDS[outcome.outcome]
            screen.line((word, style), f"  {outcome.execution_id or outcome.journal.name}: {outcome.message}")
            if outcome.kept is not None:
                screen.line(("the original is kept: ", "dim"), str(outcome.kept), indent=2)
        if not outcomes:
            screen.line("nothing to recover")
    if any(outcome.outcome == "damaged" for outcome in outcomes):
        return Exit.NOT_VERIFIED
    return Exit.DONE if all(outcome.ok for outcome in outcomes) else Exit.FAILED
