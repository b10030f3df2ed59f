"""`hearth timestamp`: have a log's checkpoint stamped by an authority (RFC 3161), and check a stamp offline."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.evidence import Note, NoteKey

__all__ = ["AUTHORITY_VARIABLE", "timestamp"]

AUTHORITY_VARIABLE = "HEARTH_TIMESTAMP_AUTHORITY"
_LARGEST = 1 << 20


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--url", envvar=AUTHORITY_VARIABLE, help=f"The authority that is asked; else {AUTHORITY_VARIABLE}.")
@click.option(
    "--root",
    "roots",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Certificates (PEM) that are trusted for it; repeatable.",
)
@click.option("--signer", metavar="FILE", help="The authority's own certificate, where its answers do not bring it.")
@click.option("--verify", "stamp", metavar="FILE", help="Check this stamp instead of asking for one; needs no network.")
@click.option("--log", "log_key", metavar="VKEY", help="The log's verifier key: its own signature has to hold, too.")
@click.option("-o", "--output", metavar="FILE", help="Where the stamp goes; else ./checkpoint.SIZE.tsr.")
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@json_option
@click.pass_obj
def timestamp(
    settings: Settings,
    checkpoint: str,
    *,
    url: str | None,
    roots: tuple[str, ...],
    signer: str | None,
    stamp: str | None,
    log_key: str | None,
    output: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Have a log's checkpoint stamped by an authority, or check a stamp (RFC 3161).

    CHECKPOINT is a file, as the log publishes it. The stamp says that the log was so far at that time, by somebody
    else's clock and key. It is verified before it is written; exit code 5 when something does not hold.
    """
    from hearth.evidence import Checkpoint, Note, NoteKey, request_timestamp, timestamp_name, verify_timestamp
    from hearth.operations import write_file
    from hearth.record import format_time

    if find_spec("rfc3161_client") is None:
        raise click.UsageError(
            "hearth timestamp needs the package rfc3161-client: pip install 'hearth-recorder[timestamps]' brings it"
        )
    if stamp is not None and (output is not None or force):
        raise click.UsageError("--verify FILE writes nothing: give no --output and no --force with it")
    if stamp is None and not url:
        raise click.UsageError(
            f"name the authority with --url (or {AUTHORITY_VARIABLE}), or a stamp with --verify FILE"
        )
    note = Note.parse(_read(checkpoint))
    if log_key is not None:
        _require_signed(note, NoteKey.parse(log_key))
    trusted = b"\n".join(map(_read, roots))
    own = None if signer is None else _read(signer)
    if stamp is None:
        stamp = output or timestamp_name(note)
        if os.path.lexists(stamp) and not force:
            raise click.UsageError(f"{stamp} is there already; name another file, or give --force to replace it")
        write_file(stamp, request_timestamp(note, str(url), roots=trusted, signer=own))
    told = verify_timestamp(_read(stamp), note, roots=trusted, signer=own)
    log = Checkpoint.parse(note.text)
    if as_json:
        print_json(
            {
                "ok": True,
                "origin": log.origin,
                "size": log.size,
                "time": format_time(told.time),
                "authority": told.authority,
                "file": stamp,
                "log_signature_checked": log_key is not None,
            }
        )
        return Exit.DONE
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"), f"{log.origin}, size {log.size}  ", ("stamped ", "green"), str(told)
    )
    screen.line(("stamp ", "dim"), stamp, indent=2)
    if log_key is None:
        screen.line(("note: the log's own signature was not checked; give its key with --log VKEY", "yellow"), indent=2)
    return Exit.DONE


def _require_signed(note: Note, key: NoteKey) -> None:
    from hearth.errors import EvidenceError

    if not note.verified_by([key]):
        raise EvidenceError(f"the checkpoint is not signed by {key}")


def _read(path: str) -> bytes:
    from hearth.errors import LedgerError

    try:
        with Path(path).open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
