"""The file task: one change of one file, at once or not at all, with what it was kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import TaskError
from hearth.execution._task import TaskResult
from hearth.execution.tasks._change import Change
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._describe import as_text, input_name, one_line
from hearth.plan import Secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.execution._task import Task, TaskContext

__all__ = ["FILE", "FileTask"]

_PATH = {"type": "string", "minLength": 1}
_MODE = {
    "type": "string",
    "pattern": "^[0-7]{3,4}$(?!\\n)",
    "description": 'Permission bits as an octal text, such as "0640"',
}
_ACTIONS = ("write", "append", "template", "copy", "move", "delete", "path")
_ONLY_WITH = {
    "content": ("write", "append"),
    "to": ("template", "copy", "move"),
    "variables": ("template",),
    "mode": ("write", "append", "template", "copy", "path"),
    "overwrite": ("write", "template", "copy", "move"),
    "parents": ("write", "append", "template", "copy", "move"),
    "missing_ok": ("delete",),
}
_NEEDS = {
    "write": ["content"],
    "append": ["content"],
    "template": ["to"],
    "copy": ["to"],
    "move": ["to"],
    "path": ["mode"],
}


class FileTask:
    """Writes, appends to, fills in, copies, moves, deletes or re-modes one regular file.

    Paths start at the plan's `cwd`. A file that is changed, replaced or deleted is first kept in the store, so that it
    can be put back; where that is not possible the effect says that it cannot be undone.
    """

    name = "file"
    version = "1"
    schema: Mapping[str, Any] = {
        "description": "exactly one of write, append, template, copy, move, delete and path (with mode)",
        "type": "object",
        "properties": {
            "write": {**_PATH, "description": "The file to write; it is replaced whole"},
            "append": {**_PATH, "description": "The file to add to; it is made when it is not there"},
            "template": {**_PATH, "description": "A Jinja2 template, an input of the plan"},
            "copy": {**_PATH, "description": "The file to copy"},
            "move": {**_PATH, "description": "The file to move"},
            "delete": {**_PATH, "description": "The file to delete"},
            "path": {**_PATH, "description": "The file whose mode is to change"},
            "content": {"type": "string", "description": "What to write or append, in UTF-8"},
            "to": {**_PATH, "description": "The file that template, copy and move make"},
            "variables": {
                "type": "object",
                "description": "Values for the template; each one that it uses must be there",
            },
            "mode": _MODE,
            "overwrite": {"type": "boolean", "description": "Replace a file that is there; true by default"},
            "parents": {"type": "boolean", "description": "Make folders that are missing; false by default"},
            "follow": {"type": "boolean", "description": "Act on what a symbolic link points to; false by default"},
            "missing_ok": {"type": "boolean", "description": "Deleting what is not there succeeds; false by default"},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [action]} for action in _ACTIONS],
        "dependentRequired": _NEEDS,
        "allOf": [
            {"if": {"required": [key]}, "then": {"anyOf": [{"required": [action]} for action in actions]}}
            for key, actions in _ONLY_WITH.items()
        ],
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the port prescribes it
        """Return the template, where one is named."""
        return input_name(params, "template")

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
        """Return `file:` and the path of each file that is changed, as the plan writes it."""
        return tuple(f"file:{path}" for path in _changed(params))

    def acts_on(self, params: Any, cwd: Path) -> tuple[str, ...]:  # noqa: ANN401 - as above
        """Return the targets with real, absolute paths; TaskError when a secret decides on one."""
        paths = _changed(params)
        for path in paths:
            if Secrets.references(path) or "\0" in path:
                raise TaskError("a secret decides which file is changed; write the path out")
        return tuple(f"file:{os.path.realpath(cwd / path)}" for path in paths)

    def summary(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return action and files."""
        action = _action(params)
        if action == "path":
            return one_line(f"set the mode of {one_line(params['path'])} to {params['mode']}")
        to = f" to {one_line(params['to'])}" if "to" in params else ""
        content = params.get("content")
        more = f": {one_line(content, 40)}" if isinstance(content, str) else ""
        return one_line(f"{action} {one_line(params[action])}{to}{more}")

    def unseen(self, params: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """Return what this task cannot see of its own effects: nothing."""
        return ""

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - as above
        """Do it; failed when the file is not what the task needs, or the system refuses.

        `details`: `path`, `before` and `after` (each null, or `sha256`, `size`, `mode`), `changed`, and `from`.
        """
        change = Change(params, context)
        try:
            change.make(_action(params))
            error = ""
        except TaskError as problem:
            error = str(problem)
        except OSError as problem:
            where = problem.filename if isinstance(problem.filename, str | Path) else change.path
            error = f"{where}: {_explained(problem)}"
        error = clean(error, context.redactor)
        return TaskResult(failed=bool(error), error=error, details=change.details, side_effects=tuple(change.effects))


def _action(params: Mapping[str, Any]) -> str:
    return next(action for action in _ACTIONS if action in params)


def _changed(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths that are written to or removed; what is copied or filled in is only read."""
    action = _action(params)
    source = () if action in ("template", "copy") else (params[action],)
    return tuple(as_text(path) for path in (*source, *((params["to"],) if "to" in params else ())))


def _explained(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        user = f" as user {os.geteuid()}" if hasattr(os, "geteuid") else ""
        return f"{error.strerror}{user}"
    return error.strerror or str(error)


FILE: Task = FileTask()
