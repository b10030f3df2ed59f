"""`hearth plan`: look at a plan before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hearth.cli._json import json_option, print_json
from hearth.cli._options import plan_argument, read_variables, var_option
from hearth.errors import PlanError

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.plan import Plan

__all__ = ["plan"]


@click.group()
def plan() -> None:
    """Look at a plan before it runs: check, digest, schema, show."""


@plan.command()
@plan_argument
@var_option
@json_option
@click.pass_obj
def check(settings: Settings, plan_file: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Check a plan and its inputs; every problem is named, with its line. Nothing is run."""
    try:
        loaded = _load(plan_file, variables)
    except PlanError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": list(error.problems)})
        raise SystemExit(2) from None
    from hearth.operations import plan_warnings

    warnings = plan_warnings(loaded)
    if as_json:
        print_json(
            {
                "ok": True,
                "plan_id": loaded.id,
                "digest": loaded.digest,
                "steps": [step.name for step in loaded.steps],
                "inputs": dict(loaded.inputs),
                "warnings": warnings,
            }
        )
        return
    from hearth.cli._text import count

    screen = settings.screen()
    screen.line(
        (f"{screen.symbols.done} ", "green"),
        (loaded.id, "bold"),
        f" is valid: {count(len(loaded.steps), 'step')}, {count(len(loaded.inputs), 'input')}",
    )
    screen.line(("digest ", "dim"), loaded.digest, indent=2)
    for warning in warnings:
        screen.line((f"warning: {warning}", "yellow"), indent=2)


@plan.command()
@plan_argument
@var_option
@json_option
def digest(plan_file: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Print a plan's digest: what an approval is bound to. It covers variables' values and the content of inputs."""
    loaded = _load(plan_file, variables)
    if as_json:
        print_json({"plan_id": loaded.id, "digest": loaded.digest})
    else:
        click.echo(loaded.digest)


@plan.command()
@json_option
def schema(*, as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the JSON Schema of plan files, with the installed tasks: for editors."""
    from hearth.plan import plan_schema

    print_json(plan_schema())


@plan.command()
@plan_argument
@var_option
@json_option
@click.pass_obj
def show(settings: Settings, plan_file: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Show all that a plan would run, untruncated, with its variables filled in. Nothing is run."""
    from hearth.operations import preview_plan

    preview = preview_plan(_load(plan_file, variables))
    if as_json:
        print_json(preview.to_dict())
        return
    from hearth.cli._plan_text import print_preview

    print_preview(settings.screen(), preview)


def _load(plan_file: str, variables: tuple[str, ...]) -> Plan:
    values = read_variables(variables)
    from hearth.plan import load_plan

    return load_plan(plan_file, variables=values)
