"""`hearth export`: a record as JSON, or in a signed envelope, for whoever is to check or keep it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import print_bytes
from hearth.cli._keygen import ask_passphrase
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.operations import Found, Records, TrustedAs

__all__ = ["export"]


@click.command()
@execution_argument
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write there instead of to stdout."
)
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@click.option("--indent", is_flag=True, help="For reading; hashes hold all the same.")
@click.option("--disclose", is_flag=True, help="With the values that the plan marks as disclosable.")
@click.option("--dsse", is_flag=True, help="Sign it: a DSSE envelope over an in-toto statement with the record in it.")
@click.option("--detached", is_flag=True, help="With --dsse: only the record's digests; it is kept beside.")
@click.option(
    "--key",
    metavar="FILE",
    help="With --dsse: the key that signs; else HEARTH_KEY, else the user's own (hearth keygen).",
)
@click.pass_obj
def export(
    settings: Settings,
    execution: str,
    output: str | None,
    *,
    force: bool,
    indent: bool,
    disclose: bool,
    dsse: bool,
    detached: bool,
    key: str | None,
) -> int:
    """Write a record as JSON, for others to check: `hearth verify FILE` needs nothing but the file.

    A record that does not hold is exported all the same, as evidence; the exit code is 5 then. With --dsse it is not:
    only a sealed record that holds is signed. `hearth verify FILE --key PUBLIC` checks what was signed.
    """
    if output not in (None, "-") and os.path.lexists(str(output)) and not force:
        raise click.UsageError(f"{output} is there already; name another file, or give --force to replace it")
    if not dsse and (detached or key is not None):
        raise click.UsageError("--detached and --key are for a signed export: give --dsse, too")
    if dsse and (indent or disclose):
        raise click.UsageError("what is signed is canonical and without disclosed values: no --indent or --disclose")
    with settings.records() as records:
        found = records.find(execution)
        if dsse:
            return _signed(settings, records, found, output, key=key, detached=detached)
        return _plain(settings, records, found, output, indent=indent, disclose=disclose)


def _plain(
    settings: Settings, records: Records, found: Found, output: str | None, *, indent: bool, disclose: bool
) -> int:
    from hearth.operations import UNSEALED, export_record, verify_found

    data = export_record(records, found, indent=indent, disclose=disclose)
    verdict = verify_found(records, found).verdict
    _write(settings, found, output, data)
    screen = settings.screen(to_stderr=True)
    if verdict.ok or verdict.why == UNSEALED:
        if not verdict.ok:
            screen.line(("note: the record is not sealed: its execution is under way, or was killed", "yellow"))
        return Exit.DONE
    screen.line(("NOT VERIFIED: ", "bold red"), verdict.why)
    return Exit.NOT_VERIFIED


def _signed(
    settings: Settings, records: Records, found: Found, output: str | None, *, key: str | None, detached: bool
) -> int:
    from hearth.operations import export_envelope, load_key

    signer = load_key(records.home, key, passphrase=ask_passphrase)
    data = export_envelope(records, found, signer.key, detached=detached)
    _write(settings, found, output, data, signer)
    return Exit.DONE


def _write(settings: Settings, found: Found, output: str | None, data: bytes, signer: TrustedAs | None = None) -> None:
    from hearth.cli._text import bytes_text
    from hearth.operations import write_file

    if output is None or output == "-":
        print_bytes(data)
        return
    write_file(output, data)
    out = settings.screen()
    out.line(
        (f"{out.symbols.done} ", "green"),
        f"{found.execution_id} {out.symbols.arrow} {output}  ",
        (bytes_text(len(data)), "dim"),
    )
    if signer is not None:
        known = f", {signer.name} in this ledger's policy" if signer.name is not None else ""
        out.line(("signed by ", "dim"), f"{signer.key.public}{known}", indent=2)
