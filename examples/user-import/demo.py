"""Run the user import for real, once well and once with a mistake in it, and look at what is on record afterwards.

    make demo             (or: .venv/bin/python examples/user-import/demo.py [--keep] [--into FOLDER])

Everything happens in a temporary folder, with its own ledger and two small servers on free loopback ports; `--keep`
leaves it there. Each line that starts with `$` is a real command, run as you would run it. The exit code is 0 only when
everything came out as expected, and that includes the failure of the second run.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import secrets
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

HERE = Path(__file__).resolve().parent
PLAN_FILES = ("plan.yaml", "backup.py", "importer.py", "check.py", "migrations/0002_batches.sql")
USERS_BEFORE, USERS_AFTER, REJECTED = 3_200, 8_022, 178
WRONG_LIMIT = 5_000
REASON = "September import, agreed with the owner of the service"
GRACE = 5.0  # seconds that a child has to end by itself before it is told to, and then before it is ended
WIDTH = 100  # columns; a longer command is shown over several lines


class DemoError(Exception):
    """Something did not come out as expected; the message says what."""


@dataclass(slots=True)
class Demo:
    """One run of the demo: where it works, with what environment, and how many expectations have held."""

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

    def run(self, site: str, server: str, *variables: str, exit_code: int = 0) -> None:
        """Run the site's plan live."""
        given = [part for variable in (f"server={server}", *variables) for part in ("--var", variable)]
        options = ("--mode", "live", "--yes", "--reason", REASON, "--id", f"september-{site}")
        self.hearth("run", f"{site}/plan.yaml", *given, *options, exit_code=exit_code)

    def expect_site(self, site: str, server: str, *, served: int) -> None:
        """Look at the real things, not at what the record says: the database, the reject file, the running server."""
        with closing(sqlite3.connect(self.folder / site / "app.db")) as connection:
            (users,) = connection.execute("SELECT count(*) FROM users").fetchone()
        self.expect(f"users in the database of {site}", found=users, expected=USERS_AFTER)
        with (self.folder / site / "rejects.csv").open(encoding="utf-8", newline="") as file:
            rejects = sum(1 for _ in csv.DictReader(file))
        self.expect(f"rows in the reject file of {site}", found=rejects, expected=REJECTED)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{server}/status", timeout=10) as answer:
            self.expect(f"users served by {site}", found=json.load(answer)["users"], expected=served)

    def expect_record(self, file: str, token: str) -> None:
        """The exported record says what happened, and the servers' token is in no file of the whole folder."""
        record = json.loads((self.folder / file).read_text(encoding="utf-8"))
        failed = [event["step_name"] for event in record["step_events"] if event["event_type"] == "step_failed"]
        self.expect(f"status in {file}", found=record["status"], expected="failed")
        self.expect(f"failed steps in {file}", found=failed, expected=["Tell the server to reload"])
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        leaks = [str(path) for path in files if token.encode() in path.read_bytes()]
        self.expect("files with the servers' token", found=leaks, expected=[])


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


def play(demo: Demo, token: str, wrong_limit: int) -> None:
    """The demo itself."""
    demo.heading("Two sites of a user service, each with a database, new users in a CSV file, and a configuration")
    for site in ("oslo", "bergen"):
        demo.command("python make_data.py", str(HERE / "make_data.py"), site, skip=1)
        for name in PLAN_FILES:
            (demo.folder / site / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(HERE / name, demo.folder / site / name)

    demo.heading("A ledger for the records, and a look at the plan before anything runs")
    demo.hearth("init")
    demo.hearth("keygen", "--trust", "demo")
    demo.hearth("plan", "check", "oslo/plan.yaml")

    with demo.server("oslo") as oslo, demo.server("bergen") as bergen:
        demo.heading("Oslo: back up, migrate, import, check, configure, reload, check again")
        demo.run("oslo", oslo)
        demo.expect_site("oslo", oslo, served=USERS_AFTER)

        demo.heading(f"Bergen: the same plan, but somebody has typed a limit of {wrong_limit:,} users")
        demo.run("bergen", bergen, f"user_limit={wrong_limit}", exit_code=1)
        demo.expect_site("bergen", bergen, served=USERS_BEFORE)

    demo.heading("How Bergen can be taken back, the last step first")
    demo.hearth("rollback", "september-bergen")

    demo.heading("What is on record")
    demo.hearth("list")
    demo.hearth("show", "september-bergen")

    demo.heading("Whether the record holds: in the ledger, and as a file that anybody can check")
    demo.hearth("verify", "--all")
    demo.hearth("export", "september-bergen", "-o", "bergen.json")
    demo.hearth("verify", "bergen.json")
    demo.expect_record("bergen.json", token)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Run the user import for real, once well and once with a mistake.")
    parser.add_argument("--keep", action="store_true", help="leave the work folder there, and print where it is")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="work in this new folder, and leave it there")
    parser.add_argument(
        "--wrong-limit", type=int, default=WRONG_LIMIT, metavar="N", help="the limit for Bergen (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def surroundings(token: str, key: Path) -> dict[str, str]:
    """Return the environment of the commands: the servers' token, and no other ledger and key than the demo's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    given = {
        "RELOAD_TOKEN": token,
        "HEARTH_KEY": str(key),
        "PYTHONUTF8": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return kept | given


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat a termination signal like Ctrl-C, so that the servers end with the demo."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program: 0 when all came out as expected, 1 when not, 2 when it cannot run, 130 when interrupted."""
    options = parse(arguments)
    if importlib.util.find_spec("hearth") is None:
        print("demo: this Python has no hearth: run `make demo`, which sets it up first", file=sys.stderr)
        return 2
    if options.into is not None and options.into.exists():
        print(f"demo: {options.into} is already there: name a new folder", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupt)
    started = time.monotonic()
    folder = Path(options.into or tempfile.mkdtemp(prefix="hearth-demo-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(24)
    demo = Demo(
        folder, surroundings(token, folder / "key.pem"), colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ
    )
    keep = options.keep or options.into is not None
    try:
        play(demo, token, options.wrong_limit)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; its servers have ended", file=sys.stderr)
        return 130
    except DemoError as error:
        keep = True  # somebody will want to see why
        print(f"demo: NOT AS EXPECTED: {error}", file=sys.stderr)
        return 1
    else:
        demo.heading("All as expected")
        seconds = time.monotonic() - started
        print(f"{demo.held} expectations held, the failure in Bergen among them, in {seconds:.1f} s.")
        return 0
    finally:
        if keep:
            print(f"The work folder is {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
