"""`hearth doctor`: what this machine can see of a step, and what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["doctor"]


@click.command()
@json_option
@click.pass_obj
def doctor(settings: Settings, *, as_json: bool) -> None:
    """Say what this machine can see of a step, and what it cannot.

    What sandboxes are made of is tried; nothing is changed. The tier decides what `hearth preview` and sandboxed
    runs can do here: full, unprivileged, or fallback, where steps run on the host and their effects stay unknown.
    """
    from hearth.observe import probe

    tier = probe()
    if as_json:
        print_json(tier.to_dict())
        return
    screen = settings.screen()
    screen.line("tier ", (tier.name, "bold green" if tier.name == "full" else "bold yellow"))
    for name, works, why in tier.capabilities:
        sign = (f"{screen.symbols.done} ", "green") if works else (f"{screen.symbols.failed} ", "red")
        screen.line(sign, name, (f"  {why}" if why else "", "dim"), indent=2)
    screen.heading("Not seen in this tier")
    for words in tier.cannot_see:
        screen.line(words, indent=2)
