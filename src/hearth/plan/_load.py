"""Loading: from a file or a mapping to a Plan, with everything that is wrong reported at once."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from hearth.errors import TaskError
from hearth.plan._clear import secrets_in_clear
from hearth.plan._digest import plan_digest
from hearth.plan._effects import check_own_inputs, parse_effect
from hearth.plan._hints import RollbackHint
from hearth.plan._inputs import InputError, InputFiles
from hearth.plan._limits import MAX_STEPS, MAX_TIMEOUT
from hearth.plan._model import Plan, Step
from hearth.plan._paths import absolute
from hearth.plan._patterns import matches_anything
from hearth.plan._problems import Problems
from hearth.plan._secrets import check_secrets, without_secrets
from hearth.plan._source import parse_source, read_source
from hearth.plan._tasks import load_tasks
from hearth.plan._tree import plain_tree
from hearth.plan._validate import validate
from hearth.plan._variables import render
from hearth.record import freeze

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hearth.plan._effects import DeclaredEffect
    from hearth.plan._ports import TaskSpec
    from hearth.plan._problems import JsonPath

__all__ = ["load_plan", "parse_plan", "parts_of"]

_DURATION = re.compile(r"([0-9.]+)(ms|s|m|h)")
_IN_CLEAR = "a secret stands here in clear; give it as {secret: env:NAME}"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def load_plan(
    path: str | os.PathLike[str],
    *,
    variables: Mapping[str, str] | None = None,
    tasks: Mapping[str, TaskSpec] | None = None,
) -> Plan:
    """Load a plan file: JSON where its name ends in `.json`, else YAML.

    `variables` take the place of variables that the plan declares; `tasks` are the installed ones by default. Inputs
    are read and hashed. Raises PlanError with all problems, by line, as `file:line: path: what`. Bounds on size, depth
    and numbers keep time and memory bounded for every file.
    """
    problems = Problems(os.fspath(path))
    file = absolute(path)
    data, problems.marks = parse_source(read_source(file, problems), problems, json=file.suffix.lower() == ".json")
    tree = plain_tree(data, problems)
    return _Loader(problems, load_tasks() if tasks is None else tasks, file.parent, file).load(tree, variables)


def parse_plan(
    data: Mapping[str, Any],
    *,
    folder: str | os.PathLike[str],
    tasks: Mapping[str, TaskSpec] | None = None,
) -> Plan:
    """Make a plan of a Python mapping; relative paths start at `folder`. Raises PlanError as `load_plan` does."""
    problems = Problems("plan")
    tree = plain_tree(data, problems)
    root = absolute(folder)
    return _Loader(problems, load_tasks() if tasks is None else tasks, root, None).load(tree, None)


def parts_of(plan: Plan, tasks: Mapping[str, TaskSpec]) -> dict[str, Any]:
    """Return, by their names, the parts of a plan that follow from its document, built anew."""
    return _Loader(Problems(plan.id), tasks, plan.folder, plan.path).parts(plan.document)


class _Loader:
    def __init__(self, problems: Problems, tasks: Mapping[str, TaskSpec], folder: Path, file: Path | None) -> None:
        self._problems = problems
        self._tasks = tasks
        self._folder = folder
        self._file = file

    def load(self, tree: object, overrides: Mapping[str, str] | None) -> Plan:
        if not isinstance(tree, dict):
            self._problems.fatal((), "a plan is a mapping with the keys plan and steps")
        if len(self._raw_steps(tree)) > MAX_STEPS:  # said before each is validated, which would take long
            self._problems.fatal(("steps",), f"more than {MAX_STEPS} steps; make several plans of it")
        document = render(tree, overrides, self._problems)
        document = freeze(document)
        seen = freeze(self._with_secrets_as_texts(document))
        validate(seen, self._tasks, self._problems)
        inputs = self._inputs(seen)
        steps = self._steps(seen)
        self._refuse_own_inputs(inputs, seen)
        self._problems.raise_if_any()
        used = {name for step in steps for name in (step.task_type, *(step.undo or ()))}
        files = freeze(dict(sorted(inputs.files.items())))
        return Plan(
            **self._parts(document, seen, tuple(steps)),
            description=document.get("description", ""),
            path=self._file,
            folder=self._folder,
            document=document,
            inputs=files,
            input_folders=tuple(sorted(inputs.folders)),
            digest=plan_digest(document, files, {name: self._tasks[name].version for name in sorted(used)}),
            warnings=tuple(self._problems.rendered(path, _IN_CLEAR) for path in secrets_in_clear(document)),
        )

    def parts(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `load` derives from a rendered document that was valid then; inputs are left alone."""
        seen = freeze(self._with_secrets_as_texts(document))
        parts = self._parts(document, seen, tuple(self._steps(seen)))
        self._problems.raise_if_any()
        return parts

    def _parts(self, document: Mapping[str, Any], seen: Mapping[str, Any], steps: tuple[Step, ...]) -> dict[str, Any]:
        return {
            "id": document["plan"],
            "steps": steps,
            "variables": document.get("variables", freeze({})),
            "cwd": self._cwd(seen),
            "env": seen.get("env", freeze({})),
            "concurrency": document.get("concurrency", 1),
            "disclosable": tuple(document.get("disclosable", ())),
        }

    def _with_secrets_as_texts(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document as schemas and tasks see it: with texts for `{secret: …}` where secrets may stand.

        That is in the parameters of tasks and in environments; malformed references are noted.
        """
        places: list[tuple[JsonPath, dict[str, Any], str]] = []
        seen = dict(document)
        places.append(((), seen, "env"))
        if isinstance(seen.get("steps"), list):
            seen["steps"] = [dict(step) if isinstance(step, dict) else step for step in seen["steps"]]
            for index, step in enumerate(seen["steps"]):
                if isinstance(step, dict):
                    places += [(("steps", index), step, key) for key in ("env", "undo", *self._tasks)]
        for path, holder, key in places:
            if key in holder:
                check_secrets(holder[key], (*path, key), self._problems)
                holder[key] = without_secrets(holder[key])
        return seen

    def _sound(self, path: JsonPath) -> bool:
        """Whether nothing wrong is known at or below `path`, so that it can be built."""
        return not self._problems.concern(path)

    def _raw_steps(self, document: Mapping[str, Any]) -> list[Any]:
        steps = document.get("steps")
        return steps if isinstance(steps, list) else []

    def _task_places(self, document: Mapping[str, Any]) -> Iterator[tuple[JsonPath, str, Any]]:
        """Yield each task of the plan, undos too, whose parameters are sound: path, name, parameters."""
        for index, step in enumerate(self._raw_steps(document)):
            if not isinstance(step, dict):
                continue
            undo = step.get("undo")
            for path, holder in ((("steps", index), step), (("steps", index, "undo"), undo)):
                for name in self._tasks:
                    if isinstance(holder, dict) and name in holder and self._sound((*path, name)):
                        yield (*path, name), name, holder[name]

    def _inputs(self, document: Mapping[str, Any]) -> InputFiles:
        inputs = InputFiles(self._folder)
        listed = document.get("inputs")
        wanted: list[tuple[JsonPath, str]] = []
        if isinstance(listed, list):
            places = ((("inputs", index), name) for index, name in enumerate(listed))
            wanted += [(path, name) for path, name in places if isinstance(name, str) and self._sound(path)]
        for path, name, params in self._task_places(document):
            wanted += [(path, file) for file in self._named_by(path, name, params)]
        for path, name in wanted:
            try:
                inputs.add(name)
            except InputError as error:
                self._problems.add(path, str(error))
        return inputs

    def _named_by(self, path: JsonPath, name: str, params: object) -> tuple[str, ...]:
        try:
            named = tuple(self._tasks[name].inputs(params, self._folder))
        except TaskError as error:
            self._problems.add(path, str(error))
        except Exception as error:  # noqa: BLE001 - third-party code may fail in any way; the message names it
            self._problems.add(path, f"the task {name} cannot tell its inputs: {type(error).__name__}: {error}"[:300])
        else:
            if all(isinstance(file, str) for file in named):
                return named
            self._problems.add(path, f"the task {name} names inputs that are not texts")
        return ()

    def _steps(self, document: Mapping[str, Any]) -> list[Step]:
        """Build the steps that are sound; when one is missing, a problem is known and no plan comes of it."""
        steps: list[Step] = []
        for index, raw in enumerate(self._raw_steps(document)):
            if not isinstance(raw, dict):
                continue
            timeout = self._timeout(raw.get("timeout"), ("steps", index, "timeout"))
            self._check_volatile(raw.get("volatile"), ("steps", index, "volatile"))
            if not self._sound(("steps", index)):
                continue
            task_type = next(name for name in self._tasks if name in raw)
            hint = raw.get("rollback")
            step = Step(
                index=index,
                name=raw["name"],
                task_type=task_type,
                params=raw[task_type],
                effects=tuple(parse_effect(entry) for entry in raw.get("effects", ())),
                rollback=None if hint is None else RollbackHint(step_index=index, **hint),
                undo=raw.get("undo"),
                timeout=timeout,
                volatile=tuple(raw.get("volatile", ())),
                env=raw.get("env", freeze({})),
            )
            steps.append(step)
        return steps

    def _check_volatile(self, patterns: object, path: JsonPath) -> None:
        """Refuse patterns that would leave nothing of a step to be held to its preview."""
        for number, pattern in enumerate(patterns if isinstance(patterns, list | tuple) and self._sound(path) else ()):
            if matches_anything(pattern):
                self._problems.add((*path, number), "matches anything: nothing would be held to what was approved")

    def _timeout(self, value: object, path: JsonPath) -> float | None:
        if value is None or not self._sound(path):
            return None
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.fullmatch(str(value))
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
        if not 0 < seconds <= MAX_TIMEOUT:
            self._problems.add(path, "must be more than 0 and at most 30 days (720h)")
        return seconds

    def _cwd(self, document: Mapping[str, Any]) -> Path:
        cwd = document.get("cwd", ".")
        return absolute(self._folder / cwd) if isinstance(cwd, str) else self._folder

    def _refuse_own_inputs(self, inputs: InputFiles, document: Mapping[str, Any]) -> None:
        files = {name: self._folder / name for name in inputs.files}
        if self._file is not None:
            files[self._file.name] = self._file
        effects: list[tuple[JsonPath, DeclaredEffect]] = []
        for index, step in enumerate(self._raw_steps(document)):
            path: JsonPath = ("steps", index, "effects")
            if isinstance(step, dict) and self._sound(path):
                entries = enumerate(step.get("effects", ()))
                effects += [((*path, number), parse_effect(entry)) for number, entry in entries]
        check_own_inputs(effects, files, cwd=self._cwd(document), problems=self._problems)
