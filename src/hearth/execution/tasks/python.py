"""The python task: a function or a script, in a child process, from the private copies of the inputs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.execution._process import Command, prepare
from hearth.execution._task import TaskEffect, TaskResult
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._command import last_line, run_command
from hearth.execution.tasks._describe import input_name, one_line
from hearth.execution.tasks._modules import module_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.execution._task import Task, TaskContext
    from hearth.execution.tasks._command import CommandRun

__all__ = ["PYTHON", "PythonTask", "report_effect"]

_CHILD = str(Path(__file__).with_name("_python_child.py"))
_FLAGS = ("-P", "-s", "-B", "-u")  # no unsafe path, no user's packages, no .pyc, no buffering
_LARGEST_MESSAGE = 16 << 20
_LARGEST_INLINE = 64 << 10
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


class PythonTask:
    """Calls a function, or runs a script, with the interpreter that runs HEARTH.

    The child imports from the private copies of the inputs first, then what is installed; not from the folder it runs
    in. Arguments go to it, and the result comes back, through pipes of their own: what it prints is output. An argument
    that is the path of an input is replaced by the private copy.
    """

    name = "python"
    version = "1"
    schema: Mapping[str, Any] = {
        "description": "Exactly one of call and script, with args",
        "type": "object",
        "properties": {
            "call": {
                "type": "string",
                "pattern": rf"^{_NAME}(\.{_NAME})*:{_NAME}(\.{_NAME})*$(?!\n)",
                "description": 'a function as "module:function"; the module lies in the plan\'s folder or is installed',
            },
            "script": {"type": "string", "minLength": 1, "description": "A Python file, an input of the plan"},
            "args": {"description": "For call: arguments by name, or a list; for script: a list of texts"},
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["call"]}, {"required": ["script"]}],
        "dependentSchemas": {
            "call": {"properties": {"args": {"type": ["object", "array"]}}},
            "script": {"properties": {"args": {"type": "array", "items": {"type": "string"}}}},
        },
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401 - the port prescribes it
        """Return the script, or the files of the function's module (of its whole package)."""
        if "script" in params:
            return input_name(params, "script")
        return module_files(params["call"].partition(":")[0], folder)

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - as above
        """Return `host`: Python code acts here."""
        return ("host",)

    def summary(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return the call, as Python would write it."""
        args = params.get("args", ())
        if "script" in params:
            return one_line(" ".join((f"python {params['script']}", *(one_line(word, 40) for word in args))))
        named = args.items() if isinstance(args, dict) else ()
        words = [f"{key}={_shown(value)}" for key, value in named] or [_shown(value) for value in args]
        return one_line(f"{params['call']}({', '.join(words)})")

    def prepare(self) -> None:
        """Start what the first command of a run needs, without waiting for it."""
        prepare()

    def unseen(self, params: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """Return what this task cannot see of its own effects."""
        return "Python code may do anything that its user may; only the effects that it reports are known"

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - as above
        """Run it; failed when it raises, exits with another code than 0, or had to be stopped.

        `details` are a command's, and `result`: what the function returned, as JSON.
        """
        if not sys.executable:
            return TaskResult(failed=True, error="the path of the Python interpreter is not known here")
        messages = _Messages(context)
        try:
            ends = os.pipe()
        except OSError as error:
            return TaskResult(failed=True, error=f"no pipe for the result: {error.strerror}")
        command = Command(
            argv=(sys.executable, *_FLAGS, _CHILD),
            cwd=context.cwd,
            env={**context.env, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=_request(params, context, ends[1]),
            result_pipe=ends,
        )
        done = run_command(command, context, result=messages)
        return messages.result(done, returns="call" in params)


def report_effect(
    category: str, description: str, *, reversible: bool = False, details: Mapping[str, Any] | None = None
) -> bool:
    """From inside a python task: have an effect recorded, even if the task fails later.

    `category` is the name of a SideEffectCategory. Outside of a python task nothing happens, and False is returned.
    """
    child = sys.modules.get("_hearth_python_child")
    if child is None:
        return False
    child.report(
        {
            "category": category,
            "description": description,
            "reversible": reversible,
            "details": dict(details or {}),
        }
    )
    return True


class _Messages:
    """What the child says through its pipe: a sink that hands each effect on as it comes, and at last the result."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._line = bytearray()
        self._end: dict[str, Any] = {}
        self._dropping = False
        self._dropped = self._unreadable = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what the context's `report` raises is passed on, and kills the child."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._add(line)
            self._take()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > _LARGEST_MESSAGE and not self._dropping:
            self._dropping = True
            self._dropped += 1
        if self._dropping:
            self._line.clear()
        else:
            self._line += piece

    def _take(self) -> None:
        """Read the line that is whole now."""
        line = bytes(self._line)
        self._line.clear()
        dropped, self._dropping = self._dropping, False
        if dropped or not line:
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):  # cut off when the child was stopped, or somebody else wrote there
            message = None
        if not isinstance(message, dict):
            self._unreadable += 1
        elif "effect" in message:
            for effect in _effects([message["effect"]], self._context):
                self._context.report(effect)
        else:
            self._end = message

    def result(self, done: CommandRun, *, returns: bool) -> TaskResult:
        context = self._context
        self._take()
        details = dict(done.details)
        effects = _effects(self._end.get("effects", []), context)
        error = done.error or self._why_failed(self._end, done)
        if not error and returns:
            try:
                details |= _kept(self._end["result"], context)
            except OSError as problem:
                error = f"the result cannot be kept: {problem.strerror or problem}"
        return TaskResult(
            failed=bool(error),
            error=clean(error, context.redactor),
            details=details,
            side_effects=tuple(effects),
            unseen=self._unseen(),
        )

    def _unseen(self) -> str:
        reasons = []
        if self._dropped:
            reasons.append(f"{_counted(self._dropped)} dropped, being larger than {_LARGEST_MESSAGE} bytes")
        if self._unreadable:
            reasons.append(f"{_counted(self._unreadable)} not readable")
        return f"effects may be missing: {'; '.join(reasons)}" if reasons else ""

    def _why_failed(self, end: dict[str, Any], done: CommandRun) -> str:
        if self._dropped:
            return (
                f"its result, or an effect, is larger than {_LARGEST_MESSAGE} bytes; write what is so large to a file"
            )
        if "error" in end:
            return str(end["error"])
        code = done.outcome.exit_code if done.outcome is not None else None
        if "result" not in end:
            return f"the process ended (exit code {code}) before the code had come to its end"
        if code:
            why = last_line(done.details)
            return f"exit code {code} after the code had come to its end" + (f": {why}" if why else "")
        return ""


