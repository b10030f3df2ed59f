"""`hearth init`: make a ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["init"]


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@json_option
@click.pass_obj
def init(settings: Settings, folder: str | None, *, as_json: bool) -> None:
    """Make a ledger here, where records will be kept.

    It is the folder .hearth in FOLDER (or in the current folder), readable by its owner alone; --home or HEARTH_HOME
    name another place. A ledger that is there already is left as it is.
    """
    from hearth.ledger import HOME_NAME, HOME_VARIABLE
    from hearth.operations import initialise

    named = settings.home or os.environ.get(HOME_VARIABLE)
    if folder is not None and settings.home is not None:
        raise click.UsageError("FOLDER and --home both say where: give one of them")
    place = Path(named) if named and folder is None else Path(folder or ".") / HOME_NAME
    made = initialise(place)
    if as_json:
        print_json({"home": str(made.home.root), "ledger_id": made.ledger_id, "created": made.created})
        return
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        "made the ledger " if made.created else "there is a ledger already: ",
        (str(made.home.root), "bold"),
    )
    if made.created:
        screen.line(("next: hearth run PLAN (a dry run); for live runs first: hearth keygen --trust", "dim"), indent=2)
