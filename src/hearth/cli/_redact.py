"""`hearth redact`: erase disclosed values of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._json import json_option, print_json
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["redact"]


@click.command()
@execution_argument
@click.option(
    "--path",
    "paths",
    multiple=True,
    required=True,
    metavar="PATTERN",
    help="Where: a pointer within an entry (/details/customer), or 3/details/customer; * is anything; repeatable.",
)
@click.option("--reason", metavar="TEXT", help="Why; kept with what was erased.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be erased.")
@click.option("--yes", is_flag=True, help="Erase without a question.")
@json_option
@click.pass_obj
def redact(
    settings: Settings,
    execution: str,
    *,
    paths: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase disclosed values of a record for good; every hash still holds.

    What the plan marks as disclosable is kept beside the record with its salt. Erasing both leaves a commitment that
    nobody can open. The ledger, its log and exports say what was erased, when, by whom and why. Exported copies and
    backups are not reached.
    """
    from hearth.cli._text import count
    from hearth.operations import path_of
    from hearth.operations import redact as erase

    home = settings.find_home()
    with settings.records() as records:
        execution_id = records.find(execution).execution_id
    found = erase(home, execution_id, paths, reason=reason or "", dry_run=True)
    if not dry_run:
        if not yes:
            named = ", ".join(path_of(one) for one in found.erased)
            click.confirm(f"Erase {named} of {execution_id}, for good?", abort=True, err=True)
        found = erase(home, execution_id, paths, reason=reason or "")
    if as_json:
        print_json(found.to_dict())
        return
    screen = settings.screen()
    what = count(len(found.erased), "disclosed value")
    if dry_run:
        screen.line(f"would erase {what} of {found.execution_id}")
    else:
        screen.line((f"{screen.symbols.done} ", "green"), f"erased {what} of {found.execution_id}")
    for one in found.erased:
        screen.line(path_of(one), indent=2)
    if not dry_run and not found.emptied:
        screen.line(
            (
                "bytes of it may be in the database's files, in use or without room, until `hearth fsck --repair` runs",
                "yellow",
            ),
            indent=2,
        )
