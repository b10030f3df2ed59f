"""`hearth log cosign`: have witnesses cosign the log's present state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from hearth.cli._settings import Settings

__all__ = ["cosign"]


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "--witness",
    "witnesses",
    nargs=2,
    multiple=True,
    metavar="VKEY URL",
    help="A witness: its verifier key, and what stands before /add-checkpoint; repeatable.",
)
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Witnesses, and how many of them are needed (C2SP tlog-policy).",
)
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Seconds a witness.")
@json_option
@click.pass_obj
def cosign(
    settings: Settings,
    *,
    urls: tuple[str, ...],
    witnesses: tuple[tuple[str, str], ...],
    policy: Path | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Have witnesses cosign the log's present state, and publish their cosignatures with it.

    A witness cosigns a log only as long as it grows: what it cosigned nobody can take back unseen, also not with the
    log's key. Asked are all witnesses that are named, or of a policy's those at the given URLs.

    Ends with 5 where a witness knows another history (both checkpoints are kept as proof), and with 1 where the
    policy asks for more cosignatures; without a policy, where any witness did not cosign.
    """
    from hearth.errors import EvidenceError
    from hearth.evidence import NoteKey, WitnessAddress
    from hearth.operations import cosign_log, read_policy, witnesses_to_ask

    try:
        wanted = None if policy is None else read_policy(policy)
        named = [WitnessAddress(url, NoteKey.parse(key)) for key, url in witnesses]
        asked = witnesses_to_ask(urls, wanted, named)
    except EvidenceError as error:
        raise click.UsageError(str(error)) from None
    if not asked:
        raise click.UsageError(
            "there is no witness to ask: name one with --witness VKEY URL, or a policy with addresses"
        )
    done = cosign_log(settings.find_home(), asked, policy=wanted, timeout=timeout)
    enough = not done.lacking if wanted is not None else not done.result.failed
    code = Exit.NOT_VERIFIED if done.alarm else Exit.DONE if enough else Exit.FAILED
    if as_json:
        print_json(done.to_dict())
        return code
    from hearth.cli._text import count

    screen = settings.screen()
    screen.line((done.checkpoint.origin, "bold"), f"  {count(done.checkpoint.size, 'leaf', 'leaves')}")
    for one in done.result.got:
        screen.line((f"{screen.symbols.done} ", "green"), f"cosigned by {one}", indent=2)
    for failure in done.result.failed:
        word = [("ALARM: ", "bold red")] if failure.alarm else []
        screen.line((f"{screen.symbols.failed} ", "red"), *word, failure.why, indent=2)
    if done.lacking:
        screen.line((done.lacking, "yellow"), indent=2)
    return code
