"""A kernel of somebody else's, asked in threads of their own: it may hang or end its thread, and a run must not."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError
from hearth.execution._posture_keeper import PostureKeeper

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BoundedKernel", "KernelEndedError", "NoAnswerError", "bounded", "unbounded"]

_READ_SECONDS = 3.0
_QUESTIONS = {"get_security_state": "security state", "get_boundary_state": "boundary state"}
_VALUES = {"gate": "live-mode gate", "live_mode": "live mode", "posture": "posture"}


class NoAnswerError(GateRefusedError):
    """A kernel did not answer in time; its posture is unknown."""


class KernelEndedError(GateRefusedError):
    """A kernel raised what ends a program (SystemExit, say) instead of answering; its posture is unknown."""


def bounded(kernel: Any) -> Any:  # noqa: ANN401 - any object with the two states, or None
    """Return what to ask instead of `kernel`: HEARTH's own and None themselves, any other in a `BoundedKernel`.

    HEARTH's own answers within the deadline of its database, so it is spared the threads.
    """
    if kernel is None or isinstance(kernel, BoundedKernel):
        return kernel
    return kernel if isinstance(getattr(kernel, "_keeper", None), PostureKeeper) else BoundedKernel(kernel)


def unbounded(kernel: Any) -> Any:  # noqa: ANN401 - as above
    """Return the kernel itself, to ask it in the present thread."""
    return vars(kernel)["_kernel"] if isinstance(kernel, BoundedKernel) else kernel


class BoundedKernel:
    """Stands in for a kernel: what it is asked for states, gate or mode comes within three seconds, or NoAnswerError.

    What the kernel raises is passed on; what is no Exception becomes a KernelEndedError. While a question is still
    unanswered no other one is asked: they fail at once. All else of the kernel is its own.
    """

    def __init__(self, kernel: Any) -> None:  # noqa: ANN401 - as above
        self._kernel = kernel
        self._silent: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the kernel has
        if name in _VALUES:
            return self._ask(_VALUES[name], lambda: getattr(self._kernel, name))
        found = getattr(self._kernel, name)
        if name in _QUESTIONS and found is not None:
            return lambda: self._ask(_QUESTIONS[name], found)
        return found

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the kernel says
        silent = self._silent
        if silent is not None and silent.is_alive():
            raise NoAnswerError(f"the kernel has not answered for over {_READ_SECONDS:g} s: its {what} is unknown")
        answers: list[Any] = []
        raised: list[BaseException] = []
        context = contextvars.copy_context()  # what the caller's thread has set there, the kernel finds

        def ask() -> None:
            try:
                answers.append(context.run(question))
            except BaseException as error:  # noqa: BLE001 - passed on
                raised.append(error)

        thread = threading.Thread(target=ask, name="hearth-kernel", daemon=True)
        thread.start()
        thread.join(_READ_SECONDS)
        if answers:
            return answers[0]
        if not raised:
            self._silent = thread
            raise NoAnswerError(f"the kernel did not say its {what} within {_READ_SECONDS:g} s")
        error = raised.pop()
        if isinstance(error, Exception):
            raise error
        raise KernelEndedError(f"the kernel raised {type(error).__name__} when it was asked for its {what}") from error
