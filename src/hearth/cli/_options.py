"""Options and arguments that several commands share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from hearth.cli._settings import Settings
from hearth.errors import HearthError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXECUTION",
    "confirmation_options",
    "execution_argument",
    "id_option",
    "log_key_options",
    "mode_option",
    "plan_argument",
    "read_variables",
    "var_option",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

MODES = ("dry-run", "staging", "live")


class ExecutionType(click.ParamType[str]):
    """An execution id, the beginning of one, or `last`; completes from the ledger."""

    name = "execution"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """Return the ids that begin with what was typed; none where there is no ledger."""
        settings = ctx.find_object(Settings) or Settings()
        with suppress(HearthError), settings.records() as records:
            words = ["last"] if "last".startswith(incomplete) else []
            return [CompletionItem(word) for word in (*words, *records.ids(incomplete))]
        return []


EXECUTION = ExecutionType()


def execution_argument(function: _Function) -> _Function:
    """Give a command the argument EXECUTION."""
    return click.argument("execution", type=EXECUTION, metavar="ID|last")(function)


def plan_argument(function: _Function) -> _Function:
    """Give a command the argument PLAN, a file. Whether it can be read, loading it says."""
    return click.argument("plan_file", type=click.Path(), metavar="PLAN")(function)


def var_option(function: _Function) -> _Function:
    """Give a command --var, repeatable; read it with `read_variables`."""
    return click.option(
        "--var", "variables", multiple=True, metavar="KEY=VALUE", help="A value for a variable of the plan; repeatable."
    )(function)


def mode_option(default: str) -> Callable[[_Function], _Function]:
    """Give a command --mode."""
    return click.option(
        "--mode",
        type=click.Choice(MODES, case_sensitive=False),
        default=default,
        show_default=True,
        help="dry-run acts on nothing; staging acts on what the policy lists; live asks for a confirmation.",
    )


def confirmation_options(function: _Function) -> _Function:
    """Give a command --yes and --reason."""
    function = click.option("--reason", metavar="TEXT", help="Why it is run; recorded.")(function)
    return click.option("--yes", is_flag=True, help="Confirm a live run without a question; needs --reason.")(function)


def id_option(function: _Function) -> _Function:
    """Give a command --id; what other commands could not name is a usage error."""
    return click.option(
        "--id",
        "execution_id",
        metavar="ID",
        callback=_nameable,
        help="The execution's id, instead of a fresh one.",
    )(function)


def log_key_options(name: str) -> Callable[[_Function], _Function]:
    """Give a command the options that say whose checkpoints are believed; `name` is that of the log's key."""

    def add(function: _Function) -> _Function:
        function = click.option(
            "--policy",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Logs, witnesses, and which of them have to cosign (C2SP tlog-policy).",
        )(function)
        function = click.option(
            "--quorum", type=click.IntRange(0), metavar="N", help="How many of the witnesses have to cosign; else all."
        )(function)
        function = click.option(
            "--witness", "witnesses", multiple=True, metavar="VKEY|FILE", help="A witness's verifier key; repeatable."
        )(function)
        return click.option(
            name,
            "log_keys",
            multiple=True,
            metavar="VKEY|FILE",
            help="The log's verifier key, kept elsewhere; repeatable.",
        )(function)

    return add


def _nameable(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value.strip() or value == "last"):
        raise click.BadParameter(f"{value!r} cannot be an execution's id: no command could name it")
    return value


def read_variables(given: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of --var; one without `=`, or given twice, is a usage error."""
    variables: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--var {text!r} is not of the form KEY=VALUE")
        if key in variables:
            raise click.UsageError(f"--var {key} is given twice")
        variables[key] = value
    return variables
