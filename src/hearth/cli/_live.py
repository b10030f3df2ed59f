"""A run as it goes on: one line when a step begins, its output, one line when it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hearth.cli._late_signals import ENDING
from hearth.cli._ran_text import print_held, print_would, ran_text
from hearth.cli._text import OutputLines, count, left_behind, seconds_text
from hearth.execution import RunListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.status import Status

    from hearth.cli._late_signals import LateSignals
    from hearth.cli._screen import Screen
    from hearth.execution import StepOutcome
    from hearth.record import ExecutionRecord

__all__ = ["PassThrough", "RunDisplay", "ToldAtTheEnd", "stopping_notice"]


class RunDisplay(RunListener):
    """Shows a run on a screen; on a terminal with a spinner while a step runs. Why a step failed is added to `told`."""

    def __init__(self, screen: Screen, mode: str, told: list[str] | None = None) -> None:
        self._screen = screen
        self._told = [] if told is None else told
        self._mode = mode
        self._total = 0
        self._place = 0
        self._lock = threading.Lock()
        self._lines: dict[str, OutputLines] = {}
        self._doing = ""
        self._status: Status | None = None

    def run_started(self, plan: Any, execution_id: str) -> None:  # noqa: ANN401 - any object with id and steps
        """Say what begins."""
        self._total = len(plan.steps)
        dot = self._screen.symbols.dot
        self._screen.line((str(plan.id), "bold"), (f" {dot} {self._mode} {dot} ", "dim"), execution_id)

    def step_started(self, step: Any) -> None:  # noqa: ANN401 - any object with index and name
        """Say which step begins."""
        self._lines = {}
        self._place += 1
        place = f"  ({self._place} of {self._total})"
        lead = (f"{self._screen.symbols.begun} {step.index} ", "cyan")
        self._screen.line(lead, str(step.name), (place, "dim"))
        if self._screen.is_terminal:
            self._doing = f"{step.index} {step.name}{place}"
            self._status = self._screen.console.status(
                self._screen.text((self._doing, "dim")), spinner=self._screen.symbols.spinner
            )
            self._status.start()

    def output(self, step: Any, stream: str, chunk: bytes) -> None:  # noqa: ANN401, ARG002 - the listener's signature
        """Show the lines that are complete now."""
        with self._lock:
            self._print(self._lines.setdefault(stream, OutputLines()).feed(chunk), stream)

    def step_progress(self, step: Any, doing: str) -> None:  # noqa: ANN401, ARG002 - as above
        """Say beside the spinner what is done with what the step did."""
        if self._status is not None:
            self._status.update(self._screen.text((f"{self._doing}  {doing}", "dim")))

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:  # noqa: ANN401 - as above
        """Say how the step ended."""
        with self._lock:
            for stream, lines in self._lines.items():
                self._print(lines.finish(), stream)
        self.close()
        screen = self._screen
        summary = result.details.get("summary")
        if result.details.get("dry_run") and isinstance(summary, str):
            screen.line((summary, "dim"), indent=4)
        told = f"  {seconds_text(seconds)}"
        effects = len(result.side_effects)
        if effects:
            told += f"  {count(effects, 'effect')}"
        if ran := ran_text(result.details):
            told += f"  {ran}"
        sign = (f"{screen.symbols.failed} ", "red") if result.failed else (f"{screen.symbols.done} ", "green")
        screen.line(sign, f"{step.index} {step.name}", (told, "dim"))
        if result.failed:
            screen.line((result.error, "red"), indent=4)
            self._told.append(result.error)
        print_would(screen, result.details, indent=4)
        print_held(screen, result.details, indent=4, failed=result.failed)
        for said in left_behind(result.details):
            screen.line((said, "yellow"), indent=4)

    def run_finished(self, record: ExecutionRecord) -> None:  # noqa: ARG002 - as above
        """Nothing: the end is told from the outcome."""
        self.close()

    def close(self) -> None:
        """Take the spinner away."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def _print(self, lines: list[str], stream: str) -> None:
        self._screen.block(lines, indent=4, style="dim" if stream == "stdout" else "dim yellow")


class ToldAtTheEnd:
    """A listener of a run that shows nothing: why it stopped is told when it is over, so no warning need say it."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:  # noqa: ANN401, ARG002 - the listener's signature
        """Remember why the step failed."""
        if result.failed:
            self._told.append(result.error)


class PassThrough:
    """Passes a command's output on as it is: stdout to stdout, stderr to stderr; with `to_stderr` both to stderr.

    A listener of a run, without the methods that it does not need. A reader that went away stops the passing on, not
    the command.
    """

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr
        self._gone: set[str] = set()
        self._lock = threading.Lock()

    def output(self, step: Any, stream: str, chunk: bytes) -> None:  # noqa: ANN401, ARG002 - the listener's signature
        """Write the bytes out at once."""
        name = "stderr" if self._to_stderr else stream
        with self._lock:
            if name in self._gone:
                return
            target = sys.stdout if name == "stdout" else sys.stderr
            try:
                target.flush()
                target.buffer.write(chunk)
                target.buffer.flush()
            except (OSError, ValueError):
                self._gone.add(name)
                if name == "stdout":
                    _to_nowhere(target.fileno)


def _to_nowhere(descriptor: Callable[[], int]) -> None:
    """Let what is still buffered go to the null device, so that it makes no noise at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor())


@contextmanager
def stopping_notice(screen: Screen, late: LateSignals) -> Iterator[None]:
    """Say `stopping …` at once when a signal comes: until the record is sealed it may take a moment.

    The run itself handles the signal; this only listens to the wake-up descriptor that Python writes its number to.
    A signal that comes when the run is over stops nothing, so nothing is said of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.settimeout(0)
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_announce, args=(reader, screen, late), name="hearth-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        writer.close()
        thread.join(1.0)
        reader.close()


def _announce(reader: socket.socket, screen: Screen, late: LateSignals) -> None:
    told = 0
    while numbers := reader.recv(64):
        for number in numbers:
            if number not in ENDING or late.over:
                continue
            told += 1
            name = signal.Signals(number).name
            if told == 1:
                screen.line((f"{name}: stopping, and sealing the record … (once more: without grace)", "yellow"))
            elif told == 2:  # noqa: PLR2004 - what the third one changes: nothing
                screen.line((f"{name}: killing what runs", "yellow"))
