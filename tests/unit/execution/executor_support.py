"""A small task that really acts (on a file), and plans made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hearth.execution import TaskContext, TaskEffect, TaskResult
from hearth.plan import Plan, parse_plan

if TYPE_CHECKING:
    from pathlib import Path

Hook = Callable[[TaskContext], object]


@dataclass
class Note:
    """Appends `text` to the file `notes` of the working folder; `hooks` are what a step can `call` meanwhile."""

    hooks: Mapping[str, Hook] = field(default_factory=dict)
    contexts: list[TaskContext] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    name: str = "note"
    version: str = "1"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
        return tuple(params.get("reads", ()))

    def targets(self, params: Any) -> tuple[str, ...]:
        return tuple(params.get("targets", ("host",)))

    def summary(self, params: Any) -> str:
        return f"note {params.get('text', '')}"

    def unseen(self, params: Any) -> str:
        return str(params.get("unseen", ""))

    def run(self, params: Any, context: TaskContext) -> TaskResult:
        self.contexts.append(context)
        self.params.append(params)
        with (context.cwd / "notes").open("a") as notes:
            notes.write(f"{params.get('text', '')}\n")
        effect = TaskEffect("FILE_SYSTEM", "appended to notes", reversible=True, details={"bytes": 2})
        if "call" in params:
            result = self.hooks[params["call"]](context)
            if isinstance(result, TaskResult):
                return result
        if "fail" in params:
            return TaskResult(failed=True, error=params["fail"], side_effects=(effect,))
        return TaskResult(details={"noted": True}, side_effects=(effect,))


def make_plan(folder: Path, steps: Sequence[Mapping[str, Any]], *, task: Note | None = None, **keys: Any) -> Plan:
    """Return a plan of `note` steps; each mapping is one step's parameters."""
    document = {
        "plan": "notes",
        **keys,
        "steps": [{"name": f"note {index}", "note": dict(params)} for index, params in enumerate(steps)],
    }
    return parse_plan(document, folder=folder, tasks={"note": task or Note()})


def notes(folder: Path) -> list[str]:
    """What the steps have really written."""
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def handoff_plan(*names: str) -> SimpleNamespace:
    """Return a plan as the integration handoff has them: any object with id and steps."""
    steps = [SimpleNamespace(index=index, name=name, task_type="custom") for index, name in enumerate(names)]
    return SimpleNamespace(id="handoff-plan", steps=steps)


class MemorySink:
    """A journal in memory; `fail_at` names the call (append or sync, counted from 1) that fails, as every later one."""

    def __init__(self, fail_at: tuple[str, int] | None = None, *, written: bool = False) -> None:
        from hearth.errors import RecorderError

        self.accepted: list[bytes] = []
        self.synced = 0
        self.calls: list[str] = []
        self.closed = False
        self._fail_at = fail_at
        self._written = written
        self._dead = False
        self._error = RecorderError

    def _call(self, kind: str) -> None:
        self.calls.append(kind)
        if self._dead or self._fail_at == (kind, self.calls.count(kind)):
            self._dead = True
            raise self._error(f"the disk refused the {kind}")

    def append(self, line: bytes) -> None:
        try:
            self._call("append")
        except self._error:
            if self._written:
                self.accepted.append(line)
            raise
        self.accepted.append(line)

    def sync(self) -> None:
        self._call("sync")
        self.synced = len(self.accepted)

    def lines(self) -> Any:
        return iter([line.rstrip(b"\n") for line in self.accepted])

    def close(self) -> None:
        self.closed = True
