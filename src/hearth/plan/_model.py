"""Plan and Step: what is to be done, immutable once loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import PlanChangedError
from hearth.plan._clear import values_in_clear
from hearth.plan._inputs import changed_inputs
from hearth.plan._secrets import Secrets
from hearth.record import thaw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hearth.plan._effects import DeclaredEffect
    from hearth.plan._hints import RollbackHint

__all__ = ["Plan", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan.

    `index` counts from 0. `task_type` is the task's key, `params` the frozen JSON under it; `undo` maps one task's
    key to its parameters. Secrets in `params`, `undo` and `env` are references in texts, `{secret: env:NAME}`, also
    where the plan writes them as mappings. `timeout` is in seconds. `env` adds to the plan's.
    """

    index: int
    name: str
    task_type: str
    params: Any
    effects: tuple[DeclaredEffect, ...] = ()
    rollback: RollbackHint | None = None
    undo: Mapping[str, Any] | None = None
    timeout: float | None = None
    volatile: tuple[str, ...] = ()
    env: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan as it was loaded: rendered, valid, deep-frozen.

    `document` is the rendered plan as plain JSON (frozen), `inputs` maps each input's name to its content's SHA-256
    (hex), and `digest` (hex) covers both and the versions of the tasks. An input's name is POSIX and relative to
    `folder`, the plan file's folder; absolute where it was given so and lies elsewhere. `path` is None for a plan
    that is no file. `cwd` is absolute; that it exists is checked when the plan runs. Secrets in `env` are references,
    as in a step. `warnings` say, as `file:line: path: what`, where a secret stands in clear. Two plans are equal when
    their digests and folders are.
    """

    id: str
    description: str
    steps: tuple[Step, ...]
    variables: Mapping[str, str | int | bool]
    cwd: Path
    env: Mapping[str, Any]
    concurrency: int
    disclosable: tuple[str, ...]
    path: Path | None
    folder: Path
    document: Mapping[str, Any]
    inputs: Mapping[str, str]
    input_folders: tuple[str, ...]
    digest: str
    warnings: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self.digest == other.digest and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.digest)

    def secret_variables(self, telling: Callable[[str], bool]) -> tuple[str, ...]:
        """Return the secrets that stand in the plan in clear: wherever `warnings` point, and in telling variables.

        `telling` says which names tell a secret. References are no secrets, and are left out.
        """
        told = [
            str(value)
            for name, value in self.variables.items()
            if telling(name) and not isinstance(value, bool) and not Secrets.references(value)
        ]
        return tuple(dict.fromkeys([*told, *values_in_clear(thaw(self.document))]))

    def verify_inputs(self) -> None:
        """Read every input again; raises PlanChangedError naming the first that is not the approved one.

        A file that has appeared in an input folder is a change as well.
        """
        for change in changed_inputs(self.folder, self.inputs, self.input_folders):
            raise PlanChangedError(f"plan {self.id}: {change}; restore it, or have the plan approved as it is now")
