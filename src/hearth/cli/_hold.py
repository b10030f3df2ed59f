"""`hearth hold`: legal holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from hearth.cli._json import json_option, print_json
from hearth.cli._options import EXECUTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.cli._settings import Settings

__all__ = ["hold"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


@click.group()
def hold() -> None:
    """Keep records from being purged, until they are released: an execution, or all records of a plan."""


def _subject(function: _Function) -> _Function:
    function = click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the hold.")(function)
    function = click.option("--plan", metavar="ID", help="All records of this plan, also those to come.")(function)
    return click.argument("execution", required=False, type=EXECUTION, metavar="[ID]")(function)


@hold.command("add")
@_subject
@json_option
@click.pass_obj
def add(settings: Settings, *, execution: str | None, plan: str | None, reason: str, as_json: bool) -> None:
    """Hold an execution, or a plan."""
    from hearth.operations import add_hold

    kind, name = _one(execution, plan)
    made = add_hold(settings.find_home(), kind, name, reason=reason)
    if as_json:
        print_json(made.to_dict())
    else:
        screen = settings.screen()
        screen.line((f"{screen.symbols.done} ", "green"), f"the {kind} {made.name} is on hold")


@hold.command("release")
@_subject
@json_option
@click.pass_obj
def release(settings: Settings, *, execution: str | None, plan: str | None, reason: str, as_json: bool) -> None:
    """End the hold on an execution, or on a plan."""
    from hearth.operations import release_hold

    kind, name = _one(execution, plan)
    released = release_hold(settings.find_home(), kind, name, reason=reason)
    if as_json:
        print_json({"kind": kind, "name": released})
    else:
        screen = settings.screen()
        screen.line((f"{screen.symbols.done} ", "green"), f"the {kind} {released} is no longer on hold")


@hold.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were released.")
@json_option
@click.pass_obj
def list_(settings: Settings, *, everything: bool, as_json: bool) -> None:
    """List what is on hold, since when, by whom and why."""
    from hearth.operations import list_holds

    found = list_holds(settings.find_home(), released=everything)
    if as_json:
        print_json({"holds": [item.to_dict() for item in found]})
        return
    screen = settings.screen()
    for item in found:
        screen.line(
            (f"{item.kind:<9}  ", "dim"), (item.name, "bold"), f"  since {item.created} by {item.who}: {item.why}"
        )
        if item.released is not None:
            screen.line(("released   ", "dim"), f"{item.released} by {item.released_by}", indent=2)
    if not found:
        screen.line("nothing is on hold")


def _one(execution: str | None, plan: str | None) -> tuple[Literal["execution", "plan"], str]:
    if execution is not None and plan is None:
        return "execution", execution
    if plan is not None and execution is None:
        return "plan", plan
    raise click.UsageError("name an execution ID, or --plan ID: one of them")
