"""`hearth export`: a record as JSON, for whoever is to check or keep it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import print_bytes
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["export"]


@click.command()
@execution_argument
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write there instead of to stdout."
)
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@click.option("--indent", is_flag=True, help="For reading; hashes hold all the same.")
@click.option("--disclose", is_flag=True, help="With the values that the plan marks as disclosable.")
@click.pass_obj
def export(settings: Settings, execution: str, output: str | None, *, force: bool, indent: bool, disclose: bool) -> int:
    """Write a record as JSON, for others to check: `hearth verify FILE` needs nothing but the file.

    A record that does not hold is exported all the same, as evidence; the exit code is 5 then.
    """
    from hearth.operations import UNSEALED, export_record, verify_found, write_file

    if output not in (None, "-") and os.path.lexists(str(output)) and not force:
        raise click.UsageError(f"{output} is there already; name another file, or give --force to replace it")
    with settings.records() as records:
        found = records.find(execution)
        data = export_record(records, found, indent=indent, disclose=disclose)
        verdict = verify_found(records, found).verdict
    if output is None or output == "-":
        print_bytes(data)
    else:
        write_file(output, data)
        from hearth.cli._text import bytes_text

        out = settings.screen()
        out.line(
            (f"{out.symbols.done} ", "green"),
            f"{found.execution_id} {out.symbols.arrow} {output}  ",
            (bytes_text(len(data)), "dim"),
        )
    screen = settings.screen(to_stderr=True)
    if verdict.ok or verdict.why == UNSEALED:
        if not verdict.ok:
            screen.line(("note: the record is not sealed: its execution is under way, or was killed", "yellow"))
        return Exit.DONE
    screen.line(("NOT VERIFIED: ", "bold red"), verdict.why)
    return Exit.NOT_VERIFIED
