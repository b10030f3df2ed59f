"""A bench for tasks: each run is a real plan, with real inputs, secrets, store and redactor."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution import Cancellation, ContentStore, TaskContext, scrubbed_environment
from hearth.execution.tasks.file import FILE
from hearth.execution.tasks.http import HTTP
from hearth.execution.tasks.python import PYTHON
from hearth.execution.tasks.shell import SHELL
from hearth.execution.tasks.sql import SQL
from hearth.plan import InputCopies, Secrets, parse_plan
from hearth.record import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.execution import Task, TaskEffect, TaskResult
    from hearth.observe import RowChanges
    from hearth.plan import Plan

TASKS: dict[str, Task] = {task.name: task for task in (FILE, HTTP, PYTHON, SHELL, SQL)}


@dataclass
class Bench:
    """Runs one task as Stage 4 would. `folder` is the plan's folder and the steps' cwd."""

    folder: Path
    private: Path
    redactor: Redactor = field(default_factory=Redactor)
    cancellation: Cancellation = field(default_factory=Cancellation)
    output: dict[str, bytes] = field(default_factory=dict)
    results: list[TaskResult] = field(default_factory=list)
    listening: bool = True
    on_report: Callable[[TaskEffect], object] = lambda _: None
    before_commit: Callable[[tuple[RowChanges, ...], tuple[str, ...]], None] | None = None
    _runs: int = 0

    def __post_init__(self) -> None:
        self.store = ContentStore(self.private / "outputs", durable=False)

    def plan(self, params: object, *, task: str, **more: Any) -> Plan:
        top: dict[str, Any] = {key: more.pop(key) for key in ("inputs", "cwd") if key in more}
        step = {"name": "the step", task: params, **more}
        return parse_plan({"plan": "bench", "steps": [step], **top}, folder=self.folder, tasks=TASKS)

    def run(self, task: str, params: object, **more: Any) -> TaskResult:
        plan = self.plan(params, task=task, **more)
        step = plan.steps[0]
        self._runs += 1
        copies = InputCopies.create(plan, self.private / f"inputs-{self._runs}")
        revealed, env = (
            Secrets.resolve(value, folder=self.folder, register=self.redactor.add_secret)
            for value in (step.params, step.env)
        )
        reported: list[TaskEffect] = []

        def report(effect: TaskEffect) -> None:
            reported.append(effect)
            self.on_report(effect)

        context = TaskContext(
            step=step,
            cwd=plan.cwd,
            env=scrubbed_environment(plan.env, env, copies),
            inputs=copies,
            timeout=step.timeout,
            cancellation=self.cancellation,
            output=self._show,
            report=report,
            store=self.store,
            redactor=self.redactor,
            folder=plan.folder,
            before_commit=self.before_commit,
        )
        result = TASKS[task].run(revealed, context)
        result = replace(result, side_effects=(*reported, *result.side_effects))
        self.results.append(result)
        return result

    def _show(self, stream: str, chunk: bytes) -> None:
        if self.listening:
            self.output[stream] = self.output.get(stream, b"") + chunk

    def kept(self, told: Any) -> bytes:
        """What the store holds for a stream's details."""
        content = self.store.read(told["sha256"])
        assert len(content) == told["bytes"]
        return content

    def assert_nowhere(self, *secrets: str) -> None:
        """No byte of the store, of the output, or of what is recorded holds one of the secrets."""
        places = {str(path): path.read_bytes() for path in self.store.folder.rglob("*") if path.is_file()}
        places |= self.output
        for number, result in enumerate(self.results):
            details, _ = self.redactor.details(result.details)
            effects, _ = self.redactor.details([[e.category, e.description, e.details] for e in result.side_effects])
            told = json.dumps([result.error, details, effects], ensure_ascii=False)
            places[f"result {number}"] = told.encode("utf-8", "surrogatepass")
        for secret in secrets:
            for form in (secret.encode(), json.dumps(secret)[1:-1].encode()):
                found = [place for place, content in places.items() if form in content]
                assert not found, f"{secret!r} stands in {found}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "plan"
    folder.mkdir()
    return Bench(folder, tmp_path / "private")
