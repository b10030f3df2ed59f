"""A live run's confirmation: all of it is shown, and a person types the first digits of the plan's digest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import click

from hearth.errors import GateRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._screen import Screen
    from hearth.operations import Confirmation
    from hearth.plan import Plan

__all__ = ["DIGITS", "ask", "confirm", "is_terminal", "require_reason"]

DIGITS = 8
"""How many digits of a digest a person types."""


def require_reason(*, yes: bool, reason: str | None, emergency: bool = False) -> None:
    """Make --emergency or --yes without --reason a usage error, that of the graver one."""
    if emergency and not (reason or "").strip():
        raise click.UsageError("--emergency needs --reason TEXT: whoever breaks the glass says why")
    if yes and not (reason or "").strip():
        raise click.UsageError("--yes needs --reason TEXT: a run that nobody was asked about says why it was made")


def confirm(plan: Plan, *, yes: bool, reason: str | None, where: str, screen: Callable[[], Screen]) -> Confirmation:
    """Return the confirmation of a live run, or raise GateRefusedError.

    With --yes nothing is asked. Else a person at a terminal sees the plan, untruncated, with the host and `where` the
    record goes, and types the first digits of its digest (and a reason, where --reason gave none).
    """
    from hearth.operations import Confirmation, person

    who = person()
    if yes:
        return Confirmation(by=who, reason=(reason or "").strip(), interactive=False)
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise GateRefusedError(
            f"a live run of the plan {plan.id} asks for a confirmation, and there is no terminal to ask on; "
            "give --yes and --reason TEXT, or try it with --mode dry-run"
        )
    from hearth.cli._plan_text import print_preview
    from hearth.operations import preview_plan

    preview = preview_plan(plan)
    shown = screen()
    print_preview(shown, preview)
    shown.blank()
    shown.line(("This runs LIVE", "bold red"), f" on {preview.host} as {who}; the record goes to {where}.")
    typed = ask(f"Type the first {DIGITS} digits of the digest to run it: ").lower()
    if len(typed) < DIGITS or not plan.digest.startswith(typed):
        raise GateRefusedError(
            f"not confirmed: {typed or 'nothing'!r} is not how the digest {plan.digest} begins; nothing was started"
        )
    why = (reason or "").strip() or ask("Why: ")
    if not why:
        raise GateRefusedError("not confirmed: a live run needs a reason; nothing was started")
    return Confirmation(by=who, reason=why, interactive=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person is at the other end; a process without a console has no streams at all."""
    return stream is not None and stream.isatty()


def ask(question: str) -> str:
    """Ask on stderr, and return the line typed, without blanks around it."""
    try:
        click.echo(question, nl=False, err=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        click.echo("\nnot confirmed; nothing was started", err=True)
        raise
    if not line.endswith("\n"):
        click.echo(err=True)  # the end of the input: the cursor still stands behind the question
    return line.strip()
