"""`hearth keygen`: make a key to sign requests and approvals with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._settings import Settings

__all__ = ["ask_passphrase", "key_option", "keygen"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

ROLES = ("approver", "operator", "emergency", "requester")


def key_option(function: _Function) -> _Function:
    """Give a command --key."""
    return click.option(
        "--key", metavar="FILE", help="The key that signs; else HEARTH_KEY, else the user's own (hearth keygen)."
    )(function)


def ask_passphrase() -> str:
    """Ask for a key's passphrase on the terminal; a SigningError where there is none."""
    from hearth.errors import SigningError
    from hearth.operations import PASSPHRASE_VARIABLE

    if not sys.stdin.isatty():
        raise SigningError(f"the key has a passphrase, and there is no terminal to ask on; set {PASSPHRASE_VARIABLE}")
    return str(click.prompt("Passphrase of the key", hide_input=True, err=True))


@click.command()
@click.argument("name", required=False)
@click.option("--out", metavar="FILE", help="Where to write the key; else HEARTH_KEY, else the user's settings.")
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Encrypt the key; the passphrase is asked for.")
@click.option("--trust", is_flag=True, help="Trust the key in this ledger's policy, if that trusts nobody yet.")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="What the key may do; repeatable; all by default."
)
@json_option
@click.pass_obj
def keygen(
    settings: Settings,
    name: str | None,
    *,
    out: str | None,
    wants_passphrase: bool,
    trust: bool,
    roles: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an Ed25519 key, in a file that only you can read, and print its public half.

    NAME is what a policy calls the key; your user name by default. An existing key is never overwritten.
    """
    from hearth.operations import PASSPHRASE_VARIABLE, default_key, person, trust_key
    from hearth.operations import keygen as make_key

    path = Path(out) if out else default_key()
    called = name or person().split()[0]
    granted = roles or ROLES[:3]
    home = settings.find_home() if trust else None
    passphrase = None
    if wants_passphrase:
        passphrase = os.environ.get(PASSPHRASE_VARIABLE) or str(
            click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        )
    key = make_key(path, passphrase)
    added = trust_key(home, called, key, granted) if home is not None else None
    entry = f'{called}: {{key: "{key.public}", roles: [{", ".join(granted)}]}}'
    if as_json:
        print_json(
            {
                "key": str(path),
                "public_key": str(key.public),
                "key_id": key.public.key_id,
                "name": called,
                "trusted_in": None if home is None else str(home.policy),
            }
        )
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), "made the key ", (str(path), "bold"))
    screen.line(str(key.public), indent=2)
    if home is not None and added is not None:
        screen.line((f"{screen.symbols.done} ", "green"), f"{home.policy} trusts it now:")
        screen.lines(added.rstrip("\n"), indent=2, style="dim")
    else:
        screen.line(("to trust it, a policy says under `approvals: keys:`", "dim"), indent=2)
        screen.line((entry, "dim"), indent=4)
