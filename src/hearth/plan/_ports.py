"""What the plan room asks of the rooms above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime
    from pathlib import Path

    from hearth.signing import Envelope

__all__ = ["ApprovalStore", "FoundRequest", "TaskSpec", "UsedBy"]


class UsedBy(Protocol):
    """The run that used an approval up."""

    @property
    def execution_id(self) -> str:
        """Its execution id."""

    @property
    def used(self) -> str:
        """When (UTC, as text)."""


class FoundRequest(Protocol):
    """A request as a store gives it back."""

    @property
    def request(self) -> Envelope:
        """What was signed by the requester."""


class ApprovalStore(Protocol):
    """Where requests and decisions are kept; shared by every process that may run plans. Rows are added, never changed.

    What cannot be read raises a HearthError: an approval in doubt is none.
    """

    def find(self, beginning: str) -> FoundRequest:
        """Return the one request whose id begins so; RequestNotFoundError."""

    def decisions(self, request_id: str) -> tuple[Envelope, ...]:
        """Return every decision on a request that any process has added before, oldest first."""

    def require_whole(self, request_id: str) -> None:
        """Raise a HearthError where a decision on a request may have been removed, moved or damaged."""

    def mark(self, request_id: str, execution_id: str | None) -> Hashable:
        """Return what is another one after every change of a request, its decisions and uses; before every step.

        A HearthError where rows are missing, or where the request is not used by the run `execution_id` (None: not
        looked at).
        """

    def use(self, request_id: str, execution_id: str, *, now: datetime, emergency: bool) -> UsedBy | None:
        """Use a request up for one run, in one atomic step over all processes.

        None means that this run has it, durably, from now on; else who had it before, and nothing was changed.
        An error raised leaves it open whether it was used, so the run must not begin.
        """


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
