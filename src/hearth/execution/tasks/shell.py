"""The shell task: a script, a command without a shell, or a script file, in a process group of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from hearth.execution._process import Command, prepare
from hearth.execution._task import TaskResult
from hearth.execution.tasks._command import last_line, run_command
from hearth.execution.tasks._describe import command_line, input_name, one_line, refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.execution._task import Task, TaskContext

__all__ = ["SHELL", "ShellTask"]

_ADVICE = "pass it in the step's env, as {NAME: {secret: …}}, and use $NAME, or pass it by stdin"
_TEXT = {"type": "string"}
_SOME_TEXT = {"type": "string", "minLength": 1}
_WORDS = {"type": "array", "items": _TEXT}
_CODE = {"type": "integer", "minimum": 0, "maximum": 255}


class ShellTask:
    """Runs a command and keeps its output; what else the command does, nobody but an observer sees.

    The process gets the scrubbed environment, the null device as its input, and no descriptor of HEARTH's.
    A word of `argv` or `args`, and `file`, that is the path of an input is replaced by the private copy.
    """

    name = "shell"
    version = "1"
    schema: Mapping[str, Any] = {
        "description": "A script for sh, or exactly one of script, argv and file with its options",
        "anyOf": [
            {"type": "string", "minLength": 1, "description": "A script for sh"},
            {
                "type": "object",
                "description": "exactly one of script, argv and file, with its options",
                "properties": {
                    "script": {**_SOME_TEXT, "description": "A script, run as `sh -c`"},
                    "argv": {**_WORDS, "minItems": 1, "description": "A program and its arguments, without a shell"},
                    "file": {**_SOME_TEXT, "description": "A script file, an input of the plan"},
                    "args": {**_WORDS, "description": "Arguments of the script or file: $1, $2, …"},
                    "shell": {**_SOME_TEXT, "description": "The shell's name, for script and file; sh by default"},
                    "stdin": {**_TEXT, "description": "What the command reads from its input; nothing by default"},
                    "expect_exit": {
                        "description": "The exit code, or codes, that mean success; 0 by default",
                        "anyOf": [_CODE, {"type": "array", "items": _CODE, "minItems": 1}],
                    },
                    "env": {
                        "description": "Environment variables besides the step's",
                        "type": "object",
                        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$(?!\\n)"},
                        "additionalProperties": _TEXT,
                    },
                },
                "additionalProperties": False,
                "oneOf": [{"required": ["script"]}, {"required": ["argv"]}, {"required": ["file"]}],
                "dependentSchemas": {"argv": {"properties": {"args": False, "shell": False}}},
            },
        ],
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the port prescribes it
        """Return the script file, where one is named. TaskError for a secret in what is run."""
        if isinstance(params, dict):
            refuse_secrets(
                params, ("argv", "args", "shell"), f"every user of the host can read a command's words; {_ADVICE}"
            )
        refuse_secrets(params, ("script",), f"its value would be run as code; {_ADVICE}")
        return input_name(params, "file") if isinstance(params, dict) else ()

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - as above
        """Return `host`: a command acts here."""
        return ("host",)

    def summary(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return the command on one line, each word as a shell would take it; of a script, what it begins with."""
        call = _read(params)
        if call.argv:
            return command_line(call.argv)
        what = command_line([call.file]) if call.file else one_line(call.script)
        shell = f"{call.shell}: " if call.shell else ""
        return f"{shell}{what} {command_line(call.args)}".rstrip()

    def prepare(self) -> None:
        """Start what the first command of a run needs, without waiting for it."""
        prepare()

    def unseen(self, params: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """Return what this task cannot see of its own effects."""
        return "a command may do anything that its user may; it reports no effects by itself"

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - as above
        """Run it; failed when the exit code is another than expected, or when it had to be stopped."""
        call = _read(params)
        command = Command(
            argv=_argv(call, context),
            cwd=context.cwd,
            env={**context.env, **call.env},
            stdin=None if call.stdin is None else call.stdin.encode(),
        )
        done = run_command(command, context)
        error = done.error
        if not error and done.outcome is not None and done.outcome.exit_code not in call.expect_exit:
            expected = "" if call.expect_exit == (0,) else f" (expected {' or '.join(map(str, call.expect_exit))})"
            why = last_line(done.details)
            error = f"exit code {done.outcome.exit_code}{expected}" + (f": {why}" if why else "")
        return TaskResult(failed=bool(error), error=error, details=done.details)


class _Call(NamedTuple):
    script: str = ""
    argv: tuple[str, ...] = ()
    file: str = ""
    args: tuple[str, ...] = ()
    shell: str = ""
    stdin: str | None = None
    expect_exit: tuple[int, ...] = (0,)
    env: Mapping[str, str] = {}


def _read(params: Any) -> _Call:  # noqa: ANN401 - a JSON tree, valid by the schema
    if isinstance(params, str):
        return _Call(script=params)
    if set(params) == {"secret"}:
        return _Call(script=f"{{secret: {params['secret']}}}")
    codes = params.get("expect_exit", 0)
    return _Call(
        script=params.get("script", ""),
        argv=tuple(params.get("argv", ())),
        file=params.get("file", ""),
        args=tuple(params.get("args", ())),
        shell=params.get("shell", ""),
        stdin=params.get("stdin"),
        expect_exit=(codes,) if isinstance(codes, int) else tuple(codes),
        env=params.get("env", {}),
    )


def _argv(call: _Call, context: TaskContext) -> tuple[str, ...]:
    def private(word: str) -> str:
        return context.inputs.resolve(word) if context.inputs is not None else word

    shell = call.shell or "sh"
    if call.argv:
        return tuple(private(word) for word in call.argv)
    arguments = tuple(private(word) for word in call.args)
    if call.script:
        return (shell, "-c", call.script, shell, *arguments)
    file = private(call.file)
    if file == call.file:
        file = os.path.normpath(context.folder / file)  # without copies: as it lies in the plan's folder
    if not call.shell and os.access(file, os.X_OK):
        return (file, *arguments)
    return (shell, file, *arguments)


SHELL: Task = ShellTask()
