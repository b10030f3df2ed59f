"""A terminal session for others to watch: commands that are shown and run, servers beside them, expectations."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).resolve().parent
GRACE = 5.0  # seconds that a child has to end by itself before it is told to, and then before it is ended
WIDTH = 100  # columns; a longer command is shown over several lines


class DemoError(Exception):
    """Something did not come out as expected; the message says what."""


@dataclass(slots=True)
class Terminal:
    """A terminal session: the folder it is in, with what environment, and how many expectations have held."""

    folder: Path
    environment: Mapping[str, str]
    colour: bool
    held: int = 0

    def heading(self, text: str) -> None:
        """Print the title of the next part."""
        print(f"\n\033[1m{text}\033[0m" if self.colour else f"\n== {text}", flush=True)

    def expect(self, what: str, *, found: object, expected: object) -> None:
        """Raise DemoError where what was found is not what was expected."""
        if found != expected:
            raise DemoError(f"{what}: expected {expected!r}, found {found!r}")
        self.held += 1

    def hearth(self, *arguments: str, exit_code: int = 0) -> None:
        """Show a hearth command, run it with its output on this terminal, and expect its exit code."""
        self.command("hearth", "-m", "hearth", *arguments, skip=2, exit_code=exit_code)

    def command(self, name: str, *arguments: str, skip: int = 0, exit_code: int = 0) -> None:
        """Show and run a command of this Python; `skip` arguments stand for its name and are not shown."""
        shown = f"{name} {shlex.join(arguments[skip:])}"
        print(f"$ {wrapped(shown)}", flush=True)
        process = subprocess.Popen((sys.executable, *arguments), cwd=self.folder, env=dict(self.environment))
        try:
            found = process.wait()
        except KeyboardInterrupt:
            finish(process)  # it has had the same Ctrl-C, and still has its record to seal
            raise
        self.expect(f"exit code of `{shown}`", found=found, expected=exit_code)

    def told(self, *arguments: str, errors: str = "", shown: int | None = None) -> str:
        """Show and run a hearth command, and return its output; as many lines of it as `shown` are printed.

        `errors` names a file for its standard error, which else appears on this terminal.
        """
        command = f"hearth {shlex.join(arguments)}"
        rest = f" 2> {errors}" if errors else ""
        rest += f" | head -n {shown}" if shown is not None else ""
        print(f"$ {wrapped(command + rest)}", flush=True)
        process = subprocess.Popen(
            (sys.executable, "-m", "hearth", *arguments),
            cwd=self.folder,
            env=dict(self.environment),
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if errors else None,
        )
        try:
            output, said = process.communicate()
        except KeyboardInterrupt:
            finish(process)
            raise
        print("".join(output.splitlines(keepends=True)[:shown]), end="", flush=True)
        if errors:
            (self.folder / errors).write_text(said, encoding="utf-8")
        if process.returncode:
            raise DemoError(f"`{command}` ended with {process.returncode}: {(said or '').strip()[-800:]}")
        self.held += 1
        return output

    def lines(self, pattern: str, file: str) -> list[str]:
        """Show, and return, the lines of a file that match; as grep does."""
        print(f"$ grep {shlex.quote(pattern)} {file}")
        text = (self.folder / file).read_text(encoding="utf-8")
        found = [line for line in text.split("\n") if re.search(pattern, line)]
        print(*found, sep="\n", flush=True)
        return found

    @contextmanager
    def server(self, site: str) -> Iterator[str]:
        """Start the site's server and yield its address; it has ended when the block is left, however it is left."""
        command = (sys.executable, str(HERE / "server.py"), str(self.folder / site / "app.ini"), "--until-eof")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(self.environment)
        )
        assert process.stdin is not None  # noqa: S101  # for the type checker: both were asked for
        assert process.stdout is not None  # noqa: S101
        try:
            address = process.stdout.readline().removeprefix("listening on ").strip()
            if not address:
                raise DemoError(f"the server of {site} did not start: it says why above")
            yield address
        finally:
            # The end of its input is what ends it: also when this process is killed and can do nothing more about it.
            process.stdin.close()
            finish(process)
            process.stdout.close()


def wrapped(command: str) -> str:
    """Return a long command over several lines, as one would type it; lines break before an option."""
    first, *options = command.split(" --")
    lines = [first]
    for option in options:
        if len(lines[-1]) + len(option) + 3 <= WIDTH:
            lines[-1] += f" --{option}"
        else:
            lines.append(f"    --{option}")
    return " \\\n".join(lines)


def finish(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """See a child to its end: it may end by itself, then it is asked to, then it is ended."""
    for harder in (process.terminate, process.kill):
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            harder()
    process.wait()
