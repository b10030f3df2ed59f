"""`hearth show`: everything that a record says, for a person."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._errors import Exit
from hearth.cli._json import json_option, print_json
from hearth.cli._options import execution_argument
from hearth.cli._tombstone import show_tombstone
from hearth.errors import ExecutionPurgedError

if TYPE_CHECKING:
    from hearth.cli._screen import Part, Screen
    from hearth.cli._settings import Settings
    from hearth.operations import Found, KeptPlan, Records
    from hearth.record import ExecutionRecord, SecuritySnapshot, Verdict

__all__ = ["show"]

_FEWEST_DIGITS = 6


@click.command()
@execution_argument
@click.option("--output", "-o", is_flag=True, help="With all that the steps wrote, not only its end.")
@click.option(
    "--content", metavar="SHA256", help="Write one kept content as it is: an output, or what a file was before."
)
@json_option
@click.pass_obj
def show(settings: Settings, execution: str, *, output: bool, content: str | None, as_json: bool) -> int:
    """Show what an execution did, step by step: when, how long, with which effects and output, and whether it holds.

    With --content nothing is shown but the bytes that have this SHA-256 (its first digits are enough).
    """
    if content is not None:
        if output or as_json:
            raise click.UsageError("--content writes bytes as they are: leave out --output and --json")
        return _write_content(settings, execution, content)
    from hearth.cli._list import print_unreviewed
    from hearth.operations import UNSEALED, read_output, review_of, verify_found

    with settings.records() as records:
        try:
            found = records.find(execution)
        except ExecutionPurgedError as purged:
            return show_tombstone(settings, purged.tombstone, as_json=as_json)
        record = records.read(found)
        verdict = verify_found(records, found).verdict
        plan, problem = _kept_plan(records, record)
        home = records.home
        reviewed = review_of(home, records.ledger, record.execution_id)
    true = True
    if as_json:
        from hearth.cli._finish import of_declared_document

        print_json(
            {
                "verdict": verdict.to_dict(),
                "plan": None if plan is None else plan.to_dict(),
                "plan_problem": problem or None,
                "record": record.to_dict(),
                **of_declared_document(record),
                "review": reviewed,
            }
        )
    else:
        from hearth.cli._timeline import print_timeline

        screen = settings.screen()
        _print_head(screen, record, verdict, found)
        if reviewed is not None:
            screen.line(f"  reviewed by {reviewed['reviewer']} at {reviewed['created']}: {reviewed['reason']}")
        elif "kind" in (told := record.started.get("approval") or {}) and told["kind"] == "emergency":
            print_unreviewed(screen, [record.execution_id])
        if problem:
            screen.line((problem, "bold red"), indent=2)
        true = print_timeline(screen, record, whole=partial(read_output, home) if output else None)
        _print_rest(screen, record, plan)
    return Exit.DONE if true and (verdict.ok or verdict.why == UNSEALED) else Exit.NOT_VERIFIED


def _write_content(settings: Settings, execution: str, wanted: str) -> int:
    from hearth.operations import contents_in_manifests, named_contents, read_output

    with settings.records() as records:
        record = records.read(records.find(execution))
        home = records.home
    named = [digest for digest in named_contents(record) if digest.startswith(wanted.lower())]
    if not named and len(wanted) >= _FEWEST_DIGITS:
        named = [digest for digest in contents_in_manifests(home, record) if digest.startswith(wanted.lower())]
    if len(named) != 1 or len(wanted) < _FEWEST_DIGITS:
        which = "no content" if not named else "more than one content"
        raise click.UsageError(
            f"--content {wanted}: {record.execution_id} names {which} whose SHA-256 begins so; "
            f"`hearth show {record.execution_id} --json` has them all, or the digests of manifests that have them"
            if len(wanted) >= _FEWEST_DIGITS
            else f"--content {wanted}: give at least {_FEWEST_DIGITS} digits of the SHA-256"
        )
    stream = sys.stdout.buffer
    for piece in read_output(home, named[0]):
        stream.write(piece)
    stream.flush()
    return Exit.DONE


def _kept_plan(records: Records, record: ExecutionRecord) -> tuple[KeptPlan | None, str]:
    """Return the plan as it was kept before the run, and what is wrong with the copy."""
    from hearth.errors import LedgerError
    from hearth.operations import PlanArchive

    try:
        return PlanArchive(records.home).of(record), ""
    except LedgerError as error:
        return None, str(error)


def _print_head(screen: Screen, record: ExecutionRecord, verdict: Verdict, found: Found) -> None:
    from hearth.cli._finish import short_of
    from hearth.operations import UNSEALED
    from hearth.recorder import journal_is_live

    status = record.status.value
    style = {"completed": "bold green", "started": "bold cyan", "completed_partial": "bold yellow"}.get(
        status, "bold red"
    )
    screen.line((record.execution_id, "bold"), "  ", (status, style), f"  {record.live_mode_state}")
    started = record.started
    pairs: list[tuple[str, Part | list[Part]]] = [
        ("plan", [record.plan_id, (f"  digest {started['plan_digest']}" if started.get("plan_digest") else "", "dim")]),
        ("started", [_moment(record.timestamp_start), *_who(started)]),
    ]
    pairs += [("allowed", text) for text in _allowed(started.get("approval"))]
    if record.timestamp_end is not None:
        pairs.append(("ended", [_moment(record.timestamp_end), f"  cause {record.cause}"]))
    else:
        running = found.journal is not None and journal_is_live(found.journal)
        pairs.append(
            ("ended", "not yet: it is running" if running else ("never: it was killed (`hearth recover`)", "yellow"))
        )
    if record.completion_reason:
        pairs.append(("reason", record.completion_reason))
    pairs += [("did", short_of(record)), ("security", _security(screen, record))]
    if found.journal is not None and verdict.why == UNSEALED:
        pairs.append(("verdict", (f"not sealed; the {len(record.entries)} entries so far hold", "yellow")))
    else:
        pairs.append(("verdict", (str(verdict), "green" if verdict else "bold red")))
        pairs.append(("hash", (record.get_execution_hash(), "dim")))
    screen.pairs(pairs)


def _moment(moment: Any) -> str:  # noqa: ANN401 - a datetime, without importing it for its name
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def _who(started: Any) -> list[Part]:  # noqa: ANN401 - a frozen mapping
    parts: list[Part] = []
    if started.get("initiator"):
        parts.append(f"  by {started['initiator']}")
    if started.get("host"):
        parts.append(f" on {started['host']}")
    return parts


def _allowed(approval: object) -> list[str]:
    if not isinstance(approval, dict):
        return []
    if approval.get("kind") == "armed":
        return [f"by {approval.get('by')}, who armed the gate: {approval.get('reason')}"]
    if approval.get("kind") in {"approval", "emergency"}:
        return _signed_for(approval)
    if approval.get("kind") != "confirmation":
        return [str(dict(approval))]
    how = "typed at a terminal" if approval.get("interactive") else "--yes, nobody was asked"
    return [f"by {approval.get('by')} ({how}): {approval.get('reason')}"]


def _signed_for(approval: dict[str, Any]) -> list[str]:
    who = ", ".join(str(name) for name in approval.get("approvers") or ()) or "nobody"
    asked, key = approval.get("requester"), approval.get("requester_key", approval.get("requester"))
    if key is None:
        asked = f"{asked}?, by no key that the policy knew"
    elif key != asked:
        asked = f"{key}, as {asked}"
    said = [f"by {who} (request {approval.get('request_id')} of {asked}): {approval.get('reason')}"]
    if approval.get("kind") == "emergency":
        return [f"EMERGENCY: the glass was broken {said[0]}"]
    return said


def _security(screen: Screen, record: ExecutionRecord) -> str:
    def told(snapshot: SecuritySnapshot | None) -> str:
        return "?" if snapshot is None else f"{snapshot.security_state}/{snapshot.boundary_state}"

    before, after = record.security_snapshot_pre, record.security_snapshot_post
    text = f"{told(before)} before {screen.symbols.arrow} {told(after)} after"
    unknown = [snapshot.context for snapshot in (before, after) if snapshot and "UNKNOWN" in told(snapshot)]
    return text + "".join(f" ({context})" for context in dict.fromkeys(unknown))


def _print_rest(screen: Screen, record: ExecutionRecord, plan: KeptPlan | None) -> None:
    report = record.side_effects_report
    declared = report.side_effects_declared
    if declared:
        screen.heading("Declared effects")
        for effect in declared:
            can = "  reversible" if effect.get("reversible") else ""
            screen.line(
                (f"step {effect.get('step_index')}  ", "dim"),
                f"{effect.get('category')}: {effect.get('pattern')}",
                (can, "dim"),
                indent=2,
            )
    if report.unknown_effects:
        screen.heading("What could not be seen")
        for reason in report.unknown_effects_why:
            index = reason.get("step_index")
            screen.line(
                ("all steps  " if index is None else f"step {index}  ", "dim"), str(reason.get("why")), indent=2
            )
    if plan is not None and plan.inputs:
        screen.heading("Inputs")
        for name, digest in plan.inputs.items():
            screen.line(f"{name}  ", (f"sha256 {digest}", "dim"), indent=2)
