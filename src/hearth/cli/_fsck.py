"""`hearth fsck`: is the ledger whole, down to the last byte?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.operations import Finding, FsckReport

__all__ = ["fsck", "print_report", "progress_lines"]

_STYLES = {"damage": "bold red", "derived": "yellow", "leftover": "dim"}
_WORDS = {"damage": "DAMAGED", "derived": "derived", "leftover": "leftover"}
_NAMED = 8
_EVERY_SECONDS = 2.0


@click.command()
@click.option("--repair", is_flag=True, help="Derive again what is derived, remove leftovers; never touch evidence.")
@json_option
@click.pass_obj
def fsck(settings: Settings, *, repair: bool, as_json: bool) -> int:
    """Check the whole ledger from its bytes: every hash, count, link, output, index row and file.

    It is done by code of its own, beside whatever runs on the ledger, and names the records concerned. Ends with 5 when
    evidence is damaged, which makes the ledger's posture COMPROMISED; with 1 when only what is derived from evidence is
    wrong (--repair mends that).
    """
    from hearth.operations import fsck as check
    from hearth.operations import tell_damage

    screen = settings.screen()
    progress = progress_lines(settings.screen(to_stderr=True))
    home = settings.find_home()
    report = check(home, repair, progress=progress)
    tell_damage(home, report)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(screen, report)
    return Exit.NOT_VERIFIED if report.damaged else Exit.DONE if report.ok else Exit.FAILED


def progress_lines(screen: Screen, done: str = "checked") -> Callable[[str, int], None]:
    """Return a progress that prints a line every two seconds: short work prints none."""
    last = time.monotonic()

    def tell(what: str, number: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_SECONDS:
            last = time.monotonic()
            screen.line((f"{number} {what} {done} …", "dim"))

    return tell


def print_report(screen: Screen, report: FsckReport) -> None:
    """Print findings, notes, and what was checked."""
    for finding in report.repaired:
        _print(screen, finding, ("repaired", "green"))
    for finding in report.findings:
        _print(screen, finding, (_WORDS[finding.severity], _STYLES[finding.severity]))
    for note in report.notes:
        screen.line((f"note: {note}", "yellow"), indent=2)
    checked = ", ".join(f"{number} {what}" for what, number in report.checked.items()) or "nothing"
    if report.ok:
        screen.line((f"{screen.symbols.done} ", "green"), "the ledger is whole", (f"  {checked}", "dim"))
        return
    evidence = sum(not finding.repairable for finding in report.findings)
    derived = sum(finding.severity == "derived" for finding in report.findings)
    told = [f"evidence damaged in {evidence} place{'s' * (evidence != 1)}"] * bool(evidence)
    told += [f"{derived} derived thing{'s' * (derived != 1)} wrong, which --repair mends"] * bool(derived)
    screen.line((f"{screen.symbols.failed} ", "red"), ("; ".join(told), "bold red"), (f"  {checked}", "dim"))


def _print(screen: Screen, finding: Finding, word: tuple[str, str]) -> None:
    screen.line(word, f"  {finding.where}: {finding.what}")
    if finding.records:
        more = f" and {len(finding.records) - _NAMED} more" if len(finding.records) > _NAMED else ""
        screen.line(("concerns  ", "dim"), ", ".join(finding.records[:_NAMED]) + more, indent=2)
