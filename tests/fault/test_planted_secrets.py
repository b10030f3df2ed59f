"""Two hundred secrets, planted where secrets come from, and looked for byte by byte in everything that HEARTH keeps.

They are referenced by the plan, wrapped in `Secret`, stand under telling keys, or have a known form; they go through
every task, its output, its errors and its effects: also to a server that echoes what it was sent, to databases that
refuse, and through a caller's function. The files that a plan itself writes are its own business.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import socket
import string
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from hearth.errors import StepFailedError
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import initialise
from hearth.record import Secret
from hearth.recorder import ExecutionObserver, Journal
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tasks that start processes")

COUNT = 50  # of each kind
CHANCE = random.Random(20260301)  # noqa: S311 - repeatable
WORD = string.ascii_letters + string.digits
ODD = WORD + "!#$%&()*+,-./:;<=>?@[]^_{|}~'\"\\ éß漢"

TOLD = {"secret": "file:told.json"}
MODULE = """
import json, os, sys
from hearth.execution import report_effect

def tell(names, told):
    for name in names:
        value = os.environ[name]
        print("out", value)
        print("err", value, file=sys.stderr)
        print(json.dumps({"quoted": value}))
        report_effect("OTHER", f"used {value}", details={"deep": [{"used": value}], value: 1})
    for name, value in json.loads(told).items():
        report_effect("NETWORK", "sent", details={name: value, "nested": {name: [value, {"x": value}]}})
        print(f"{name}={value}")

def fail(name):
    raise RuntimeError(f"could not log in with {os.environ[name]}")

def shapes(path):
    for line in open(path, encoding="utf-8"):
        print("seen", line.rstrip("\\n"))
        report_effect("OTHER", "seen " + line.rstrip("\\n"), details={"line": line})
