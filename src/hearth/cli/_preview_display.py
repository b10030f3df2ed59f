"""A preview as it goes on: on stderr, which step runs and what it writes; the manifest follows."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hearth.cli._text import OutputLines
from hearth.execution import RunListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.status import Status

    from hearth.cli._screen import Screen
    from hearth.cli._settings import Settings
    from hearth.execution import StepOutcome
    from hearth.record import ExecutionRecord

__all__ = ["preview_display"]


@contextmanager
def preview_display(settings: Settings) -> Iterator[RunListener]:
    """Give a listener for a preview, and take its spinner away at the end, however the preview ends."""
    display = _PreviewDisplay(settings.screen(to_stderr=True))
    try:
        yield display
    finally:
        display.close()


class _PreviewDisplay(RunListener):
    """Shows what the steps write, below the step's name; on a terminal with a spinner meanwhile."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._total = 0
        self._place = 0
        self._named = False
        self._lock = threading.Lock()
        self._lines: dict[str, OutputLines] = {}
        self._doing = ""
        self._status: Status | None = None

    def run_started(self, plan: Any, execution_id: str) -> None:  # noqa: ANN401, ARG002 - the listener's signature
        """Remember how many steps there are."""
        self._total = len(plan.steps)

    def step_started(self, step: Any) -> None:  # noqa: ANN401 - as above
        """On a terminal, say which step runs for as long as it does."""
        self._lines, self._named = {}, False
        self._place += 1
        if self._screen.is_terminal:
            self._doing = f"previewing {step.index} {step.name}  ({self._place} of {self._total})"
            self._status = self._screen.console.status(
                self._screen.text((self._doing, "dim")), spinner=self._screen.symbols.spinner
            )
            self._status.start()

    def output(self, step: Any, stream: str, chunk: bytes) -> None:  # noqa: ANN401 - as above
        """Show the lines that are complete now."""
        with self._lock:
            self._print(step, self._lines.setdefault(stream, OutputLines()).feed(chunk), stream)

    def step_progress(self, step: Any, doing: str) -> None:  # noqa: ANN401, ARG002 - as above
        """Say beside the spinner what is done with what the step did."""
        if self._status is not None:
            self._status.update(self._screen.text((f"{self._doing}  {doing}", "dim")))

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:  # noqa: ANN401, ARG002 - as above
        """Show what is left of its output; how it ended stands in the manifest."""
        with self._lock:
            for stream, lines in self._lines.items():
                self._print(step, lines.finish(), stream)
        self.close()

    def run_finished(self, record: ExecutionRecord) -> None:  # noqa: ARG002 - as above
        """Nothing stays on the screen."""
        self.close()

    def close(self) -> None:
        """Take the spinner away."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def _print(self, step: Any, lines: list[str], stream: str) -> None:  # noqa: ANN401 - as above
        if lines and not self._named:
            self._named = True
            self._screen.line((f"{self._screen.symbols.begun} {step.index} ", "cyan"), str(step.name))
        self._screen.block(lines, indent=4, style="dim" if stream == "stdout" else "dim yellow")
