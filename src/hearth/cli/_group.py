"""A click group that loads a command's module only when the command is called, and turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hearth._visible import visible
from hearth.cli._errors import Exit, debugging, lost_output, report
from hearth.cli._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ClosedOutput", "CommandName", "HearthGroup", "end", "prepare_streams"]

_GUESSES = 3
_LIKENESS = 0.5


@dataclass(frozen=True, slots=True)
class CommandName:
    """A command that is not loaded yet: `place` is `module:attribute`, `section` its heading in the help."""

    name: str
    place: str
    help: str
    section: str


class HearthGroup(click.Group):
    """The group `hearth`. Its help is made of `names` alone, so that it loads no command."""

    def __init__(self, *args: Any, names: Sequence[CommandName] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.names = {name.name: name for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order of the help."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load and return a command; None for an unknown name."""
        known = self.names.get(cmd_name)
        if known is None:
            return None
        module, _, attribute = known.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with; for an unknown one, say which may be meant."""
        if args and args[0] not in self.names and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.names, n=_GUESSES, cutoff=_LIKENESS)
            near = near or [name for name in self.names if name.startswith(args[0])]
            hint = f" Did you mean {' or '.join(near)}?" if near else f" `{ctx.info_name} --help` lists them."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        if args and args[0] in self.names:
            ctx.ensure_object(Settings).command = args[0]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the commands, section by section."""
        for section in dict.fromkeys(name.section for name in self.names.values()):
            with formatter.section(section):
                formatter.write_dl([(name.name, name.help) for name in self.names.values() if name.section == section])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 - always
        **extra: Any,
    ) -> NoReturn:
        """Run and end the process (SystemExit) with one of the documented exit codes; nothing else is raised."""
        settings = extra.setdefault("obj", Settings())
        given = list(sys.argv[1:] if args is None else args)
        call = super().main
        end(lambda: call(given, prog_name, complete_var, standalone_mode=False, **extra), settings, given)


def end(command: Callable[[], object], settings: Settings, arguments: Sequence[str]) -> NoReturn:
    """Call a command and end the process (SystemExit) with what it returns, or with the code of what it raises."""
    handler = _Warnings(settings.told)
    logger = logging.getLogger("hearth")
    logger.addHandler(handler)
    try:
        code = command()
    except BaseException as error:  # noqa: BLE001 - everything becomes one message and a code
        code = report(error, settings, arguments)
    finally:
        logger.removeHandler(handler)
    code = _flushed(code if isinstance(code, int) else Exit.DONE, settings)
    if settings.ends_process:
        from hearth.cli._late_signals import ignore_signals

        ignore_signals()
    sys.exit(code)


def prepare_streams() -> None:
    """Have what a terminal's encoding lacks written as an escape: no text of a record may end the program.

    A stream that was closed before the start is kept closed: else the ledger would be opened under its number, and what
    a step's command prints would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            occupied = os.open(os.devnull, os.O_RDWR)
            if occupied != number:
                os.dup2(occupied, number)
                os.close(occupied)
            os.set_inheritable(number, True)  # noqa: FBT003 - the standard library's own
            if name == "stdout":
                sys.stdout = ClosedOutput()
            elif name == "stderr":
                sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the whole process
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


class ClosedOutput(io.TextIOWrapper):
    """A stdout that was closed before the start: whatever is printed is an OSError, and so is every flush after it."""

    def __init__(self) -> None:
        super().__init__(io.BufferedWriter(_Closed()), encoding="utf-8", errors="backslashreplace")


class _Closed(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _: object, /) -> int:
        raise OSError(errno.EBADF, "stdout is closed")


class _Warnings(logging.Handler):
    """Tells on stderr what HEARTH's rooms warn of.

    What they log as an error they raise or return as well, and that is told as the command's own error. What is
    critical is told at once: whoever should raise it may never come back from the disk.
    Why the posture worsened is left out where it stands in what was `told` already.
    """

    def __init__(self, told: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.ERROR and not debugging():
            return
        message = record.getMessage()
        reason = getattr(record, "reason", "")
        if reason and any(reason in text for text in self._told):
            message = message.removesuffix(f": {reason}")
        with suppress(OSError, ValueError):
            click.echo(f"hearth: {record.levelname.lower()}: {visible(message)}", err=True)


def _flushed(code: int, settings: Settings) -> int:
    """Write out what is still buffered; a reader that went away is no reason for noise at the very end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout and code == Exit.DONE and isinstance(error, OSError):
                code = code if isinstance(error, BrokenPipeError) else _told_lost(error, settings)
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(stream, ClosedOutput):
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - Python flushes it at its end
    return code


def _told_lost(error: OSError, settings: Settings) -> Exit:
    with suppress(OSError, ValueError):
        click.echo(f"hearth: failed: {lost_output(error, settings)}", err=True)
    return Exit.FAILED