"""


def odd() -> str:
    """A value with characters that JSON, shells and URLs write otherwise."""
    return "".join(CHANCE.choice(ODD) for _ in range(CHANCE.randint(8, 30))).strip() + CHANCE.choice(WORD) * 2


def plain(length: int) -> str:
    return "".join(CHANCE.choice(WORD) for _ in range(length))


def shaped(number: int) -> tuple[str, str]:
    """A secret of a known form, and a line that holds it."""
    match number % 8:
        case 0:
            secret = "AKIA" + plain(16).upper()
            return secret, f"key {secret} used"
        case 1:
            secret = "ghp_" + plain(36)
            return secret, f"pushed with {secret}"
        case 2:
            secret = "x" + plain(14)
            return secret, f"connecting to postgres://ann:{secret}@db.example/app"
        case 3:
            secret = f"eyJ{plain(20)}.{plain(30)}.{plain(20)}"
            return secret, f"Authorization: Bearer {secret}"
        case 4:
            secret = "y" + plain(14)
            return secret, f"mytool --password {secret} --verbose"
        case 5:
            secret = "z" + plain(14)
            return secret, f"API_TOKEN={secret} ./deploy"
        case 6:
            secret = "glpat-" + plain(20)
            return secret, f"cloned with {secret}"
        case _:
            secret = "w" + plain(14)
            return secret, f"curl -u ann:{secret} https://example.test/"


def files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path


def forms(secret: str) -> set[bytes]:
    """The secret as it is, and as JSON writes it."""
    return {secret.encode(), json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}


def found_in(folders: list[Path], secrets: dict[str, str]) -> list[str]:
    needles = [(kind, secret, form) for secret, kind in secrets.items() for form in forms(secret)]
    return [
        f"{kind} {secret!r} in {path}"
        for folder in folders
        for path in files_of(folder)
        for data in (path.read_bytes(),)
        for kind, secret, form in needles
        if form in data
    ]


def test_none_of_two_hundred_is_found_in_what_is_kept(tmp_path: Path) -> None:
    referenced = {f"S_{number}": odd() for number in range(COUNT)}
    told = {f"{CHANCE.choice(('password', 'api_key', 'db_secret', 'authToken'))}_{n}": plain(14) for n in range(COUNT)}
    known = [shaped(number) for number in range(COUNT)]
    wrapped = [odd() for _ in range(COUNT)]
    secrets = {
        **dict.fromkeys(referenced.values(), "referenced"),
        **dict.fromkeys(told.values(), "told by its key"),
        **{secret: "of a known form" for secret, _ in known},
        **dict.fromkeys(wrapped, "wrapped"),
    }
    assert len(secrets) == 4 * COUNT

    work, kept = tmp_path / "work", tmp_path / "kept"
    work.mkdir()
    kept.mkdir()
    home = initialise(kept / ".hearth").home
    key = approving.trust(home)
    (work / "tell.py").write_text(MODULE)
    (work / "shapes.txt").write_text("".join(f"{line}\n" for _, line in known))
    environment = {name: {"secret": f"env:{name}"} for name in referenced}
    names = list(referenced)
    steps: list[dict[str, Any]] = [
        {"name": "Tell", "python": {"call": "tell:tell", "args": {"names": names, "told": TOLD}}},
        {"name": "Echo", "shell": "\n".join(f'printf "%s\\n" "${name}"; echo "${name}" >&2' for name in names)},
        {"name": "Words", "shell": {"argv": ["sh", "-c", "env; cat shapes.txt"]}},
        {"name": "Shapes", "python": {"call": "tell:shapes", "args": {"path": "shapes.txt"}}},
        {"name": "Write", "file": {"write": "secret.txt", "content": {"secret": "env:S_0"}}},
        {"name": "Append", "file": {"append": "secret.txt", "content": {"secret": "env:S_1"}}},
        {"name": "Ask", "sql": {"url": "sqlite:///a.db", "create": True, "statement": "SELECT :p",
                                "parameters": {"p": {"secret": "env:S_2"}}}},
        {"name": "Fail", "python": {"call": "tell:fail", "args": {"name": "S_3"}}},
    ]  # fmt: skip
    (work / "told.json").write_text(json.dumps(told))
    (work / "told.json").chmod(0o600)
    (work / "plan.yaml").write_text(json.dumps({"plan": "leaky", "env": environment, "steps": steps}))

    done = subprocess.run(
        [sys.executable, "-m", "hearth", "--home", str(home.root), "run", "plan.yaml", "--mode", "live", "--yes",
         "--reason", "a test", "--id", "one"],
        cwd=work, env=os.environ | referenced | {"HEARTH_KEY": str(key)}, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    (kept / "stdout.log").write_bytes(done.stdout)
    (kept / "stderr.log").write_bytes(done.stderr)
    assert done.returncode == 1, (done.stdout[-3000:], done.stderr[-3000:])
    export = [sys.executable, "-m", "hearth", "--home", str(home.root)]
    for more in (["export", "one", "-o", str(kept / "one.json")], ["show", "one", "--output"], ["rollback", "one"]):
        shown = subprocess.run([*export, *more], capture_output=True, check=False, cwd=work, timeout=60)
        (kept / f"{more[0]}.log").write_bytes(shown.stdout + shown.stderr)

    # Wrapped ones go through the observer, with a journal that is left behind.
    with Journal.create(home.journals / "two.journal") as journal:
        observer = ExecutionObserver("two", "plan", journal=journal)
        for number, value in enumerate(wrapped):
            observer.record_step_started(number, f"step {number}", {"token_holder": Secret(value)})
            observer.record_side_effect(
                "OTHER", f"used {value}", details={"list": [Secret(value), value], "x": {"y": value}}
            )
            observer.record_step_failed(number, f"step with {value}", f"error {value}", {"again": value})
        observer.mark_failed("because of " + wrapped[0])
    with Ledger.open(home) as ledger:
        assert "one" in {summary.execution_id for summary in ledger.list()}
        assert found_in([kept], secrets) == []
        record = ledger.get("one")
    failed = [
        (event.step_name, event.error_message) for event in record.step_events if event.event_type == "step_failed"
    ]
    assert [name for name, _ in failed] == ["Fail"], failed
    assert len(record.side_effects_report.side_effects_observed) >= 3 * COUNT


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with all that it was told: in headers, in the body, and in the status line."""

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        told = self.headers.get("Authorization", "").encode("ascii", "replace").decode()
        body = json.dumps({"path": self.path, "headers": dict(self.headers), "sent": sent, "password": told}).encode()
        self.send_response(403 if self.path.startswith("/refused") else 200, f"told {told}")
        for name in ("Server", "ETag", "X-Request-Id", "Retry-After"):
            self.send_header(name, f"seen {told} {self.headers.get('X-Api-Key', '')}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 - the names are the library's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass


@contextmanager
def echo() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_none_comes_back_from_servers_and_databases(tmp_path: Path) -> None:
    """One run for each, as each of these steps may fail."""
    work, kept = tmp_path / "work", tmp_path / "kept"
    work.mkdir()
    kept.mkdir()
    home = initialise(kept / ".hearth").home
    key = approving.trust(home)
    with socket.socket() as unused, echo() as port:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        names = [f"S_{number}" for number in range(8)]
        secrets = {name: plain(16) for name in names}
        in_url, bearer = plain(18), plain(40)
        known = dict.fromkeys((in_url, bearer), "of a known form") | dict.fromkeys(secrets.values(), "referenced")
        reference = [{"secret": f"env:{name}"} for name in names]
        (work / "url.txt").write_text(f"http://ann:{in_url}@127.0.0.1:{port}/url")
        asked = {"Authorization": f"Bearer {bearer}", "X-Api-Key": reference[0]}
        here = f"http://127.0.0.1:{port}"
        steps: dict[str, dict[str, Any]] = {
            "echoed": {"http": {"method": "POST", "url": f"{here}/all", "headers": asked, "json": {"a": reference[1]}}},
            "refused": {"http": {"method": "POST", "url": f"{here}/refused", "headers": asked, "body": reference[2]}},
            "url": {"http": {"method": "GET", "url": f"http://ann:{in_url}@127.0.0.1:{port}/refused"}},
            "form": {"http": {"method": "POST", "url": f"{here}/refused", "form": {"x": reference[3]}}},
            "closed": {"http": {"method": "GET", "url": f"http://ann:{in_url}@127.0.0.1:{closed}/"}},
            "column": {"sql": {"url": "sqlite:///a.db", "create": True, "statement": "SELECT * FROM no WHERE x = :p",
                               "parameters": {"p": reference[4]}}},
            "constraint": {"sql": {"url": "sqlite:///a.db", "create": True, "parameters": {"p": reference[5]},
                                   "statement": "INSERT INTO sqlite_master (name) VALUES (:p)"}},
            "postgresql": {"sql": {"url": f"postgresql://ann:{{secret: env:S_6}}@127.0.0.1:{closed}/app",
                                   "statement": "SELECT 1"}},
            "inline": {"sql": {"url": f"postgresql://ann:{quote(in_url)}@127.0.0.1:{closed}/app",
                               "statement": "SELECT 1"}},
        }  # fmt: skip
        ends: dict[str, tuple[int, bytes]] = {}
        for name, step in steps.items():
            environment = {f"S_{number}": value for number, value in enumerate(reference)}
            plan = {"plan": name, "env": environment, "steps": [{"name": name, **step}]}
            (work / f"{name}.yaml").write_text(json.dumps(plan))
            command = [sys.executable, "-m", "hearth", "--home", str(home.root)]
            commands = [["run", f"{name}.yaml", "--mode", "live", "--yes", "--reason", "a test", "--id", name]]
            if name == "refused":
                commands += [["show", name, "--output"], ["export", name, "-o", str(kept / f"{name}.json")]]
            for words in commands:
                done = subprocess.run(
                    [*command, *words], cwd=work, env=os.environ | secrets | {"HEARTH_KEY": str(key)},
                    capture_output=True, check=False, timeout=120,
                )  # fmt: skip
                (kept / f"{name}-{words[0]}.log").write_bytes(done.stdout + done.stderr)
                ends.setdefault(name, (done.returncode, done.stderr[-500:]))
    codes = {name: code for name, (code, _) in ends.items()}
    assert codes == {name: int(name != "echoed") for name in steps}, ends
    with Ledger.open(home) as ledger:
        assert {summary.execution_id for summary in ledger.list()} >= set(steps)
        # The plan itself names some of them; a file of one's own is one's own business, its copies are not.
        assert found_in([kept], known) == []


@dataclass
class Called:
    """What a caller's function gives back."""

    failed: bool = False
    error: str = ""
    details: Any = None
    side_effects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class CalledStep:
    index: int
    name: str
    task_type: str = "call"


@dataclass(frozen=True)
class CalledPlan:
    id: str
    steps: tuple[CalledStep, ...]


@pytest.mark.parametrize("ends", ["returns", "fails", "raises"])
def test_none_is_kept_of_what_a_callers_function_wraps(tmp_path: Path, ends: str) -> None:
    home = initialise(tmp_path / ".hearth").home
    values = [plain(20) for _ in range(6)]

    def execute_step(step: CalledStep) -> Called:
        first, second, _, _, fifth, sixth = values
        wrapped = [Secret(value) for value in values]
        if step.index == 0:
            effect = {"category": "NETWORK", "description": f"sent {second}", "reversible": False,
                      "details": {"with": wrapped[1], "deep": [{"again": second}]}}  # fmt: skip
            return Called(details={"holder": wrapped[0], "again": [first, {first: 1}]}, side_effects=[effect])
        if ends == "raises":
            told = RuntimeError(wrapped[2])
            told.add_note(str(wrapped[3]))
            raise told
        failed = ends == "fails"
        said = Called(failed=failed, error=f"no entry with {fifth}" if failed else "")
        said.details = {"x": wrapped[4], "y": fifth, "z": (wrapped[5], sixth), "third": [wrapped[2]], "f": wrapped[3]}
        return said

    plan = CalledPlan("called", (CalledStep(0, "first"), CalledStep(1, "second")))
    with HearthKernel.open(home) as kernel:
        executor = kernel.executor(execute_step)
        if ends == "returns":
            executor.execute(plan, execution_id="one")
        else:
            with pytest.raises(StepFailedError) as caught:
                executor.execute(plan, execution_id="one")
            (tmp_path / "error.log").write_text(
                f"{caught.value} {caught.value.__notes__ if hasattr(caught.value, '__notes__') else ''}"
            )
    with Ledger.open(home) as ledger:
        (tmp_path / "one.json").write_text(json.dumps(ledger.get("one").to_dict(), ensure_ascii=False))
    assert found_in([tmp_path], dict.fromkeys(values, "wrapped by a function")) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(json.dumps({"x": 'quo"te\u00e9'}).encode())
    assert found_in([tmp_path], {'quo"te\u00e9': "planted"})
