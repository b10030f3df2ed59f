"""Observation: a step's commands on the host, started so that an observer sees what they change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hearth.errors import ObservationError, TaskError
from hearth.execution._process import started
from hearth.observe import Change, HostObserver, Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hearth.execution._leader import Command, Leader

__all__ = ["Observation"]


class Observation:
    """The commands of one step, each with an observer of its own; to be closed in any case.

    `yielding`, `ignore` and `search` are a HostObserver's. `why_not` says why it is not observed ("": it is).
    """

    def __init__(self, *, ignore: Sequence[str], search: Sequence[str], yielding: bool) -> None:
        self._ignore = ignore
        self._search = search
        self._yielding = yielding
        self._observers: list[HostObserver] = []
        self._lost = ""

    @property
    def is_empty(self) -> bool:
        """Whether no command was started at all."""
        return not self._observers and not self._lost

    @property
    def why_not(self) -> str:
        """Why a command of it was not observed."""
        return next((one.why_not for one in self._observers if one.why_not), "")

    def start(self, command: Command, go_on: Callable[[], None]) -> Leader:
        """Start a command on the host; the same process, with the same reach, as one that nobody observes."""
        observer = HostObserver(ignore=self._ignore, search=self._search, yielding=self._yielding)
        leader: Leader | None = None
        try:
            argv, number = observer.launch()
            leader = started(replace(command, argv=argv, env={}, passed=(number,)), go_on)
            observer.begin(leader.pid, command.argv, command.env, supervised=leader.reach == "descendants", go_on=go_on)
        except BaseException as error:
            observer.close()
            if leader is not None:
                leader.close(_PATIENCE)  # which kills it
            if isinstance(error, ObservationError):
                self._lost = str(error)
                raise TaskError(str(error)) from error
            raise
        self._observers.append(observer)
        return leader

    def finish(self) -> Observed:
        """Return what they did, all together; they have ended. ObservationError where an observer ended before."""
        if self._lost:
            raise ObservationError(self._lost)
        found = Observed()
        for observer in self._observers:
            found = _joined(found, observer.finish())
        return found

    def close(self) -> None:
        """Give every descriptor back."""
        for observer in self._observers:
            observer.close()


_PATIENCE = 5.0  # seconds that what was started may take to die


def _joined(first: Observed, then: Observed) -> Observed:
    before = {change.path: change.before for change in (*then.changes, *first.changes)}
    after = {change.path: change.after for change in (*first.changes, *then.changes)}
    changes = (Change.between(path, before[path], after[path]) for path in sorted(before))
    return Observed(
        changes=tuple(change for change in changes if change is not None),
        programs=tuple(sorted({*first.programs, *then.programs})),
        connections=tuple(sorted({*first.connections, *then.connections})),
        actions=tuple(sorted({*first.actions, *then.actions})),
        unseen=tuple(dict.fromkeys((*first.unseen, *then.unseen))),
    )
