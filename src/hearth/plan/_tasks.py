"""The tasks that are installed: entry points of the group `hearth.tasks`, so that others can add theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING

from hearth.errors import PlanError
from hearth.plan._ports import TaskSpec
from hearth.plan._schema import STEP_KEYS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "load_tasks"]

GROUP = "hearth.tasks"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@cache
def load_tasks() -> Mapping[str, TaskSpec]:
    """Return the installed tasks by name, sorted; loaded once per process.

    Raises PlanError that names every entry point that cannot be loaded, is no TaskSpec, or has another's name.
    """
    tasks: dict[str, TaskSpec] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    found = {(point.name, point.value): point for point in entry_points(group=GROUP)}  # a path may be listed twice
    for point in sorted(found.values(), key=lambda point: (point.name, point.value)):
        origin = f"entry point {point.name} = {point.value} of {GROUP}"
        if point.name in origins:
            problems.append(f"{origin}: {origins[point.name]} has the same name; uninstall one of the two")
            continue
        origins[point.name] = origin
        try:
            tasks[point.name] = _load(point)
        except Exception as error:  # noqa: BLE001 - third-party code may fail in any way; the message names it
            why = str(error) if isinstance(error, PlanError) else f"cannot be loaded: {type(error).__name__}: {error}"
            problems.append(f"{origin}: {why}")
    if not found:
        problems.append(f"no entry point of {GROUP} is installed; install the distribution hearth-recorder")
    if problems:
        raise PlanError(problems)
    return MappingProxyType(tasks)


def _load(point: EntryPoint) -> TaskSpec:
    loaded = point.load()
    task = loaded() if isinstance(loaded, type) else loaded
    if not isinstance(task, TaskSpec):
        parts = ("name", "version", "schema", "inputs", "targets", "summary")
        missing = [part for part in parts if not hasattr(task, part)]
        raise PlanError(f"is no task: it lacks {', '.join(missing)}")
    if task.name != point.name:
        raise PlanError(f"the task calls itself {task.name!r}; both names must be equal")
    if not _NAME.fullmatch(task.name) or task.name in STEP_KEYS:
        raise PlanError("a task's name has lower-case letters, digits and _, and is no key of a step")
    if not isinstance(task.version, str) or not task.version:
        raise PlanError("the task has no version, a text")
    if not isinstance(task.schema, Mapping):
        raise PlanError("the task's schema is not a mapping")
    return task
