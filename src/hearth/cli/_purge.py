"""`hearth purge`: removing old records."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import EXECUTION
from hearth.errors import GateRefusedError

if TYPE_CHECKING:
    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.operations import PurgeReport

__all__ = ["purge"]

_AGE = re.compile(r"(\d{1,6})(h|d|w)")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class AgeType(click.ParamType[timedelta]):
    """A length of time such as `36h`, `90d` or `52w`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401 - click's
        """Return the length, or fail with what would be accepted."""
        if isinstance(value, timedelta):
            return value
        match = _AGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no age: write 36h, 90d or 52w", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command()
@click.argument("executions", nargs=-1, type=EXECUTION, metavar="[ID]...")
@click.option("--older-than", type=AgeType(), metavar="AGE", help="All that ended so long ago: 90d, 52w, 36h.")
@click.option("--plan", metavar="ID", help="All of this plan; with --older-than, only those.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stays in the tombstones.")
@click.option("--yes", is_flag=True, help="Purge without a question.")
@click.option("--dry-run", is_flag=True, help="Only say what would be purged, and what would be refused.")
@json_option
@click.pass_obj
def purge(
    settings: Settings,
    *,
    executions: tuple[str, ...],
    older_than: timedelta | None,
    plan: str | None,
    reason: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove records, the outputs and plans that nothing else refers to, and every trace in the database's files.

    Of each record a tombstone stays: its id, times, status and hash, and who purged it, when and why. What is on hold,
    is younger than the policy's minimum age, is an emergency without review, or does not verify, is refused. The exit
    code is 3 when something that was named is refused.
    """
    from hearth.cli._fsck import progress_lines
    from hearth.operations import purge as remove

    if bool(executions) == (older_than is not None or plan is not None):
        raise click.UsageError("say what: IDs, or --older-than and --plan")
    home = settings.find_home()
    chosen: dict[str, Any] = {"executions": executions, "plan": plan, "older_than": older_than, "reason": reason}
    screen = settings.screen()
    if not yes and not dry_run:
        preview = remove(home, dry_run=True, **chosen)
        _print(settings.screen(to_stderr=True), preview)
        _confirm(sum(record.outcome == "would" for record in preview.records))
    report = remove(home, dry_run=dry_run, progress=progress_lines(settings.screen(to_stderr=True)), **chosen)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(screen, report)
    refused = any(record.outcome == "refused" for record in report.records)
    return Exit.REFUSED if refused and executions else Exit.DONE


def _confirm(number: int) -> None:
    if not number:
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise GateRefusedError("a purge asks for a confirmation, and there is no terminal to ask on; give --yes")
    click.echo(f"Type {number} to purge {number} record{'s' * (number != 1)} for good: ", nl=False, err=True)
    if sys.stdin.readline().strip() != str(number):
        raise GateRefusedError("not confirmed; nothing was purged")


def _print(screen: Screen, report: PurgeReport) -> None:
    styles = {"purged": "green", "refused": "yellow", "would": "cyan"}
    words = {"would": "would be purged"}
    for record in report.records:
        told: list[Any] = [
            (words.get(record.outcome, record.outcome), styles[record.outcome]),
            f"  {record.execution_id}",
        ]
        screen.line(*told, f": {record.why}" if record.why else "")
        if record.tombstone is not None:
            screen.line(("hash  ", "dim"), record.tombstone["execution_hash"], indent=2)
    if not report.records:
        screen.line("no record to purge")
    if report.removed:
        screen.line((f"{len(report.removed)} files beside them removed", "dim"))
    if report.left:
        left = (
            f"{len(report.left)} files stay for now (in use, or just kept); `hearth fsck --repair` removes them later"
        )
        screen.line((left, "yellow"))
    if not report.emptied:
        screen.line(
            (
                "bytes of it may be in the database's files, in use or without room, until `hearth fsck --repair` runs",
                "yellow",
            )
        )
