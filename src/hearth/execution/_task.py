"""What a task is: the port that Stage 4 runs steps through, and the data that passes through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hearth.execution._cancellation import Cancellation
    from hearth.execution._leader import Command, Leader
    from hearth.execution._store import ContentStore
    from hearth.observe import RowChanges
    from hearth.plan import InputCopies, Step
    from hearth.record import Redactor

__all__ = ["Task", "TaskContext", "TaskEffect", "TaskResult"]


@dataclass(frozen=True, slots=True)
class TaskEffect:
    """Something a task did to the world, as an operator reads it.

    `category` is the name of a SideEffectCategory (`"FILE_SYSTEM"`, …). `reversible` is true only where what is needed
    to take the effect back was kept, or where there is nothing to take back. `details` are anything the recorder can
    write down.
    """

    category: str
    description: str
    reversible: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The outcome of one step: whether it failed and why, what is to be recorded, what it did.

    A failed step may have effects too: they are those that happened before the failure. Effects that were handed to the
    context's `report` are not repeated here. `unseen` says what this run could not see of its effects, besides what the
    task says of itself.
    """

    failed: bool = False
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    side_effects: tuple[TaskEffect, ...] = ()
    unseen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """Where and how one step runs.

    `cwd` is absolute, `env` the child's whole environment, `inputs` the private copies of the plan's inputs (None:
    none), `folder` the plan file's folder, `timeout` in seconds (None: unlimited). `output` receives a stream's name
    and bytes that hold no secret; it is called from the thread that runs the task, and should return soon. `report`
    records an effect at once, while the step is under way, so that it outlives HEARTH (at most 5 ms of it are lost);
    where it raises, nothing may act any more. `start` starts a command in the step's sandbox (None: on the host); it
    calls its second argument last of all before, which raises where nothing may be started any more. `before_commit` is
    called by a task that acts in a transaction, after its last statement and before the commit, with the rows by table
    and the reasons why it may have done more; what it raises is passed on, and all is rolled back. Nothing
    may act before that, unless the step runs `in_place`.
    """

    step: Step
    cwd: Path
    env: Mapping[str, str]
    inputs: InputCopies | None
    timeout: float | None
    cancellation: Cancellation
    output: Callable[[str, bytes], None]
    report: Callable[[TaskEffect], None]
    store: ContentStore
    redactor: Redactor
    folder: Path
    start: Callable[[Command, Callable[[], None]], Leader] | None = None
    before_commit: Callable[[tuple[RowChanges, ...], tuple[str, ...]], None] | None = None
    in_place: bool = False

    @property
    def holds_back(self) -> bool:
        """Whether nothing may act before `before_commit` was asked."""
        return self.before_commit is not None and not self.in_place


@runtime_checkable
class Task(Protocol):
    """Something a step can do: what a plan needs to know of it (a TaskSpec), and how to run it.

    Members of the entry-point group `hearth.tasks` fulfil it.
    """

    @property
    def name(self) -> str:
        """The key under which a step of a plan names the task."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same parameters come to mean something else."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema (draft 2020-12) of the value under the task's key."""
        ...

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401 - a JSON tree
        """Return the files that the parameters name and that must not change: relative to `folder`, or absolute.

        Called before secrets are revealed. Raises TaskError when a file cannot be found.
        """
        ...

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401 - a JSON tree
        """Return what the step acts on, for the policy: `sql:<url>`, `http:<host>:<port>`, or `host`."""
        ...

    def summary(self, params: Any) -> str:  # noqa: ANN401 - a JSON tree
        """Return one line that says what the step will do; secrets stay references in it."""
        ...

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - a JSON tree
        """Do it, once. The parameters have their secrets revealed; the result must not hold one of them.

        What is expected to go wrong (a command that fails, a server that is not there, a timeout, a cancellation) is a
        failed result, not an exception. When the context's cancellation is requested, the task stops acting as soon as
        it can, and returns failed.
        """
        ...
