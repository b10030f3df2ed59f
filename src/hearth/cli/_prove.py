"""`hearth prove`: a proof that the log has a record, for whoever holds the log's public key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._json import json_option, print_bytes, print_json
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["prove"]


@click.command()
@execution_argument
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write there; else ID.tlog-proof here."
)
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@json_option
@click.pass_obj
def prove(settings: Settings, execution: str, *, output: str | None, force: bool, as_json: bool) -> None:
    """Write a proof that the transparency log has this record (C2SP tlog-proof); `-o -` prints it.

    With the exported record and the log's key, `hearth verify RECORD --proof FILE --log-key VKEY` checks it without the
    ledger and without network.
    """
    from hearth.operations import prove_execution, write_file
    from hearth.record import percent_encode

    home = settings.find_home()
    with settings.records() as records:
        execution_id = records.find(execution).execution_id
    target = output or f"{percent_encode(execution_id)}.tlog-proof"
    if target != "-" and os.path.lexists(target) and not force:
        raise click.UsageError(f"{target} is there already; name another file, or give --force to replace it")
    _, proof = prove_execution(home, execution_id)
    if target == "-":
        print_bytes(proof.to_bytes())
        return
    write_file(Path(target), proof.to_bytes())
    if as_json:
        print_json({"execution_id": execution_id, "index": proof.index, "file": target})
        return
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        f"{execution_id} {screen.symbols.arrow} {target}  ",
        (f"leaf {proof.index}", "dim"),
    )
