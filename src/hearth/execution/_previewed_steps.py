"""PreviewedSteps: a plan's steps, run one above the other in sandboxes that are thrown away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hearth._visible import visible
from hearth.errors import ObservationError
from hearth.execution._database_rows import databases_in_use
from hearth.execution._declared import held_step, says_nothing
from hearth.execution._manifest_effects import MOST_ENTRIES
from hearth.execution._results import StepOutcome
from hearth.execution._sandbox_steps import SandboxSteps
from hearth.execution.tasks._database import backend_of, sqlite_path
from hearth.execution.tasks._describe import as_text
from hearth.execution.tasks._request_body import body_sha256
from hearth.execution.tasks._urls import safe_url, without_references
from hearth.observe import ObservedRequest, StepManifest, Way, in_use, layer_path, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._results import ObservedEffect
    from hearth.execution._step_sandbox import StepSandbox
    from hearth.execution._task import TaskContext
    from hearth.observe import Layout, RowChanges
    from hearth.plan import Step

__all__ = ["PreviewedSteps"]

_ROLLED_BACK = "postgresql+psycopg"
_MOST_PATHS = 20
_LOCK_WAIT = 5.0  # seconds to wait for somebody else's lock


class PreviewedSteps(SandboxSteps):
    """A StepRunner that touches nothing: each step runs above what the earlier ones did; all of it is thrown away.

    A database of a server cannot be put into a sandbox: there it runs in a transaction that is always rolled back.
    """

    _transactions = 0

    @property
    def reason(self) -> str:
        """What a run of these steps ends with, as its record says."""
        urls = (as_text(step.params["url"]) for step in self._plan.steps if step.task_type == "sql")
        if any(backend_of(without_references(url)) in ("", _ROLLED_BACK) for url in urls):
            return "dry run: the steps ran in sandboxes, and what they asked of a database server was rolled back there"
        return "dry run: the steps ran in sandboxes, and the host is as it was"

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:  # noqa: ARG002 - none happens
        """Run it in a sandbox; what it did stands in the manifests, and in the details of its end."""
        if step.task_type == "http":
            return self._held_back(step)
        try:
            outcome, seen, _, found = self._observed(step, self._on_database if step.task_type == "sql" else None)
        except ObservationError as error:
            self._unseen[step.index] = ""
            return StepOutcome.failure(str(error), {"dry_run": True, "ran": str(Way.NOT_RUN)})
        if live := () if step.task_type == "sql" else databases_in_use(seen.changes):
            reason = (
                f"other processes have {', '.join(live)} open: what the step found of it may be half of a change of "
                "theirs, and a live run will not commit this; a sql step can change it"
            )
            seen = replace(seen, unseen=(*seen.unseen, reason))
            self._unseen[step.index] = "; ".join(seen.unseen)
            self._sandboxing.hopeless[step.index] = reason
        elif found.unread:
            named = ", ".join(map(visible, found.unread[:_MOST_PATHS]))
            self._sandboxing.hopeless[step.index] = f"what {named} holds is too long to be read and compared"
        elif found.refused:
            self._sandboxing.hopeless[step.index] = "; ".join(map(visible, found.refused[:_MOST_PATHS]))
        elif found.stale and not seen.is_empty:
            named = ", ".join(map(visible, found.stale[:_MOST_PATHS]))
            self._sandboxing.hopeless[step.index] = (
                f"an earlier step changed {named} through another name of the file, and this one worked with what it "
                "held before"
            )
        if own := self._in_ledger(seen):
            outcome = StepOutcome.failure(f"it would change its own record: {'; '.join(own)}", outcome.details)
            seen = replace(seen, error=outcome.error)
        told = self._told(seen)
        if hidden := [now.path for was, now in zip(seen.changes, told.changes, strict=True) if was != now]:
            named = ", ".join(map(visible, hidden[:_MOST_PATHS]))
            self._sandboxing.hopeless[step.index] = (
                f"a name is a secret, or looks like one ({named}), and what is redacted cannot be compared. "
                "Call it otherwise"
            )
        details = {**outcome.details, "dry_run": True, "ran": str(seen.way), **self._kept(seen)}
        details["paths"] = [{"kind": str(one.kind), "path": one.path} for one in told.changes[:_MOST_PATHS]]
        if not outcome.failed and told.way is not Way.NOT_RUN:
            details |= self._compared(step, told)
        return replace(outcome, details=details, side_effects=())

    def _compared(self, step: Step, told: StepManifest) -> dict[str, Any]:
        """Return what a live run would find undeclared, and what is declared and did not happen.

        A step that declares nothing is held to the approved preview alone, so there nothing is said.
        """
        if says_nothing(self._plan.document, step.index):
            return {}
        held = held_step(told, step.effects, self._plan.cwd, sql=step.task_type == "sql")
        found: dict[str, Any] = {}
        if held.undeclared:
            found["undeclared"] = list(held.undeclared[:MOST_ENTRIES])
        if held.missing:
            found["missing"] = [effect.to_dict() for effect in held.missing]
        return found

    def _held_back(self, step: Step) -> StepOutcome:
        params = step.params
        method = str(params.get("method", "GET")).upper()
        request = ObservedRequest(method=method, url=safe_url(params["url"]), body_sha256=body_sha256(params))
        told = self._told(StepManifest(index=step.index, name=step.name, way=Way.REQUEST, requests=(request,)))
        self._unseen[step.index] = ""
        details = {"dry_run": True, "ran": str(Way.REQUEST), "sent": False, "request": request.to_dict()}
        return StepOutcome(details=details | self._compared(step, told))

    def _on_database(self, sandbox: StepSandbox, params: Any, context: TaskContext) -> object:  # noqa: ANN401 - a JSON tree
        """Carry a sql step out: on SQLite in the sandbox, on PostgreSQL in a transaction that is rolled back."""
        url = str(params["url"])
        backend = backend_of(url)
        if backend in ("", "sqlite"):
            return self._on_sqlite(sandbox, params, context, sqlite_path(url, context.cwd))
        if backend == _ROLLED_BACK:
            return self._rolled_back(sandbox, params, context)
        sandbox.way = Way.NOT_RUN
        sandbox.unseen.append(
            f"it was not run: of {backend} nobody knows what a transaction that is rolled back leaves"
        )
        return None

    def _on_sqlite(self, sandbox: StepSandbox, params: Any, context: TaskContext, path: str | None) -> object:  # noqa: ANN401 - as above
        """Carry it out in the sandbox. A database that others use is replaced there by a consistent copy.

        An overlay above it would change under the step's hands, and the locks of others do not reach there.
        """
        layout = sandbox.layout
        if path is None or not in_use(Path(path)) or _is_changed(layout, path):
            return sandbox.carry_out(params, context)
        copy = layout.state / f"copy-{layout.layer}"
        try:
            snapshot(Path(path), copy, timeout=_LOCK_WAIT)
        except ObservationError as error:
            sandbox.unseen.append(f"others use the database, and it was looked at as it lies there: {error}")
            return sandbox.carry_out(params, context)
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            copy.unlink()
            return sandbox.carry_out(params, context, copy=(path, descriptor))
        finally:
            os.close(descriptor)

    def _rolled_back(self, sandbox: StepSandbox, params: Any, context: TaskContext) -> object:  # noqa: ANN401 - as above
        """Run it outside of the sandbox; its rows are counted, and the commit is held back."""
        sandbox.way = Way.TRANSACTION
        if self._transactions:
            sandbox.unseen.append("what earlier steps did in databases of servers was rolled back before it ran")
        self._transactions += 1

        def hold_back(rows: tuple[RowChanges, ...], unseen: tuple[str, ...]) -> NoReturn:
            sandbox.rows = rows
            sandbox.unseen += unseen
            raise _HeldBackError

        try:
            return self._tasks.task(context.step).run(params, replace(context, before_commit=hold_back))
        except _HeldBackError:
            return {"details": {"commit": "rolled back"}}


class _HeldBackError(Exception):
    """A transaction is not to be committed; no error."""


def _is_changed(layout: Layout, path: str) -> bool:
    """Whether an earlier step has a file of its own at a path."""
    return any(layer_path(layout.state, layer, path) is not None for layer in layout.below)
