"""`hearth backup`, and what `hearth restore FILE` does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["backup", "restore_file"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="FILE")
@json_option
@click.pass_obj
def backup(settings: Settings, *, file: str, as_json: bool) -> None:
    """Copy a ledger, in use or not, into one new file, and read that again to check it.

    In it are the records, approvals and postures, outputs, plans, the policy, the transparency log, and the whole lines
    of journals under way. It holds all that the ledger holds, so only its owner can read it; signing keys, also that of
    the log, are not in it: keep copies of them.
    """
    from hearth.cli._fsck import progress_lines
    from hearth.cli._text import bytes_text
    from hearth.operations import back_up

    done = back_up(settings.find_home(), file, progress=progress_lines(settings.screen(to_stderr=True)))
    if as_json:
        print_json(done.to_dict())
        return
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        f"backed up {done.members} files {screen.symbols.arrow} {file}  ",
        (bytes_text(done.size), "dim"),
    )
    screen.line(("sha256  ", "dim"), done.sha256, indent=2)


def restore_file(settings: Settings, file: str, into: str | None, *, as_json: bool) -> int:
    """Restore a backup, and return the exit code: 5 when what was backed up was damaged already."""
    from hearth.cli._fsck import print_report, progress_lines
    from hearth.ledger import HOME_NAME, HOME_VARIABLE
    from hearth.operations import restore_backup

    named = into or settings.home or os.environ.get(HOME_VARIABLE)
    folder = Path(named) if named else Path(HOME_NAME)
    done = restore_backup(file, folder, progress=progress_lines(settings.screen(to_stderr=True)))
    if as_json:
        print_json(done.to_dict())
    else:
        screen = settings.screen()
        screen.line((f"{screen.symbols.done} ", "green"), f"restored {done.members} files into {done.home.root}")
        print_report(screen, done.report)
        for note in done.notes:
            screen.line((f"note: {note}", "yellow"), indent=2)
    return Exit.NOT_VERIFIED if done.report.damaged else Exit.DONE
