"""`hearth log`: the ledger's transparency log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._cosign import cosign
from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import log_key_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._settings import Settings
    from hearth.operations import LogStatus

__all__ = ["log"]

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def log() -> None:
    """Keep a transparency log of the ledger: what outsiders can check without trusting whoever runs this.

    Each run, approval, change of posture, purge and erasure becomes a leaf of a Merkle tree, whose signed states
    (checkpoints) others can keep and witnesses can cosign.
    """


@log.command("init")
@click.option("--origin", metavar="NAME", help="What the log is called, best a domain and a path; hearth/LEDGER-ID.")
@click.option("--key", type=_FILE, metavar="FILE", help="The log's private key, made where it is not there.")
@click.option("--signed", type=_FILE, metavar="FILE", help="Where to note how far it was signed; best on another disk.")
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Encrypt the new key; runs need it then, too.")
@click.option("--replace", is_flag=True, help="Take the place of a log that is lost for good; the ledger keeps that.")
@json_option
@click.pass_obj
def init(
    settings: Settings,
    *,
    origin: str | None,
    key: Path | None,
    signed: Path | None,
    wants_passphrase: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Make the log of this ledger, with all that is in the ledger by now."""
    from hearth.operations import log_init

    passphrase = _new_passphrase() if wants_passphrase else None
    made = log_init(
        settings.find_home(),
        origin=origin,
        key_file=key,
        signed_file=signed,
        passphrase=passphrase,
        replace=replace,
        progress=_added(settings),
    )
    if as_json:
        print_json(made.to_dict())
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), "made the log ", (made.origin, "bold"))
    _describe(settings, made)
    screen.line("keep the key elsewhere, for whoever is to check the log, and checkpoints of it as well", indent=2)


def _added(settings: Settings) -> Callable[[int], None]:
    """Return a progress for a long backlog, on stderr."""
    from hearth.cli._fsck import progress_lines

    told = progress_lines(settings.screen(to_stderr=True), "added")
    return lambda done: told("leaves", done)


@log.command("status")
@json_option
@click.pass_obj
def status(settings: Settings, *, as_json: bool) -> None:
    """Show how far the log is, its key, who cosigned, and what is not in it yet."""
    from hearth.operations import log_status

    found = log_status(settings.find_home())
    if as_json:
        print_json(found.to_dict())
        return
    settings.screen().line((found.origin, "bold"))
    _describe(settings, found)


@log.command("update")
@json_option
@click.pass_obj
def update(settings: Settings, *, as_json: bool) -> int:
    """Add what is in the ledger and not in the log; runs do this by themselves."""
    from hearth.cli._text import count
    from hearth.operations import log_update

    found = log_update(settings.find_home(), _added(settings))
    if as_json:
        print_json({"added": len(found.added), "size": found.added.stop, "problems": list(found.problems)})
    else:
        screen = settings.screen()
        screen.line((f"{screen.symbols.done} ", "green"), f"{count(len(found.added), 'leaf', 'leaves')} added")
        for problem in found.problems:
            screen.line(("not in the log: ", "bold red"), problem, indent=2)
    return Exit.NOT_VERIFIED if found.problems else Exit.DONE


@log.command("verify")
@click.argument("folder", required=False, type=_FOLDER, metavar="[DIR]")
@log_key_options("--key")
@click.option("--since", type=_FILE, metavar="FILE", help="A checkpoint, proof or dossier that was kept elsewhere.")
@json_option
@click.pass_obj
def verify(
    settings: Settings,
    *,
    folder: Path | None,
    log_keys: tuple[str, ...],
    witnesses: tuple[str, ...],
    quorum: int | None,
    policy: Path | None,
    since: Path | None,
    as_json: bool,
) -> int:
    """Compute the whole log anew, and hold the ledger against it; or check the published log in DIR.

    With --since it is held against an earlier checkpoint, too: only so an old state is seen that was brought back.
    """
    from hearth.cli._fsck import progress_lines
    from hearth.cli._text import count
    from hearth.operations import LogKeys, verify_log

    read = LogKeys.read(log_keys, witnesses, quorum, policy)
    home = settings.find_home() if folder is None else None
    told = progress_lines(settings.screen(to_stderr=True))
    found = verify_log(home, folder=folder, keys=read, since=since, progress=lambda done: told("leaves", done))
    if as_json:
        print_json(found.to_dict())
        return Exit.DONE if found.ok else Exit.NOT_VERIFIED
    screen = settings.screen()
    checkpoint = found.report.checkpoint
    entries = count(checkpoint.size, "leaf", "leaves")
    if found.ok:
        what = "holds" if checkpoint.size == 1 else "hold"
        what += ", and the ledger says the same" if found.compared_with_ledger else ""
        screen.line((f"{screen.symbols.done} ", "green"), f"{checkpoint.origin}: {entries} {what}")
    else:
        screen.line(
            (f"{screen.symbols.failed} ", "red"), f"{checkpoint.origin} ({entries})", ("  NOT VERIFIED", "bold red")
        )
        for problem in found.report.problems:
            screen.line(problem, indent=2)
    for note in found.notes:
        screen.line((f"note: {note}", "yellow"), indent=2)
    return Exit.DONE if found.ok else Exit.NOT_VERIFIED


