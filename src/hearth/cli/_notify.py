"""`hearth notify test`: whether the hooks that a policy names can really be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["notify"]

# As in `hearth.security.EVENTS`, which is not loaded for --help.
_EVENTS = ("request", "approval", "denial", "start", "finish", "failure", "escalation", "restore", "recorder_failure")


@click.group()
def notify() -> None:
    """Try out who is told of what happens: the commands and webhooks that the policy names under `notify:`."""


@notify.command()
@click.option("--event", type=click.Choice(_EVENTS), help="Test this event, on the hooks that ask for it.")
@json_option
@click.pass_obj
def test(settings: Settings, *, event: str | None, as_json: bool) -> int:
    """Send a test to every hook, and say which of them were told; 1 if one was not.

    Without --event each hook gets the first event that it asks for. The notice says `"test": true`.
    """
    from hearth.operations import probe_hooks

    trials = probe_hooks(settings.find_home(), event)
    failed = [trial for trial in trials if trial.why]
    if as_json:
        print_json({"ok": not failed, "hooks": [trial.to_dict() for trial in trials]})
    else:
        screen = settings.screen()
        for trial in trials:
            sign = (f"{screen.symbols.failed} ", "red") if trial.why else (f"{screen.symbols.done} ", "green")
            what = f"{trial.event}: {trial.why}" if trial.why else f"{trial.event}, {trial.seconds:.2f} s"
            screen.line(sign, f"{trial.name}  ", (what, "red" if trial.why else "dim"))
    return Exit.FAILED if failed else Exit.DONE
