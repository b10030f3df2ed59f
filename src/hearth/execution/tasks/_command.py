"""A command of a step: run, kept, and told as the record tells it. The shell and the python task share it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import RecorderError, TaskError
from hearth.execution._output import OutputKeeper
from hearth.execution._process import Command, run_process, supported

if TYPE_CHECKING:
    from hearth.execution._process import ProcessOutcome, Sink
    from hearth.execution._task import TaskContext

__all__ = ["CommandRun", "last_line", "run_command"]

_LONGEST_LAST_LINE = 300


@dataclass(frozen=True, slots=True)
class CommandRun:
    """What became of a command: `error` is empty when it ran to its own end, `outcome` None when it never started."""

    outcome: ProcessOutcome | None
    details: dict[str, Any]
    error: str = ""


def run_command(command: Command, context: TaskContext, *, result: Sink | None = None) -> CommandRun:
    """Run a command, its output kept in the context's store; never raises for what can be expected to go wrong.

    `details` have `pid`, `exit_code` (or `signal`), `duration_us`, `stdout` and `stderr` (each `sha256`, `bytes`,
    `tail`), and where it applies `stopped`, `left_running`, `unkilled`, `output_open`, `reach`.
    """
    if not supported():
        return CommandRun(
            None, {}, "commands need process groups, which this platform lacks: run HEARTH on Linux or macOS"
        )
    keepers = {
        name: OutputKeeper(name, redactor=context.redactor, store=context.store, show=context.output)
        for name in ("stdout", "stderr")
    }
    sinks: dict[str, Sink] = {**keepers}
    if result is not None:
        sinks["result"] = result
    outcome = None
    error = ""
    details: dict[str, Any] = {}
    try:
        outcome = run_process(
            command, sinks=sinks, timeout=context.timeout, cancellation=context.cancellation, start=context.start
        )
        details = _told(outcome)
        error = _why_it_stopped(outcome, context)
        for name, keeper in keepers.items():
            details[name] = keeper.close()
    except TaskError as problem:
        error = context.redactor.text(str(problem))
    except RecorderError as problem:
        error = f"{problem}; the command was stopped" if outcome is None else str(problem)
        details.setdefault("stopped", "output not kept")
    finally:
        for keeper in keepers.values():
            keeper.discard()
    return CommandRun(outcome, details, error)


def last_line(details: dict[str, Any]) -> str:
    """Return the last line that the command wrote on stderr, or "": mostly it says why the command failed."""
    tail: str = details.get("stderr", {}).get("tail", "")
    lines = tail.strip().splitlines()
    if not lines:
        return ""
    line = lines[-1].strip()
    return line if len(line) <= _LONGEST_LAST_LINE else line[:_LONGEST_LAST_LINE] + " …"


def _told(outcome: ProcessOutcome) -> dict[str, Any]:
    details: dict[str, Any] = {"pid": outcome.pid, "exit_code": outcome.exit_code, "duration_us": outcome.duration_us}
    if outcome.exit_code is not None and outcome.exit_code < 0:
        details["exit_code"] = None
        details["signal"] = _signal_name(-outcome.exit_code)
    if outcome.stopped:
        details["stopped"] = outcome.stopped
    if outcome.left_running:
        details["left_running"] = outcome.left_running
    if outcome.unkilled:
        details["unkilled"] = list(outcome.unkilled)
    if outcome.output_open:
        details["output_open"] = True
    if outcome.reach != "descendants":
        details["reach"] = outcome.reach
    return details


def _why_it_stopped(outcome: ProcessOutcome, context: TaskContext) -> str:
    if alive := _alive(outcome):
        which, whom = ("process", "it") if len(alive) == 1 else ("processes", "them")
        numbers = ", ".join(map(str, alive))
        return f"{which} {numbers} could not be killed and may still act: look at {whom} on the host"
    if outcome.stopped == "timeout":
        return f"timed out after {context.timeout:g} s; all its processes were stopped"
    if outcome.stopped:
        return f"stopped: {context.cancellation.reason}"
    if outcome.exit_code is not None and outcome.exit_code < 0:
        return f"killed by {_signal_name(-outcome.exit_code)}"
    return ""


def _alive(outcome: ProcessOutcome) -> list[int]:
    leader = [outcome.pid] if outcome.exit_code is None else []
    return leader + [number for number in outcome.unkilled if number not in leader]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
