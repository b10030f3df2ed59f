"""Preview the user import, approve it, run it, and stop what turns out otherwise; look at what is on record afterwards.

    make demo             (or: .venv/bin/python examples/user-import/demo.py [--keep] [--into FOLDER])

Everything happens in a temporary folder, with its own ledger and two small servers on free loopback ports; `--keep`
leaves it there. Each line that starts with `$` is a real command, run as you would run it. The exit code is 0 only when
everything came out as expected, and that includes the failure of the second run and the refusal of the third. Where
this machine can make no sandbox there is no preview and no third run: the plan then runs on the host itself.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terminal import HERE, DemoError, Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

PLAN_FILES = ("plan.yaml", "backup.py", "importer.py", "check.py", "migrations/0002_batches.sql")
USERS_BEFORE, USERS_AFTER, REJECTED = 3_200, 8_022, 178
WRONG_LIMIT = 5_000
REASON = "September import, agreed with the owner of the service"
RAN = ["sandbox", "sandbox", "request", "transaction", "sandbox", "transaction", "sandbox", "sandbox", "request"]
FAILED, REFUSED, ESCALATED = 1, 3, 4  # exit codes of hearth
POLICY = """\
approvals:
  quorum: 1
  self_approval: false    # who asks does not approve{preview}
  keys:
    ann: {{key: "{ann}", roles: [requester, operator]}}
    ben: {{key: "{ben}", roles: [approver]}}
sandbox:
  require: {require}
