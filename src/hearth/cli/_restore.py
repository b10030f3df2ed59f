"""`hearth restore`: a backup into a new folder, or the posture to a better one."""

from __future__ import annotations

import click

from hearth.cli._json import json_option
from hearth.cli._keygen import key_option
from hearth.cli._settings import Settings

__all__ = ["restore"]


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False), metavar="[FILE]")
@click.option("--into", type=click.Path(file_okay=False), metavar="FOLDER", help="Restore FILE as this ledger folder.")
@click.option("--reason", metavar="TEXT", help="Without FILE: why it is safe to go on; recorded and signed.")
@click.option(
    "--to", "name", metavar="STATE", help="Without FILE: restore only this part, and only so far; else both, wholly."
)
@click.option("--boundary", is_flag=True, help="Without FILE: COMPROMISED means the boundary state.")
@key_option
@json_option
@click.pass_context
def restore(
    context: click.Context,
    *,
    file: str | None,
    into: str | None,
    reason: str | None,
    name: str | None,
    boundary: bool,
    key: str | None,
    as_json: bool,
) -> int | None:
    """Return to a better posture, or restore a backup.

    Without FILE it is the posture, by an operator's signed act: not while a run is under way, and with a key that the
    policy trusts with the role operator. A backup goes into an empty or a new folder only, --into or else the ledger's
    usual place, and is checked while it is read and by fsck.
    """
    if file is not None:
        if boundary or any(value is not None for value in (reason, name, key)):
            raise click.UsageError("FILE restores a backup; --reason, --to, --boundary and --key restore the posture")
        from hearth.cli._backup import restore_file

        return restore_file(context.ensure_object(Settings), file, into, as_json=as_json)
    if into is not None:
        raise click.UsageError("--into goes with FILE, a backup")
    if reason is None:
        raise click.UsageError("name a backup FILE, or give --reason TEXT to restore the posture")
    from hearth.cli._state import restore as restore_posture

    context.invoke(restore_posture, reason=reason, name=name, boundary=boundary, key=key, as_json=as_json)
    return None
