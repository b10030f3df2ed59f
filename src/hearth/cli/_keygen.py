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
    from hearth.signing import SigningKey

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
@click.option(
    "--trust",
    is_flag=True,
    help="Trust the key in this ledger's policy, if that trusts nobody yet; a key that is there is taken as it is.",
)
@click.option("--key", metavar="FILE", help="With --trust: trust this key, which is there already, and make none.")
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
    key: str | None,
    roles: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an Ed25519 key, in a file that only you can read, and print its public half.

    NAME is what a policy calls the key; your user name by default. An existing key is never overwritten: with --trust
    it is the one that this ledger trusts from now on.
    """
    from hearth.operations import default_key, load_key, person, trust_key

    if key is not None and (not trust or out is not None):
        raise click.UsageError("--key FILE names a key that is there, to be trusted: it needs --trust, and no --out")
    # What --out names is to be made. The user's own key is made once, and then trusted by one ledger after the other.
    path = Path(key or out or default_key())
    there = key is not None or (trust and out is None and path.exists())
    if there and wants_passphrase:
        raise click.UsageError(f"--passphrase is for a new key, and {path} is there already; it is not changed")
    called = name or person().split()[0]
    granted = roles or ROLES[:3]
    home = settings.find_home() if trust else None
    added = ""
    if there:
        known = load_key(home, path, passphrase=ask_passphrase)
        signing_key = known.key
        if known.name is not None:
            called, granted = known.name, known.roles
    else:
        known = None
        signing_key = _make(path, encrypted=wants_passphrase)
    if home is not None and (known is None or known.name is None):
        added = trust_key(home, called, signing_key, granted)
    if as_json:
        print_json(
            {
                "key": str(path),
                "made": not there,
                "public_key": str(signing_key.public),
                "key_id": signing_key.public.key_id,
                "name": called,
                "trusted_in": None if home is None else str(home.policy),
            }
        )
        return
    screen = settings.screen()
    done = (f"{screen.symbols.done} ", "green")
    screen.line(done, "took the key that is there, " if there else "made the key ", (str(path), "bold"))
    screen.line(str(signing_key.public), indent=2)
    if home is None:
        entry = f'{called}: {{key: "{signing_key.public}", roles: [{", ".join(granted)}]}}'
        screen.line(("to trust it, a policy says under `approvals: keys:`", "dim"), indent=2)
        screen.line((entry, "dim"), indent=4)
    elif added:
        screen.line(done, f"{home.policy} trusts it now:")
        screen.lines(added.rstrip("\n"), indent=2, style="dim")
    else:
        screen.line(done, f"{home.policy} trusts it already, as {called} ({', '.join(granted)}); nothing was changed")


def _make(path: Path, *, encrypted: bool) -> SigningKey:
    from hearth.operations import PASSPHRASE_VARIABLE
    from hearth.operations import keygen as make_key

    passphrase = None
    if encrypted:
        passphrase = os.environ.get(PASSPHRASE_VARIABLE) or str(
            click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        )
    return make_key(path, passphrase)