"""
PREVIEW_FIRST = "\n  require_preview: true   # and who approves has been shown what the steps really do"


@dataclass(slots=True, kw_only=True)
class Demo(Terminal):
    """One run of the demo: its terminal, which sandboxes this machine gives, and where it gives none, why."""

    tier: str
    why_not: str

    @property
    def sandboxed(self) -> bool:
        """Whether there can be previews, and runs in sandboxes."""
        return self.tier != "fallback"

    def site(self, name: str) -> None:
        """Make a site's data and lay the plan beside it."""
        self.command("python make_data.py", str(HERE / "make_data.py"), name, skip=1)
        for file in PLAN_FILES:
            (self.folder / name / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(HERE / file, self.folder / name / file)

    def approved(self, site: str, *variables: str, shown: int) -> str:
        """Have Ann ask for a live run of the site's plan and Ben approve it; return the request's id.

        Of what the request says, as many lines as `shown` are printed.
        """
        plan = (f"{site}/plan.yaml", *given(variables))
        before = tree(self.folder / site)
        asked = self.told("request", *plan, "--reason", REASON, errors="log.txt", shown=shown)
        found = re.search(r"request +(\w+)\n.* digest (\w{8})", asked)
        if found is None:
            raise DemoError("the request does not say its id, or the digest of its plan")
        users = sha256(self.folder / site / "users.csv")  # some of its bytes are no text, so it cannot be shown
        known = ("--plan", *plan, "--digest", found[2], "--accept-unseen", users)
        self.told("approve", found[1], "--key", "ben.pem", *known, errors=f"{site}.txt")
        self.expect(f"the files of {site} before its run", found=tree(self.folder / site), expected=before)
        return found[1]

    def run(self, site: str, request: str, *variables: str, again: bool = False, exit_code: int = 0) -> None:
        """Run the site's plan live, with an approval."""
        name = f"september-{site}{'-again' if again else ''}"
        options = ("--mode", "live", "--approval", request, "--id", name)
        self.hearth("run", f"{site}/plan.yaml", *given(variables), *options, exit_code=exit_code)

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
        ends = [event for event in record["step_events"] if event["event_type"] in {"step_completed", "step_failed"}]
        failed = [event["step_name"] for event in ends if event["event_type"] == "step_failed"]
        self.expect(f"status in {file}", found=record["status"], expected="failed")
        self.expect(f"failed steps in {file}", found=failed, expected=["Tell the server to reload"])
        if self.sandboxed:
            self.expect("ways the steps ran", found=[event["details"]["ran"] for event in ends], expected=RAN)
            self.expect_hashes(record)
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        leaks = [str(path) for path in files if token.encode() in path.read_bytes()]
        self.expect("files with the servers' token", found=leaks, expected=[])

    def expect_hashes(self, record: Mapping[str, Any]) -> None:
        """The files that were observed have the content that the record says they have."""
        effects = record["side_effects_report"]["side_effects_observed"]
        seen = (effect["details"] for effect in effects if effect["origin"] == "observed")
        nodes = {details["path"]: details["after"] for details in seen if "path" in details}
        found = {path: node["sha256"] for path, node in nodes.items() if "sha256" in node}
        names = ("backup/app.db", "backup/app.ini", "app.db", "rejects.csv", "app.ini")
        real = {str(path): sha256(path) for path in (self.folder / "bergen" / name for name in names)}
        self.expect("hashes of the files that were observed", found=found, expected=real)


def given(variables: Sequence[str]) -> list[str]:
    """Return variables as options."""
    return [part for variable in variables for part in ("--var", variable)]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return mode, time and SHA-256 of everything in a folder."""
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")))
    return {
        str(path): (status.st_mode, status.st_mtime_ns, sha256(path) if path.is_file() else "")
        for path, status in found
    }


def play(demo: Demo, token: str, wrong_limit: int) -> None:
    """The demo itself."""
    demo.heading("Two sites of a user service, each with a database, new users in a CSV file, and a configuration")
    demo.site("oslo")
    demo.site("bergen")

    demo.heading("A ledger for the records, keys for two people, and a policy: Ann asks and runs, Ben approves")
    set_up(demo)

    with demo.server("oslo") as oslo, demo.server("bergen") as bergen:
        if demo.sandboxed:
            demo.heading("Oslo: what would the plan do? Its steps really run, in sandboxes that are thrown away")
            demo.hearth("preview", "oslo/plan.yaml", "--var", f"server={oslo}")
        demo.heading("Ann asks for one run of it. Ben is shown all of it, types how its digest begins, and has signed")
        request = demo.approved("oslo", f"server={oslo}", shown=7)
        demo.lines("^[A-Z]", "oslo.txt")

        demo.heading("Ann runs it: back up, migrate, import, check, configure, reload")
        demo.run("oslo", request, f"server={oslo}")
        demo.expect_site("oslo", oslo, served=USERS_AFTER)

        demo.heading(
            f"Bergen: the same plan, but somebody has typed a limit of {wrong_limit:,} users. Ben overlooks it"
        )
        variables = (f"server={bergen}", f"user_limit={wrong_limit}")
        request = demo.approved("bergen", *variables, shown=1)
        demo.lines("^  [-+].*limit", "bergen.txt")
        demo.run("bergen", request, *variables, exit_code=FAILED)
        demo.expect_site("bergen", bergen, served=USERS_BEFORE)

    demo.heading("How Bergen can be taken back, the last step first")
    demo.hearth("rollback", "september-bergen")

    if demo.sandboxed:
        demo.heading("Tromsø: somebody adds a user after the approval. What would happen now is not what Ben was shown")
        drift(demo)

    demo.heading("What is on record")
    demo.hearth("list")
    demo.hearth("show", "september-bergen")

    demo.heading("Whether the record holds: in the ledger, and as a file that anybody can check")
    demo.hearth("verify", "--all")
    demo.hearth("export", "september-bergen", "-o", "bergen.json")
    demo.hearth("verify", "bergen.json")
    if demo.sandboxed:
        demo.heading("What each step did, as HEARTH saw it: contents before and after, rows, requests")
        demo.command("python seen.py", str(HERE / "seen.py"), "bergen.json", skip=1)
    demo.expect_record("bergen.json", token)


def set_up(demo: Demo) -> None:
    """Make the ledger, the keys and the policy; say where there will be no sandboxes."""
    demo.hearth("init")
    keys = {name: demo.told("keygen", name, "--out", f"{name}.pem", errors="") for name in ("ann", "ben")}
    public = {name: re.findall(r"ed25519:[\w+/=]+", text)[0] for name, text in keys.items()}
    preview = PREVIEW_FIRST if demo.sandboxed else ""
    policy = POLICY.format(preview=preview, require=demo.tier if demo.sandboxed else "none", **public)
    (demo.folder / ".hearth" / "policy.yaml").write_text(policy, encoding="utf-8")
    print("$ cat .hearth/policy.yaml", policy, sep="\n", end="", flush=True)
    if not demo.sandboxed:
        demo.heading(
            f"This machine can make no sandbox ({demo.why_not}):\nno previews, and the steps run on the host itself"
        )


def drift(demo: Demo) -> None:
    """Have a run stopped, because it would do something else than its preview did."""
    demo.site("tromso")
    request = demo.approved("tromso", shown=1)
    database = demo.folder / "tromso" / "app.db"
    statement = "INSERT INTO users (name, email, joined) VALUES ('Eva', 'eva@example.org', '2025-10-01')"
    print(f'$ sqlite3 tromso/app.db "{statement}"', flush=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)
    before = tree(demo.folder / "tromso")
    demo.run("tromso", request, exit_code=ESCALATED)
    demo.expect("the files of tromso after the run", found=tree(demo.folder / "tromso"), expected=before)
    demo.run("tromso", request, again=True, exit_code=REFUSED)  # one approval is one run, also of one that was stopped


def tier(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return which sandboxes this machine gives (full, unprivileged or fallback), and why there are none."""
    command = (sys.executable, "-m", "hearth", "doctor", "--json")
    told = subprocess.run(command, check=True, env=dict(environment), stdout=subprocess.PIPE, encoding="utf-8").stdout
    found = json.loads(told)
    return found["tier"], next((one["why"] for one in found["capabilities"] if not one["works"]), "")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description="Preview, approve and run the user import, once well and once with a mistake."
    )
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
    environment = surroundings(token, folder / "ann.pem")
    sandboxes, why_not = tier(environment)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    demo = Demo(folder, environment, colour, tier=sandboxes, why_not=why_not)
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
        among = "the failure in Bergen" + (" and the stop in Tromsø" if demo.sandboxed else "")
        print(f"{demo.held} expectations held, {among} among them, in {seconds:.1f} s.")
        return 0
    finally:
        if keep:
            print(f"The work folder is {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