def _request(params: Any, context: TaskContext, descriptor: int) -> bytes:  # noqa: ANN401 - a JSON tree
    folder = str(context.inputs.folder if context.inputs is not None else context.folder)
    request: dict[str, Any] = {"result": descriptor, "path": [folder]}
    if "script" in params:
        script = _private(params["script"], context)
        request["script"] = script if script != params["script"] else os.path.normpath(context.folder / script)
        request["args"] = _private(params.get("args", []), context)
    else:
        request["call"] = params["call"]
        request["args"] = _private(params.get("args", {}), context)
    return json.dumps(request).encode()


def _private(value: Any, context: TaskContext) -> Any:  # noqa: ANN401 - a JSON tree
    """Return the tree with the private copy's path in place of each text that is an input's path."""
    if context.inputs is None:
        return value
    if isinstance(value, str):
        return context.inputs.resolve(value)
    if isinstance(value, dict):
        return {key: _private(item, context) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_private(item, context) for item in value]
    return value


def _effects(reported: Any, context: TaskContext) -> list[TaskEffect]:  # noqa: ANN401 - whatever the child said
    effects = []
    for effect in reported if isinstance(reported, list) else [reported]:
        if not isinstance(effect, dict):
            effect = {"description": str(effect)}  # noqa: PLW2901 - read what is there: no effect may get lost
        given = clean(effect.get("details") or {}, context.redactor)
        effects.append(
            TaskEffect(
                str(effect.get("category", "OTHER")).upper(),
                clean(str(effect.get("description", "")), context.redactor),
                effect.get("reversible") is True,
                given if isinstance(given, dict) else {"details": given},
            )
        )
    return effects


def _kept(result: Any, context: TaskContext) -> dict[str, Any]:  # noqa: ANN401 - a JSON tree
    """Return what stands in the record for a result; a large one goes to the store, without its secrets."""
    if len(json.dumps(result)) <= _LARGEST_INLINE:
        return {"result": clean(result, context.redactor)}
    plain, _ = context.redactor.details(result)
    content = json.dumps(plain, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    return {"result": None, "result_kept": {"sha256": context.store.put(content), "bytes": len(content)}}


def _counted(messages: int) -> str:
    return "a message of the process was" if messages == 1 else f"{messages} messages of the process were"


def _shown(value: Any) -> str:  # noqa: ANN401 - a JSON tree
    if isinstance(value, dict) and set(value) == {"secret"}:
        return one_line(value, 40)
    return one_line(json.dumps(value, ensure_ascii=False), 40)


PYTHON: Task = PythonTask()
