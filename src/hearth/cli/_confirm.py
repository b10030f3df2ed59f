"""A live run's confirmation: all of it is shown, and a person types the plan's id."""

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

__all__ = ["confirm", "require_reason"]


def require_reason(*, yes: bool, reason: str | None) -> None:
    """Make --yes without --reason a usage error."""
    if yes and not (reason or "").strip():
        raise click.UsageError("--yes needs --reason TEXT: a run that nobody was asked about says why it was made")


def confirm(plan: Plan, *, yes: bool, reason: str | None, where: str, screen: Callable[[], Screen]) -> Confirmation:
    """Return the confirmation of a live run, or raise GateRefusedError.

    With --yes nothing is asked. Else a person at a terminal sees the plan, untruncated, with the host and `where` the
    record goes, and types the plan's id (and a reason, where --reason gave none).
    """
    from hearth.operations import Confirmation, person

    who = person()
    if yes:
        return Confirmation(by=who, reason=(reason or "").strip(), interactive=False)
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
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
    if _ask(f"Type {plan.id} to run it: ") != plan.id:
        raise GateRefusedError(f"not confirmed: what was typed is not {plan.id}; nothing was started")
    why = (reason or "").strip() or _ask("Why: ")
    if not why:
        raise GateRefusedError("not confirmed: a live run needs a reason; nothing was started")
    return Confirmation(by=who, reason=why, interactive=True)


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is at the other end; a process without a console has no streams at all."""
    return stream is not None and stream.isatty()


def _ask(question: str) -> str:
    try:
        click.echo(question, nl=False, err=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        click.echo("\nnot confirmed; nothing was started", err=True)
        raise
    if not line.endswith("\n"):
        click.echo(err=True)  # the end of the input: the cursor still stands behind the question
    return line.strip()
