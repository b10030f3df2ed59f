"""`hearth exec`: run one command and record it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from hearth.cli._approval import approval_options, choose_approval
from hearth.cli._confirm import require_reason
from hearth.cli._json import json_option
from hearth.cli._options import confirmation_options, id_option, mode_option

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.execution import RunListener
    from hearth.record import ExecutionRecord

__all__ = ["exec_command"]


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT]...")
@mode_option("live")
@confirmation_options
@approval_options
@click.option("--name", metavar="NAME", help="The plan's id in the record; exec-PROGRAM by default.")
@click.option("--timeout", metavar="TIME", help="Stop the command after this time: 30s, 5m, 1h.")
@click.option(
    "--env", "environment", multiple=True, metavar="NAME[=VALUE]",
    help="Give the command a variable: NAME from here, its value kept out of the record, or NAME=VALUE; repeatable.",
)  # fmt: skip
@click.option(
    "--stdin", metavar="FILE|-", help="Give the command this input, a file or - for standard input; without it, none."
)
@id_option
@json_option
@click.pass_obj
def exec_command(
    settings: Settings,
    command: tuple[str, ...],
    mode: str,
    *,
    yes: bool,
    reason: str | None,
    request_id: str | None,
    key: str | None,
    emergency: bool,
    name: str | None,
    timeout: str | None,
    environment: tuple[str, ...],
    stdin: str | None,
    execution_id: str | None,
    as_json: bool,
) -> int:
    """Run one command and record it: a plan of one step, without writing a plan.

    It runs without a shell, here, LIVE, once you have approved it (or with --yes and --reason). Its output passes
    through; of the environment it sees PATH, HOME and the like, and what --env gives it. The exit code is 0 when the
    command's was 0, else 1; the command's own is shown and recorded.

    Its input is empty, also where this one's is a pipe, unless --stdin names one. That is read to its end, at most
    64 MiB, before anything runs, and belongs to the plan as every input does.
    """
    require_reason(yes=yes, reason=reason, emergency=emergency)
    given = _environment(environment)
    from pathlib import Path

    from hearth.cli._finish import finish_command, print_outcome_json
    from hearth.cli._late_signals import LateSignals
    from hearth.cli._live import PassThrough, stopping_notice
    from hearth.cli._stdin import input_file, say_what_was_ignored
    from hearth.operations import command_plan, run_plan
    from hearth.security import LiveMode

    live_mode = LiveMode(mode.upper().replace("-", "_"))
    home = settings.find_home()
    screen = settings.screen(to_stderr=True)
    with input_file(stdin) as file:
        plan = command_plan(command, folder=Path.cwd(), name=name, timeout=timeout, env=given, stdin=file)
        approval = choose_approval(
            settings,
            home,
            plan,
            live_mode,
            yes=yes,
            reason=reason,
            request_id=request_id,
            key=key,
            emergency=emergency,
        )
        with LateSignals(keeps=settings.ends_process) as late, stopping_notice(screen, late):
            outcome = run_plan(
                plan,
                home=home,
                mode=live_mode,
                confirmation=approval.confirmation,
                request_id=approval.request_id,
                execution_id=execution_id,
                # Its other methods are left out.
                listener=late.told_by(cast("RunListener", PassThrough(to_stderr=as_json))),
            )
    if stdin is None:
        say_what_was_ignored()
    code = _own_code(outcome.record)
    if as_json:
        print_outcome_json(outcome, str(home.root), command_exit_code=code)
    return finish_command(screen, outcome, own_code=code)


def _environment(given: tuple[str, ...]) -> dict[str, Any]:
    """Return the step's environment: values that are given are recorded as they are, names become references."""
    environment: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise click.UsageError(f"--env {text!r} is not of the form NAME or NAME=VALUE")
        environment[name] = value if equals else {"secret": f"env:{name}"}
    return environment


def _own_code(record: ExecutionRecord) -> int | None:
    """Return the command's own exit code; None when it has none (a signal ended it, it did not start)."""
    for event in record.step_events:
        code = event.details.get("exit_code")
        if isinstance(code, int):
            return code
    return None
