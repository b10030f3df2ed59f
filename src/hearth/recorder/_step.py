"""StepRecording: a step as a `with` block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import ExecutionSealedError
from hearth.record import ExecutionStatus, text_of

if TYPE_CHECKING:
    from types import TracebackType

    from hearth.record import SideEffectCategory
    from hearth.recorder._observer import ExecutionObserver

__all__ = ["StepRecording"]


class StepRecording:
    """Records a step's start on entering, and on leaving its completion, or its failure when an exception leaves.

    The exception goes on. What is put into `details` is recorded with the end. `async with` waits for the disk in a
    thread, so that the event loop goes on.
    """

    def __init__(self, observer: ExecutionObserver, index: int, name: str, details: Any = None) -> None:  # noqa: ANN401
        self._observer = observer
        self._start_details = details
        self.index = index
        self.name = name
        self.details: dict[str, Any] = {}
        self._entered = self._left = False

    def effect(
        self,
        category: SideEffectCategory | str,
        description: str,
        *,
        reversible: bool = False,
        details: Any = None,  # noqa: ANN401
    ) -> None:
        """Record a side effect of this step. RuntimeError outside of its `with` block."""
        if not self._entered or self._left:
            raise RuntimeError(f"step {self.index} ({self.name}) is not under way: its effects belong into the `with`")
        self._observer.record_side_effect(category, description, reversible, self.index, details)

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError(f"step {self.index} ({self.name}) was begun already: each run of a step is a new one")
        self._entered = True
        self._observer.record_step_started(self.index, self.name, self._start_details)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        if error is None:
            self._observer.record_step_completed(self.index, self.name, self.details)
            return
        if self._observer.status is not ExecutionStatus.STARTED or isinstance(error, ExecutionSealedError):
            return  # sealed meanwhile, by an escalation perhaps: the exception in flight says why
        text = text_of(error)
        message = f"{type(error).__name__}: {text}" if text else type(error).__name__
        self._observer.record_step_failed(self.index, self.name, message, self.details)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
