"""The entries of a record in their order, with when they happened and how long they took."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from hearth.cli._ran_text import print_held, print_would, ran_text
from hearth.cli._text import OutputLines, bytes_text, left_behind, seconds_text
from hearth.errors import LedgerError, RecordError
from hearth.record import SideEffect, StepEventType
from hearth.rollback import earlier_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hearth.cli._screen import Part, Screen
    from hearth.record import ExecutionRecord, StepEvent

__all__ = ["print_timeline"]

_LINES_OF_DONE = 3
_LINES_OF_FAILED = 12
_INDENT = 16
_MOST_NAMED = 20  # paths, in the end of a dry run's step


def print_timeline(
    screen: Screen, record: ExecutionRecord, *, whole: Callable[[str], Iterator[bytes]] | None = None
) -> bool:
    """Print every entry: its offset from the start, what happened, and for a step's end its duration and output.

    `whole` gives a kept output by its digest; without it the ends that the record has are printed. False when a kept
    output is not the recorded one.
    """
    true = True
    screen.heading("Timeline")
    for entry in record.entries:
        offset = (entry.timestamp - record.timestamp_start).total_seconds()
        lead: Part = (f"{_offset(offset):>12}  ", "dim")
        if isinstance(entry, SideEffect):
            _print_effect(screen, entry, lead)
            if before := earlier_content(entry.details):
                how = f"hearth show {shlex.quote(record.execution_id)} --content {before[:16]}"
                screen.line((f"what was there before is kept: {how}", "dim"), indent=_INDENT)
        else:
            _print_event(screen, entry, lead)
            if entry.event_type in {StepEventType.STEP_COMPLETED, StepEventType.STEP_FAILED}:
                print_would(screen, entry.details, indent=_INDENT)
                failed = entry.event_type is StepEventType.STEP_FAILED
                print_held(screen, entry.details, indent=_INDENT, failed=failed)
                _print_pointer(screen, record, entry.details, failed=failed)
                for said in left_behind(entry.details):
                    screen.line((said, "yellow"), indent=_INDENT)
                true = _print_output(screen, entry, whole) and true
    return true


def _print_pointer(screen: Screen, record: ExecutionRecord, details: Mapping[str, Any], *, failed: bool) -> None:
    """Say where all that a step did stands, where the record names only some of it, summarises it, or stopped it."""
    manifest, counts = details.get("manifest"), details.get("changes")
    if not isinstance(manifest, dict) or not isinstance(counts, dict):
        return
    how = f"hearth show {shlex.quote(record.execution_id)} --content {str(manifest.get('sha256'))[:16]}"
    if failed and details.get("committed") is False:
        screen.line((f"what it did, and did not get to the host, stands in its manifest: {how}", "dim"), indent=_INDENT)
        return
    if sum(counts.values()) <= _MOST_NAMED:
        return
    screen.line((f"all {sum(counts.values())} paths stand in its manifest: {how}", "dim"), indent=_INDENT)


def _offset(seconds: float) -> str:
    sign = "-" if seconds < 0 else "+"
    if abs(seconds) < 60:  # noqa: PLR2004 - a minute
        return f"{sign}{abs(seconds):.3f} s"
    return f"{sign}{seconds_text(abs(seconds))}"


def _print_effect(screen: Screen, effect: SideEffect, lead: Part) -> None:
    facts = [] if effect.reversible else ["not reversible"]
    if effect.origin.value != "reported":
        facts.append(effect.origin.value)
    if effect.step_index is None:
        facts.append("of no step")
    told = f"  ({', '.join(facts)})" if facts else ""
    screen.line(
        lead, (f"  {screen.symbols.effect} ", "cyan"), f"{effect.category.value}: {effect.description}", (told, "dim")
    )


def _print_event(screen: Screen, event: StepEvent, lead: Part) -> None:
    symbols = screen.symbols
    number = "" if event.step_index is None else f"{event.step_index} "
    name = f"{number}{event.step_name or ''}"
    took = "" if event.elapsed_us is None else f"  {seconds_text(event.elapsed_us / 1e6)}"
    if event.event_type is StepEventType.EXECUTION_STARTED:
        total = event.details.get("number_of_steps")
        screen.line(lead, ("started", "bold"), (f"  a plan of {total}" if isinstance(total, int) else "", "dim"))
    elif event.event_type is StepEventType.EXECUTION_SEALED:
        screen.line(
            lead,
            ("sealed", "bold"),
            f"  {event.details.get('status')}",
            (f", {event.details.get('number_of_entries')} entries", "dim"),
        )
    elif event.event_type is StepEventType.STEP_STARTED:
        screen.line(lead, (f"{symbols.begun} ", "cyan"), name, (f"  {_summary(event)}", "dim"))
    elif event.event_type is StepEventType.STEP_COMPLETED:
        screen.line(lead, (f"{symbols.done} ", "green"), name, (f"{took}{_exit(event)}{_ran(event)}", "dim"))
    else:
        why = event.error_message or "it failed without saying why"
        code = _exit(event)
        # The error of a command begins with its exit code: said once.
        screen.line(
            lead,
            (f"{symbols.failed} ", "red"),
            name,
            (f"{took if code.strip() in why else f'{took}{code}'}{_ran(event)}", "dim"),
        )
        screen.line((why, "red"), indent=_INDENT)


def _summary(event: StepEvent) -> str:
    task, summary = event.details.get("task_type"), event.details.get("summary")
    if not isinstance(summary, str):
        return task if isinstance(task, str) else ""
    return f"{task}: {summary}" if isinstance(task, str) else summary


def _ran(event: StepEvent) -> str:
    told = ran_text(event.details)
    return f"  {told}" if told else ""


def _exit(event: StepEvent) -> str:
    code, signal = event.details.get("exit_code"), event.details.get("signal")
    if isinstance(signal, str):
        return f"  {signal}"
    return f"  exit code {code}" if isinstance(code, int) and code else ""


def _print_output(screen: Screen, event: StepEvent, whole: Callable[[str], Iterator[bytes]] | None) -> bool:
    """Print the end of each output stream, or all of it; False when what is kept is not the recorded one."""
    true = True
    for stream in ("stdout", "stderr"):
        kept: Any = event.details.get(stream)
        if not isinstance(kept, dict) or not isinstance(kept.get("tail"), str) or not kept["tail"]:
            continue
        if whole is None:
            _print_tail(screen, stream, kept, failed=event.event_type is StepEventType.STEP_FAILED)
        else:
            true = _print_whole(screen, stream, whole(str(kept.get("sha256")))) and true
    return true


def _print_tail(screen: Screen, stream: str, kept: Mapping[str, Any], *, failed: bool) -> None:
    tail = kept["tail"].encode("utf-8", "surrogatepass")
    reader = OutputLines()
    lines = [*reader.feed(tail), *reader.finish()]
    most = _LINES_OF_FAILED if failed else _LINES_OF_DONE
    total = kept.get("bytes")
    if isinstance(total, int) and (len(lines) > most or total > len(tail)):
        told = f"{stream}, the end of {bytes_text(total)} (--output shows all)"
        screen.line((told, "dim"), indent=_INDENT)
    _print_lines(screen, stream, lines[-most:])


def _print_whole(screen: Screen, stream: str, pieces: Iterator[bytes]) -> bool:
    reader = OutputLines()
    try:
        for piece in pieces:
            _print_lines(screen, stream, reader.feed(piece))
        _print_lines(screen, stream, reader.finish())
    except (LedgerError, RecordError) as error:
        screen.line((str(error), "red"), indent=_INDENT)
        return not isinstance(error, RecordError)
    return True


def _print_lines(screen: Screen, stream: str, lines: Sequence[str]) -> None:
    lead = f"{stream} {screen.symbols.bar} "
    screen.block(
        [f"{lead}{line}" for line in lines], indent=_INDENT, style="dim" if stream == "stdout" else "dim yellow"
    )
