"""`hearth list`: recorded executions, the latest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._json import json_option, print_json
from hearth.cli._tombstone import print_purged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.cli._screen import Part, Screen
    from hearth.cli._settings import Settings
    from hearth.ledger import ExecutionSummary
    from hearth.operations import JournalNote, Records

__all__ = ["list_executions", "print_unreviewed"]

_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
STATUS_STYLES = {"completed": "green", "completed_partial": "yellow", "failed": "red", "incomplete": "red"}


class MomentType(click.ParamType[datetime]):
    """A point in time: ISO 8601 (UTC without a zone), or how long ago, such as `2h` or `7d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's
        """Return an aware datetime, or fail with what would be accepted."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        now = datetime.now(UTC)
        if match := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if text in {"today", "yesterday"}:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return midnight - timedelta(days=text == "yesterday")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is no time: write 2025-09-30, 2025-09-30T12:00, today, or 2h, 7d for so long ago", param, ctx
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_STATUSES = ("completed", "completed_partial", "failed", "incomplete")


@click.command("list")
@click.option("--plan", metavar="ID", help="Only runs of this plan; * stands for anything.")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only runs that ended so.")
@click.option("--since", type=MomentType(), help="Started at this time or later: 2025-09-30, today, 2h, 7d.")
@click.option("--until", type=MomentType(), help="Started before this time.")
@click.option("--text", metavar="TEXT", help="Look for it in step names, errors, effects and reasons.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=50, show_default=True, help="At most so many."
)
@json_option
@click.pass_obj
def list_executions(
    settings: Settings,
    *,
    plan: str | None,
    status: str | None,
    since: datetime | None,
    until: datetime | None,
    text: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List and search recorded executions, the latest first. Times are UTC."""
    from hearth.operations import emergency_runs

    chosen: dict[str, Any] = {"plan": plan, "status": status, "since": since, "until": until, "text": text}
    with settings.records() as records:
        found = records.ledger.list(limit=limit, **chosen)
        total = records.ledger.count(**chosen) if len(found) == limit else len(found)
        waiting = records.journals()
        quarantined = records.quarantined()
        purged = _purged(records, chosen)[:limit]
        emergencies = emergency_runs(records.home, records.ledger)
    if as_json:
        print_json(
            {
                "executions": [
                    {
                        **summary.to_dict(),
                        "emergency": summary.execution_id in emergencies,
                        "reviewed": emergencies.get(summary.execution_id),  # null where there is nothing to review
                    }
                    for summary in found
                ],
                "total": total,
                "not_sealed": [
                    {
                        "execution_id": note.execution_id,
                        "plan_id": note.plan_id,
                        "running": note.running,
                        "journal": str(note.path),
                    }
                    for note in waiting
                ],
                "quarantined": [
                    {"execution_id": note.execution_id, "plan_id": note.plan_id, "journal": str(note.path)}
                    for note in quarantined
                ],
                "purged": purged,
            }
        )
        return
    screen = settings.screen()
    if found:
        _print_table(screen, found, emergencies)
        if total > len(found):
            screen.line((f"{total - len(found)} more; --limit {total} lists all", "dim"))
    elif any(value is not None for value in chosen.values()):
        screen.line("no execution matches")
    else:
        screen.line("no executions yet; hearth run PLAN makes one")
    _print_waiting(screen, waiting)
    for note in quarantined:
        screen.line(("damaged  ", "bold red"), note.execution_id or note.path.name, (f"  {note.path}", "dim"))
    for tombstone in purged:
        print_purged(screen, tombstone)
    print_unreviewed(screen, [name for name, reviewed in emergencies.items() if not reviewed])


def print_unreviewed(screen: Screen, executions: Sequence[str]) -> None:
    """Print the emergency runs that nobody has reviewed, wherever somebody looks."""
    for name in executions:
        screen.line(("EMERGENCY RUN WITHOUT A REVIEW  ", "bold red"), f"hearth review {name} --reason TEXT")


def _purged(records: Records, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tombstones of a list; a search for what purged records said finds none."""
    if chosen["text"]:
        return []
    from hearth.record import format_time

    conditions = {"since": chosen["since"], "until": chosen["until"]}
    times = {name: format_time(moment) for name, moment in conditions.items() if moment is not None}
    plan = re.compile(
        ".*".join(map(re.escape, ("*" if chosen["plan"] is None else chosen["plan"]).split("*"))), re.DOTALL
    )
    return [
        tombstone
        for tombstone in records.ledger.retention.tombstones()
        if plan.fullmatch(tombstone["plan_id"])
        and chosen["status"] in {None, tombstone.get("status")}
        and tombstone["started"] >= times.get("since", "")
        and tombstone["started"] < times.get("until", "9999")
    ]


def _mode(summary: ExecutionSummary, emergencies: dict[str, bool]) -> Part:
    reviewed = emergencies.get(summary.execution_id)
    if reviewed is None:
        return summary.live_mode
    return (f"{summary.live_mode} EMERGENCY{'' if reviewed else ', not reviewed'}", "bold red")


def _print_table(screen: Screen, found: Sequence[ExecutionSummary], emergencies: dict[str, bool]) -> None:
    from hearth.cli._text import seconds_text

    # An id that HEARTH made begins with the plan's; others need it beside them.
    named = not all(summary.execution_id.startswith(f"{summary.plan_id}-") for summary in found)
    rows: list[Sequence[Part]] = []
    for summary in found:
        status = summary.status.value
        steps = f"{summary.steps_completed}/{'?' if summary.steps_total is None else summary.steps_total}"
        rows.append(
            (
                f"{summary.started:%Y-%m-%d %H:%M:%S}",
                (
                    status if status != "incomplete" else f"incomplete ({summary.cause.value})",
                    STATUS_STYLES.get(status, ""),
                ),
                _mode(summary, emergencies),
                steps,
                str(summary.effects),
                seconds_text(max((summary.ended - summary.started).total_seconds(), 0.0)),
                *((summary.plan_id,) if named else ()),
                (summary.execution_id, "bold"),
            )
        )
    screen.table(
        ("STARTED", "STATUS", "MODE", "STEPS", "EFFECTS", "TOOK", *(("PLAN",) if named else ()), "ID"),
        rows,
        right=(3, 4, 5),
    )


def _print_waiting(screen: Screen, waiting: Sequence[JournalNote]) -> None:
    if not waiting:
        return
    screen.blank()
    for note in waiting:
        name = note.execution_id or note.path.name
        screen.line(("running  ", "cyan") if note.running else ("killed   ", "red"), name)
    if not all(note.running for note in waiting):
        screen.line(("`hearth recover` seals and stores what was killed, and sets aside what is damaged", "dim"))
