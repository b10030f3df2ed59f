"""Console blocks: what is typed, what must come back, and the bash that it is typed into."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from ._blocks import Block, DocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANYTHING = "..."


@dataclass(frozen=True, slots=True)
class Command:
    """One command with the output that the page shows for it."""

    line: int
    text: str
    expected: tuple[str, ...]


def parse_console(block: Block) -> list[Command]:
    """Split a block into commands: `$ ` begins one, `> ` right after it continues it, the rest is its output."""
    commands: list[Command] = []
    typed: list[str] = []
    expected: list[str] = []
    begin = block.line
    for number, line in enumerate(block.text.rstrip("\n").split("\n"), block.line):
        if line.startswith("$ "):
            if typed:
                commands.append(_command(begin, typed, expected))
            begin, typed, expected = number, [line[2:]], []
        elif not typed:
            raise DocumentError(block.name, number, "a console block begins with `$ ` and a command")
        elif not expected and (line.startswith("> ") or line == ">"):
            typed.append(line[2:])
        else:
            expected.append(line)
    commands.append(_command(begin, typed, expected))
    return commands


def _command(line: int, typed: list[str], expected: list[str]) -> Command:
    """Blank lines alone only set commands apart."""
    return Command(line, "\n".join(typed), tuple(expected) if any(expected) else ())


def same_output(expected: tuple[str, ...], actual: str) -> bool:
    """Tell whether the output is the expected one, but for white space at the ends of lines and blank last lines.

    `...` within a line stands for any part of a line, alone on a line for any number of lines.
    """
    pattern = "".join(
        r"(?:[^\n]*\n)*?"
        if line.strip() == ANYTHING
        else r"[^\n]*?".join(map(re.escape, line.rstrip().split(ANYTHING))) + r"\n"
        for line in "\n".join(expected).rstrip().split("\n")
    )
    lines = [line.rstrip() for line in actual.rstrip().split("\n")]
    return re.fullmatch(pattern, "\n".join(lines) + "\n") is not None


class Shell:
    """One bash for a whole document, so that `cd` and variables hold from block to block."""

    def __init__(self, *, folder: Path, scratch: Path, environment: Mapping[str, str], patience: float = 120.0) -> None:
        self._scratch = scratch
        self._patience = patience
        self._status = 0
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        self._process.wait()

    def run(self, command: str) -> tuple[int | None, str]:
        """Return the exit status (None: it did not end in time, or ended the shell) and the output, both streams."""
        script, output = self._scratch / "command", self._scratch / "output"
        script.write_text(command + "\n", "utf-8")
        output.unlink(missing_ok=True)
        # The output goes to a file; what bash itself prints is the status alone.
        line = f'(exit {self._status}); . "{script}" >"{output}" 2>&1 </dev/null; echo $?\n'
        try:
            _pipe(self._process.stdin).write(line.encode())
            answer = self._answer()
        except BrokenPipeError:
            answer = None
        if answer is None:
            self._kill()
        else:
            self._status = answer
        return answer, output.read_text("utf-8", errors="replace") if output.exists() else ""

    def _answer(self) -> int | None:
        stream = _pipe(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            if not selector.select(self._patience):
                return None
        said = stream.readline()
        return int(said) if said else None

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def run_console(block: Block, shell: Shell) -> None:
    """Type the block's commands; a status or an output that the page does not show is a DocumentError.

    A command may fail only where the page says so: the next command is `echo $?`, or the block's comment says
    `exit N` for the last one. Where no output is shown, none is compared.
    """
    commands = parse_console(block)
    for command, following in zip(commands, [*commands[1:], None], strict=True):
        status, output = shell.run(command.text)
        shown = f"$ {command.text}\n{output.rstrip()}"
        if status is None:
            raise DocumentError(
                block.name, command.line, f"the command did not end in time, or ended the shell\n{shown}"
            )
        wanted = block.status if following is None else 0
        if status != wanted and not (following and following.text.strip() == "echo $?"):
            raise DocumentError(block.name, command.line, f"exit status {status}, not {wanted}\n{shown}")
        if command.expected and not same_output(command.expected, output):
            page = "\n".join(command.expected)
            raise DocumentError(
                block.name, command.line, f"other output than on the page\n{shown}\n--- on the page:\n{page}"
            )
