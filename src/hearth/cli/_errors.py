"""Exit codes, and how an error is told: one clear message, no traceback."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from hearth._visible import visible
from hearth.errors import (
    ArtemisEscalationError,
    DriftError,
    DuplicateExecutionError,
    EvidenceBusyError,
    EvidenceError,
    EvidenceUsageError,
    ExecutionNotFoundError,
    ExecutionPurgedError,
    HearthError,
    JournalDamagedError,
    JournalLockedError,
    LedgerDamagedError,
    LedgerNotFoundError,
    PlanError,
    RecordError,
    RefusedError,
    RequestNotFoundError,
    RunInterruptedError,
    SigningError,
    TaskError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.cli._settings import Settings

__all__ = ["DEBUG_VARIABLE", "Exit", "debugging", "exit_code", "lost_output", "output_lost", "report"]

DEBUG_VARIABLE = "HEARTH_DEBUG"
_SIGNALLED = 128
_PRINTING = ("click.", "rich.", "hearth.cli._json")


class Exit(IntEnum):
    """What `hearth` ends with; after a signal it is 128 and the signal's number."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    ESCALATED = 4
    NOT_VERIFIED = 5
    INTERRUPTED = 130
    PIPE_CLOSED = 141


_CODES: tuple[tuple[type[HearthError], Exit], ...] = (
    (ArtemisEscalationError, Exit.ESCALATED),
    # Nothing was started, and the same command may be let through another time.
    (RefusedError, Exit.REFUSED),
    (TaskError, Exit.REFUSED),
    (DriftError, Exit.REFUSED),
    (JournalLockedError, Exit.REFUSED),
    (EvidenceBusyError, Exit.REFUSED),
    (DuplicateExecutionError, Exit.REFUSED),
    (ExecutionPurgedError, Exit.REFUSED),
    # What was asked for is not there, or makes no sense.
    (PlanError, Exit.USAGE),
    (LedgerNotFoundError, Exit.USAGE),
    (ExecutionNotFoundError, Exit.USAGE),
    (RequestNotFoundError, Exit.USAGE),
    (SigningError, Exit.USAGE),
    (EvidenceUsageError, Exit.USAGE),
    (JournalDamagedError, Exit.NOT_VERIFIED),
    (LedgerDamagedError, Exit.NOT_VERIFIED),
    (RecordError, Exit.NOT_VERIFIED),
    (EvidenceError, Exit.NOT_VERIFIED),
)
_OF_RUNS = "`hearth show last` tells of a run"
_OF_APPROVALS = "`hearth approvals` tells of it"
_OF_POSTURES = "`hearth state` tells of the posture"
_OF_RECORDS = "`hearth list` tells of the records"
# What a command changes, and which one shows it; the others only look.
_TOLD_BY = {
    **dict.fromkeys(("run", "exec"), _OF_RUNS),
    **dict.fromkeys(("request", "approve", "deny", "review"), _OF_APPROVALS),
    **dict.fromkeys(("lockdown", "report", "restore"), _OF_POSTURES),
    **dict.fromkeys(("recover", "purge"), _OF_RECORDS),
    **dict.fromkeys(("init", "keygen", "backup", "export"), "the files that it made are there"),
    "hold": "`hearth hold list` tells of holds",
}
_WORDS = {
    Exit.FAILED: "failed",
    Exit.USAGE: "error",
    Exit.REFUSED: "refused",
    Exit.ESCALATED: "escalated",
    Exit.NOT_VERIFIED: "not verified",
}


def exit_code(error: HearthError) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, RunInterruptedError):
        return _SIGNALLED + error.signum
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


def report(error: BaseException, settings: Settings, arguments: Sequence[str]) -> int:
    """Tell the user what happened, on stderr (and as a JSON document where --json was given); return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.FAILED
    if isinstance(error, BrokenPipeError):
        return _silenced()
    _trace(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _say(settings, arguments, error, Exit.INTERRUPTED, "interrupted")
    if isinstance(error, click.ClickException):
        if not _wants_json(settings, arguments):
            with suppress(OSError):
                error.show()
            return error.exit_code
        return _say(settings, arguments, error, error.exit_code, error.format_message())
    if isinstance(error, HearthError):
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        code = exit_code(error)
        return _say(settings, arguments, error, code, f"{error}{notes}", _WORDS.get(Exit(code), "stopped"))
    hint = "" if debugging() else f"; {DEBUG_VARIABLE}=1 shows where"
    if isinstance(error, OSError) and (output_lost() or _raised_in_printing(error)):
        return _say(settings, arguments, error, Exit.FAILED, lost_output(error, settings), _WORDS[Exit.FAILED])
    if isinstance(error, OSError):  # too many open files, no memory, no more locks: nothing of HEARTH's own
        return _say(settings, arguments, error, Exit.FAILED, f"the system refused: {error}{hint}", _WORDS[Exit.FAILED])
    message = f"{type(error).__name__}: {error}{hint}"
    return _say(settings, arguments, error, Exit.FAILED, message, "internal error")


def _say(
    settings: Settings, arguments: Sequence[str], error: BaseException, code: int, message: str, word: str = ""
) -> int:
    try:
        for number, line in enumerate(message.split("\n")):
            lead = f"hearth: {word}: " if word and not number else "hearth: " if not number else "  "
            click.echo(lead + visible(line), err=True)
        if _wants_json(settings, arguments) and not output_lost():
            from hearth.cli._json import print_json

            print_json({"error": {"kind": type(error).__name__, "message": message, "exit_code": int(code)}})
    except BrokenPipeError:
        return _silenced()
    except OSError:  # a full disk under stdout or stderr: there is nobody left to tell, and the code says enough
        return code
    return code


def output_lost() -> bool:
    """Whether what was printed cannot be written out, for another reason than that its reader went away."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return False
    except (OSError, ValueError):
        return True
    return False


def _raised_in_printing(error: OSError) -> bool:
    """Whether an error comes from printing: an unbuffered stream keeps nothing that a flush would try again."""
    if error.filename is not None or error.__traceback__ is None:
        return False
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    return str(innermost.tb_frame.f_globals.get("__name__", "")).startswith(_PRINTING)


def lost_output(error: OSError, settings: Settings) -> str:
    """Say that the output is lost, and what stands all the same; what only looked at something did nothing."""
    lost = f"the output could not be written ({error.strerror or error})"
    where = _TOLD_BY.get(settings.command)
    return f"{lost}; what the command did stands, and is stored: {where}" if where else lost


def _wants_json(settings: Settings, arguments: Sequence[str]) -> bool:
    """Whether --json was given; where the arguments could not be parsed, whether it stands among them."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return settings.json or "--json" in own


def _silenced() -> int:
    """The reader of a pipe went away (`hearth list | head`): nobody wants to hear of it."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(descriptor, stream.fileno())
    return Exit.PIPE_CLOSED


def debugging() -> bool:
    """Whether HEARTH_DEBUG asks for tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def _trace(error: BaseException) -> None:
    if debugging():
        import traceback

        traceback.print_exception(error)
