"""A plan of one step, made from a command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import PlanError
from hearth.execution import INPUTS_VARIABLE
from hearth.plan import parse_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hearth.plan import Plan

__all__ = ["command_plan"]

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 60
_LONGEST_NAME = 60
_CONCURRENCY = 1000


def command_plan(
    command: Sequence[str],
    *,
    folder: Path | str,
    name: str | None = None,
    timeout: str | None = None,
    env: Mapping[str, Any] | None = None,
    stdin: Path | None = None,
) -> Plan:
    """Return the plan `exec-<program>` (or `name`) that runs `command` as it is, without a shell, in `folder`.

    `timeout` is a duration such as `30s`; `env` maps variables to texts or `{"secret": "env:NAME"}`. Any number of
    runs may be under way at a time. Raises PlanError for a command, name or timeout that cannot be used.

    `stdin` is a file that the command reads. It becomes the plan's one input, so the digest covers its content, and
    its folder the plan's, while the command still runs in `folder`; a shell opens the private copy, and becomes the
    command. It should have a name that no word of the command has, for such a word would mean the copy as well.
    """
    if not command or not command[0]:
        raise PlanError("no command: write it after `--`, as in `hearth exec -- cp a b`")
    words = [_literal(word) for word in command]
    step: dict[str, Any] = {"name": _step_name(command), "shell": {"argv": words}}
    if timeout is not None:
        step["timeout"] = timeout
    if env:
        step["env"] = {key: _literal(value) if isinstance(value, str) else value for key, value in env.items()}
    plan = {"plan": name or _plan_id(command[0]), "concurrency": _CONCURRENCY, "steps": [step]}
    if stdin is not None:
        step["shell"] = {
            "script": f'exec "$@" <"${INPUTS_VARIABLE}"/{_literal(shlex.quote(stdin.name))}',
            "args": words,
        }
        plan |= {"cwd": _literal(str(Path(folder).absolute())), "inputs": [_literal(stdin.name)]}
        folder = stdin.parent
    return parse_plan(plan, folder=folder)


def _literal(text: str) -> str:
    """Keep `{{` as it is: a command line has no variables of a plan."""
    return text.replace("{{", '{{ "{{" }}')


def _plan_id(program: str) -> str:
    fit = _UNFIT.sub("-", Path(program).name).strip(".-_")[:_LONGEST_ID]
    return f"exec-{fit}" if fit else "exec"


def _step_name(command: Sequence[str]) -> str:
    line = " ".join(shlex.join(command).split())
    # The whole command stands in the step's parameters; only its name is bounded.
    return _literal(line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 2] + " …")
