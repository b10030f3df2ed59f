"""`hearth dossier`: all that is known of an execution, and its proof, as one HTML file that checks itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_bytes, print_json
from hearth.cli._keygen import ask_passphrase
from hearth.cli._options import execution_argument

if TYPE_CHECKING:
    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.operations import DossierMade

__all__ = ["dossier", "print_checks"]


@click.command()
@execution_argument
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False), metavar="FILE", help="The file; - for stdout."
)
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@click.option("--key", metavar="FILE", help="Sign it with this key (hearth keygen); it is not signed otherwise.")
@click.option(
    "--witness", "witnesses", multiple=True, metavar="VKEY|FILE", help="A witness's verifier key; repeatable."
)
@click.option(
    "--quorum", type=click.IntRange(0), metavar="N", help="How many of the witnesses have to cosign; else all."
)
@json_option
@click.pass_obj
def dossier(
    settings: Settings,
    execution: str,
    output: str,
    *,
    force: bool,
    key: str | None,
    witnesses: tuple[str, ...],
    quorum: int | None,
    as_json: bool,
) -> int:
    """Write all that is known of a sealed execution, and its proof, into one HTML file that checks itself.

    It opens in a browser without a network, and makes its checks there; `hearth verify FILE` makes the same without
    the page's own program. Values that a plan marks as disclosable stay out of it. A record that does not hold has a
    dossier all the same, as evidence; the exit code is 5 then.
    """
    from hearth.operations import LogKeys, dossier_of, load_key, write_file

    if output == "-" and as_json:
        raise click.UsageError("--json tells of the file that was written; with -o - that is the page itself")
    if output != "-" and os.path.lexists(output) and not force:
        raise click.UsageError(f"{output} is there already; name another file, or give --force to replace it")
    seen_by = LogKeys.read((), witnesses, quorum)
    with settings.records() as records:
        signer = None if key is None else load_key(records.home, key, passphrase=ask_passphrase).key
        made = dossier_of(records, records.find(execution), signer, witnesses=(seen_by.witnesses, seen_by.quorum))
    if output == "-":
        print_bytes(made.page)
    else:
        write_file(output, made.page)
        if as_json:
            print_json({"file": output, "bytes": len(made.page), **made.verdict.to_dict()})
        else:
            _tell(settings.screen(), made, output)
    if made.verdict:
        return Exit.DONE
    screen = settings.screen(to_stderr=True)
    for one in made.verdict.failed:
        screen.line(("NOT VERIFIED: ", "bold red"), f"{one.check.title}: {one.says}")
    return Exit.NOT_VERIFIED


def _tell(screen: Screen, made: DossierMade, output: str) -> None:
    from hearth.cli._text import bytes_text, count
    from hearth.evidence import Finding

    left = [one for one in made.verdict.finds if one.finding is Finding.UNCHECKED]
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        f"{made.execution_id} {screen.symbols.arrow} {output}  ",
        (bytes_text(len(made.page)), "dim"),
    )
    held = len(made.verdict.finds) - len(left) - len(made.verdict.failed)
    screen.line((f"{count(held, 'check')} hold", "dim"), indent=2)
    for why in dict.fromkeys(one.says for one in left):
        names = ", ".join(one.check.title[:1].lower() + one.check.title[1:] for one in left if one.says == why)
        screen.line((f"not checked: {names}: {why}", "yellow"), indent=2)


def print_checks(screen: Screen, checks: tuple[dict[str, str], ...]) -> None:
    """Print what came out of each check of a dossier."""
    marks = {
        "holds": (screen.symbols.done, "green", "holds"),
        "fails": (screen.symbols.failed, "bold red", "FAILS"),
        "unchecked": ("?", "yellow", "not checked"),
    }
    for one in checks:
        mark, style, word = marks[one["finding"]]
        screen.line((f"{mark} {word:<11}  ", style), one["title"], (f": {one['says']}", "dim"), indent=2)
