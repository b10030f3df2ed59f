"""`hearth preview`: see what a plan, or a command, would do, by having it done in a sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hearth.cli._confirm import require_reason
from hearth.cli._errors import Exit, exit_code
from hearth.cli._json import json_option, print_json
from hearth.cli._keygen import key_option
from hearth.cli._options import confirmation_options, read_variables, var_option
from hearth.errors import LedgerNotFoundError, RunInterruptedError

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.errors import HearthError
    from hearth.ledger import LedgerHome
    from hearth.observe import Manifest
    from hearth.operations import PreviewOutcome
    from hearth.plan import Plan

__all__ = ["preview"]

_MOST_REACHED = 5
_OUT_OF_REACH = "unix "  # the host's sockets of this kind are, whatever a step declares
_PLAN_ENDINGS = (".yaml", ".yml", ".json")


@click.command()
@click.argument("subject", nargs=-1, required=True, type=click.UNPROCESSED, metavar="PLAN | [--] COMMAND [ARGUMENT]...")
@var_option
@click.option("--diff", "with_diffs", is_flag=True, help="Show how each text was changed, and which rows.")
@click.option("--whole", is_flag=True, help="Show every path, also of very many.")
@click.option("-o", "--output", metavar="FILE", help="Write the manifest there, as JSON.")
@click.option("--apply", "applied", is_flag=True, help="Then run it, once you have approved what it showed.")
@confirmation_options
@key_option
@json_option
@click.pass_obj
def preview(
    settings: Settings,
    subject: tuple[str, ...],
    variables: tuple[str, ...],
    *,
    with_diffs: bool,
    whole: bool,
    output: str | None,
    applied: bool,
    yes: bool,
    reason: str | None,
    key: str | None,
    as_json: bool,
) -> int:
    """See what a plan or a command would do.

    Its steps really run, in sandboxes that lie above the real files: everything is there, each step sees what the
    earlier ones did, and nothing of it reaches the host. There is no network, but for steps that declare hosts. What
    the steps write is shown on stderr while they run; then comes, on stdout, the manifest of what they did. One
    argument that is a .yaml or .json file is a plan; everything else is a command, run without a shell: write -- before
    one that has options. Ends with 1 when a step fails. What a plan's step does and does not declare is marked: a live
    run would be stopped there.

    With --apply, once you have approved it by the manifest's first digits (or with --yes and --reason), it runs LIVE in
    sandboxes, is held to what was shown, and is recorded: what turns out otherwise does not reach the host.
    """
    require_reason(yes=yes, reason=reason)
    if applied and as_json:
        raise click.UsageError("--apply shows what it does to a person; use hearth request --preview and hearth run")
    from hearth.cli._manifest_text import print_manifest
    from hearth.cli._preview_display import preview_display
    from hearth.operations import preview_in_sandbox, write_file

    plan = _plan(subject, variables)
    with preview_display(settings) as display:
        outcome = preview_in_sandbox(plan, home=_home(settings), listener=display, diffs=with_diffs)
    manifest = outcome.manifest
    if output is not None:
        write_file(Path(output), manifest.to_bytes() + b"\n")
    failed = _code(outcome.error)
    if as_json:
        print_json(_document(outcome, with_diffs=with_diffs))
        return failed
    screen = settings.screen()
    volatile = [step.volatile for step in plan.steps]
    print_manifest(
        screen, manifest, held=outcome.held, diffs=outcome.diffs if with_diffs else None, volatile=volatile, whole=whole
    )
    screen.blank()
    if outcome.error is not None:
        screen.line((f"{screen.symbols.failed} ", "red"), f"the preview ended early: {outcome.error}")
    if outcome.stops:
        screen.line((f"{screen.symbols.failed} a live run would be stopped: {outcome.stops}", "red"))
    if outcome.error is None:
        screen.line(("manifest ", "dim"), manifest.digest)
    screen.line((_untouched(plan, manifest), "dim"))
    if not applied or outcome.error is not None:
        if outcome.error is None and not outcome.stops and not all(step.is_empty for step in manifest.steps):
            screen.line((_next(settings, subject, variables), "dim"))
        return failed
    outcome.require_declared()
    from hearth.cli._apply import apply_preview

    return apply_preview(settings, plan, manifest, yes=yes, reason=reason, key=key)


def _untouched(plan: Plan, manifest: Manifest) -> str:
    """Return what is as it was, and what was reached all the same: only steps that declare hosts have a network."""
    online = [
        step for step in manifest.steps if any(one.category.name == "NETWORK" for one in plan.steps[step.index].effects)
    ]
    reached = sorted({one for step in online for one in step.connections if not one.startswith(_OUT_OF_REACH)})
    asked = any(step.way == "transaction" for step in manifest.steps)
    told = "the files here are as they were" if reached or asked else "the host is as it was"
    if asked:
        told += "; what the database server was asked to do was rolled back there"
    if reached:
        more = f" and {len(reached) - _MOST_REACHED} more" if len(reached) > _MOST_REACHED else ""
        told += f"; what was sent over connections was sent ({', '.join(reached[:_MOST_REACHED])}{more})"
    return told


def _document(outcome: PreviewOutcome, *, with_diffs: bool) -> dict[str, Any]:
    """Return what --json prints."""
    # What was broken off has no digest: nothing can be bound to it.
    document = {**outcome.manifest.to_dict(), "digest": outcome.manifest.digest if outcome.error is None else None}
    if outcome.error is not None:
        document["error"] = str(outcome.error)
    document["undeclared"] = [
        {"step_index": index, "what": what} for index, held in outcome.held.items() for what in held.undeclared
    ]
    document["missing"] = [
        {"step_index": index, **effect.to_dict()} for index, held in outcome.held.items() for effect in held.missing
    ]
    if with_diffs:
        document["diffs"] = [
            {"step_index": index, "path": path, "lines": lines} for (index, path), lines in outcome.diffs.items()
        ]
        document["rows"] = [
            {"step_index": step.index, "database": row.database, "table": row.table, "lines": list(row.examples)}
            for step in outcome.manifest.steps
            for row in step.rows
            if row.examples
        ]
    return document


def _code(error: HearthError | None) -> int:
    """Return the exit code: whatever else ended a preview early is a failure, but a signal says its number."""
    if error is None:
        return Exit.DONE
    return exit_code(error) if isinstance(error, RunInterruptedError) else Exit.FAILED


def _next(settings: Settings, subject: tuple[str, ...], variables: tuple[str, ...]) -> str:
    """Return what to type to have it done for good."""
    from hearth.cli._manifest_text import copyable
    from hearth.observe import program_text

    if _home(settings) is None:
        return "to have it done and recorded: hearth init, hearth keygen --trust NAME, then preview it there"
    if _is_plan(subject):
        given = [word for variable in variables for word in ("--var", variable)]
        return f"to have it approved: hearth request {copyable(program_text([*subject, *given]))} --preview --reason …"
    return f"to have it done, as shown: hearth preview --apply -- {copyable(program_text(subject))}"


def _is_plan(subject: tuple[str, ...]) -> bool:
    return len(subject) == 1 and subject[0].endswith(_PLAN_ENDINGS)


def _plan(subject: tuple[str, ...], variables: tuple[str, ...]) -> Plan:
    from hearth.operations import command_plan
    from hearth.plan import load_plan

    if _is_plan(subject):
        return load_plan(subject[0], variables=read_variables(variables))
    if variables:
        raise click.UsageError("--var is for plans; a command has no variables")
    return command_plan(subject, folder=Path.cwd())


def _home(settings: Settings) -> LedgerHome | None:
    try:
        return settings.find_home()
    except LedgerNotFoundError:
        return None