@log.command("publish")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@json_option
@click.pass_obj
def publish(settings: Settings, *, folder: Path, as_json: bool) -> None:
    """Bring DIR to the log's present state; any web server can serve it as it is."""
    from hearth.cli._text import count
    from hearth.operations import publish_log

    done = publish_log(settings.find_home(), folder)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "origin": done.checkpoint.origin,
                "size": done.checkpoint.size,
                "before": done.before,
                "files": done.files,
            }
        )
        return
    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        f"{done.checkpoint.origin}: {count(done.checkpoint.size, 'leaf', 'leaves')} in {folder}  ",
        (f"{count(done.files, 'file')} written", "dim"),
    )


log.add_command(cosign)


@log.command("rotate")
@click.option("--key", type=_FILE, metavar="FILE", help="The new private key, made where it is not there.")
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Encrypt the new key.")
@json_option
@click.pass_obj
def rotate(settings: Settings, *, key: Path | None, wants_passphrase: bool, as_json: bool) -> None:
    """Have another key sign from now on; the present one signs that it does.

    Who checks needs the first key alone, and the history of keys that is published beside the checkpoint.
    """
    from hearth.operations import rotate_log_key

    found = rotate_log_key(settings.find_home(), key, _new_passphrase() if wants_passphrase else None)
    if as_json:
        print_json(found.to_dict())
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), "another key signs the log from now on")
    _describe(settings, found)


@log.command("revoke")
@click.argument("key", metavar="VKEY|KEY-ID")
@click.option("--from", "size", type=click.IntRange(0), required=True, metavar="SIZE", help="From this size on.")
@json_option
@click.pass_obj
def revoke(settings: Settings, *, key: str, size: int, as_json: bool) -> None:
    """Revoke a key of the log that was stolen: what it signed from SIZE on counts no more.

    The present key signs that; change to another first (rotate) where it is the present one.
    """
    from hearth.operations import revoke_log_key

    found = revoke_log_key(settings.find_home(), key, size)
    if as_json:
        print_json(found.to_dict())
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), f"the key is revoked from size {size} on; publish the log anew")


def _new_passphrase() -> str:
    import os

    from hearth.evidence import LOG_PASSPHRASE_VARIABLE

    passphrase = os.environ.get(LOG_PASSPHRASE_VARIABLE) or str(
        click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    )
    os.environ[LOG_PASSPHRASE_VARIABLE] = passphrase
    return passphrase


def _describe(settings: Settings, found: LogStatus) -> None:
    from hearth.cli._text import count

    screen = settings.screen()
    screen.line(("leaves     ", "dim"), str(found.size), indent=2)
    screen.line(("root       ", "dim"), found.root, indent=2)
    for number, key in enumerate(found.keys):
        screen.line((f"{'key' if number == len(found.keys) - 1 else 'former key':<11}", "dim"), key, indent=2)
    screen.line(("cosigned   ", "dim"), ", ".join(found.cosigned_by) or "by nobody", indent=2)
    screen.line(("folder     ", "dim"), str(found.folder), indent=2)
    if found.waiting:
        screen.line((f"{count(found.waiting, 'event')} not in it yet; `hearth log update`", "yellow"), indent=2)
    for problem in found.problems:
        screen.line(("cannot be in it: ", "bold red"), problem, indent=2)
    if found.cannot_sign:
        screen.line(("no run starts: ", "bold red"), found.cannot_sign, indent=2)
