"""What the plan room asks of the rooms above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["TaskSpec"]


@runtime_checkable
class TaskSpec(Protocol):
    """What a plan needs to know of a task; entry points of the group `hearth.tasks` fulfil it.

    Every method is pure: it acts on nothing and, but for `inputs`, reads nothing. `params` are frozen, rendered and
    valid by `schema`; secrets in them are references still.
    """

    @property
    def name(self) -> str:
        """The key in a step, such as `shell`: lower-case letters, digits and `_`."""

    @property
    def version(self) -> str:
        """Part of every digest: another version may act differently, so what was approved no longer holds."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON Schema (draft 2020-12) of the value under the key. References stay within it (`#/$defs/…`)."""

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401 - the task's own JSON
        """Return the files that the task runs (scripts, modules, SQL files), relative to `folder` or absolute.

        A file that is not there is returned as well, or reported by a TaskError.
        """

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401 - the task's own JSON
        """Return what it acts on: `sql:<URL without password>`, `http:host:port`, `file:path`, `host` for this host."""

    def summary(self, params: Any) -> str:  # noqa: ANN401 - the task's own JSON
        """Return one line that an operator reads."""
