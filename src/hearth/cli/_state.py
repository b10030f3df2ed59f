"""`hearth state`, `hearth lockdown`, `hearth report` and `hearth restore`: the posture of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._keygen import ask_passphrase, key_option
from hearth.cli._text import seconds_text

if TYPE_CHECKING:
    from hearth.cli._screen import Part, Screen
    from hearth.cli._settings import Settings
    from hearth.operations import PostureEntry, PostureView
    from hearth.security import BoundaryState, SecurityState

__all__ = ["lockdown", "report", "restore", "state"]

_STYLES = ("green", "yellow", "red", "bold red")


@click.command()
@click.option("--history", is_flag=True, help="List every posture there was, the first one first.")
@json_option
@click.pass_obj
def state(settings: Settings, *, history: bool, as_json: bool) -> int:
    """Show the security posture, and what it permits.

    It says since when, who changed it and why, and which runs are under way. With --history, the signature of every
    restoration is checked; the exit code is 5 where one does not hold.
    """
    from hearth.cli._list import print_unreviewed
    from hearth.ledger import Ledger
    from hearth.operations import emergency_runs, posture_doubt, posture_history, read_posture

    home = settings.find_home()
    if history:
        entries = posture_history(home)
        doubt = posture_doubt(home)
        told = {
            "ok": not doubt and all(entry.ok for entry in entries),
            "doubt": doubt or None,
            "history": [entry.to_dict() for entry in entries],
        }
        holds = bool(told["ok"])
    else:
        view = read_posture(home)
        told, holds = view.to_dict(), view.entry.ok
    with Ledger.open(home) as ledger:
        unreviewed = [name for name, reviewed in emergency_runs(home, ledger).items() if not reviewed]
    if as_json:
        print_json({**told, "emergencies_without_review": unreviewed})
    else:
        screen = settings.screen()
        if history:
            _print_history(screen, entries)
            if doubt:
                screen.line((doubt, "bold red"))
        else:
            _print_state(screen, view)
        print_unreviewed(screen, unreviewed)
    return Exit.DONE if holds else Exit.NOT_VERIFIED


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why everything is to stop; recorded.")
@json_option
@click.pass_obj
def lockdown(settings: Settings, *, reason: str, as_json: bool) -> None:
    """Stop everything on this ledger, at once: every running step is killed, and nothing starts any more.

    Runs under way seal their records as INCOMPLETE with who and why. Only `hearth restore` ends it.
    """
    from hearth.operations import lock_down, person

    locked = lock_down(settings.find_home(), who=person(), why=reason)
    if as_json:
        print_json(locked.to_dict())
        return
    screen = settings.screen()
    kept = locked.kept
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        (str(kept.posture), "bold red"),
        f"  {kept.reason}" if locked.new else f"  since before: {kept.reason}",
    )
    for run in locked.runs:
        words: tuple[Part, ...] = (f"stopped: {run.outcome} after {seconds_text(run.seconds)}",)
        if run.outcome == "running":
            words = (("STILL RUNNING", "bold red"), f" after {seconds_text(run.seconds)}; look for its process")
        elif run.outcome == "killed":
            words = ("ended without a seal; `hearth recover` seals it",)
        screen.line((f"{run.execution_id}  ", "bold"), *words, indent=2)
        if run.note:
            screen.line((run.note, "yellow"), indent=4)
    if not locked.runs:
        screen.line("no run was under way", indent=2)


@click.command()
@click.argument("name", metavar="STATE")
@click.option("--reason", required=True, metavar="TEXT", help="What was found; recorded.")
@click.option("--source", required=True, metavar="NAME", help="Which detector or person found it; recorded.")
@click.option("--boundary", is_flag=True, help="COMPROMISED and LOCKDOWN mean the boundary state.")
@json_option
@click.pass_obj
def report(settings: Settings, name: str, *, reason: str, source: str, boundary: bool, as_json: bool) -> None:
    """Worsen the posture by a report from outside: DEGRADED, ELEVATED, COMPROMISED or LOCKDOWN.

    A state that is no worse than the present one changes nothing. A detector that cannot run commands leaves a file in
    the ledger's folder reports instead.
    """
    from hearth.operations import person, report_states

    security_state, boundary_state = _states(name, boundary=boundary)
    for worst in (security_state, boundary_state):
        if worst is not None and not worst.severity:
            raise click.UsageError(f"{worst} is no worsening; `hearth restore` returns to a better posture")
    entry = report_states(
        settings.find_home(),
        security=security_state,
        boundary=boundary_state,
        why=reason,
        source=source,
        who=person(),
    )
    _tell(settings, entry, as_json=as_json)


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why it is safe to go on; recorded and signed.")
@click.option("--to", "name", metavar="STATE", help="Restore only this part, and only so far; else both, wholly.")
@click.option("--boundary", is_flag=True, help="COMPROMISED means the boundary state.")
@key_option
@json_option
@click.pass_obj
def restore(
    settings: Settings, *, reason: str, name: str | None, boundary: bool, key: str | None, as_json: bool
) -> None:
    """Return to a better posture, by an operator's signed act.

    It is refused while a run is under way. The key has to be one that the policy trusts with the role operator.
    """
    from hearth.operations import load_key, restore_posture

    security_state, boundary_state = (None, None) if name is None else _states(name, boundary=boundary)
    home = settings.find_home()
    signer = load_key(home, key, passphrase=ask_passphrase)
    entry = restore_posture(home, signer, why=reason, security=security_state, boundary=boundary_state)
    _tell(settings, entry, as_json=as_json)


def _states(name: str, *, boundary: bool) -> tuple[SecurityState | None, BoundaryState | None]:
    from hearth.security import BoundaryState, SecurityState

    security = None if boundary else SecurityState.parse(name)
    if security is not None:
        return security, None
    found = BoundaryState.parse(name)
    if found is None:
        known = dict.fromkeys((*SecurityState.__members__, *BoundaryState.__members__))
        raise click.UsageError(f"{name!r} is no state; known are {', '.join(known)}")
    return None, found


def _tell(settings: Settings, entry: PostureEntry, *, as_json: bool) -> None:
    if as_json:
        print_json(entry.to_dict())
        return
    screen = settings.screen()
    screen.line((f"{screen.symbols.done} ", "green"), _posture(entry), f"  {entry.kept.reason}")


def _posture(entry: PostureEntry) -> tuple[str, str]:
    return str(entry.kept.posture), _STYLES[entry.kept.posture.severity]


def _print_state(screen: Screen, view: PostureView) -> None:
    entry = view.entry
    screen.line(_posture(entry))
    facts: list[tuple[str, Part | list[Part]]] = []
    if entry.kept.created is not None:
        facts.append(("since", f"{entry.kept.created:%Y-%m-%d %H:%M:%S} UTC (version {entry.kept.version})"))
        facts.append(("by", f"{entry.kept.who or 'HEARTH'} through {entry.kept.source}"))
        facts.append(("why", entry.kept.why))
    if entry.signature:
        facts.append(("signed", (entry.signature, "green" if entry.ok else "bold red")))
    permitted = [mode if tasks is None else f"{mode} ({', '.join(tasks)})" for mode, tasks in view.permits.items()]
    facts.append(("permits", ", ".join(permitted) or ("nothing", "bold red")))
    facts += [("", f"{note.execution_id} is under way (plan {note.plan_id})") for note in view.running]
    if view.note:
        facts.append(("note", (view.note, "yellow")))
    screen.pairs(facts)


def _print_history(screen: Screen, entries: list[PostureEntry]) -> None:
    if not entries:
        screen.line("OPERATIONAL/NOMINAL since the ledger was made")
        return
    rows: list[list[Part]] = [
        [
            str(entry.kept.version),
            f"{entry.kept.created:%Y-%m-%d %H:%M:%S}",
            _posture(entry),
            entry.kept.source,
            entry.kept.who,
            (entry.signature, "green" if entry.ok else "bold red"),
            entry.kept.why,
        ]
        for entry in entries
    ]
    screen.table(("VERSION", "SINCE", "POSTURE", "SOURCE", "BY", "SIGNED", "WHY"), rows, right=(0,))
