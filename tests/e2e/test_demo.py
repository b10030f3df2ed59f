"""`make demo` from outside: it comes out as expected, notices when it does not, and leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from hearth.observe import probe
from tests import ordinary

TIER = "" if probe().name == "fallback" else probe().name
START = ["init", "keygen", "keygen"]
ONE_RUN = ["request", "approve", "run"]
END = ["list", "show", "verify", "export", "verify"]
IN_PLACE = [*START, *ONE_RUN, *ONE_RUN, "rollback", *END]
SANDBOXED = [*START, "preview", *ONE_RUN, *ONE_RUN, "rollback", *ONE_RUN, "run", *END]
DEMO = Path(__file__).resolve().parents[2] / "examples" / "user-import"


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with its temporary files in the folder."""
    return subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), *options],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
        env=os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder), "PYTHONUTF8": "1"},
    )


def hearth(folder: Path, *arguments: str) -> str:
    """Return what a hearth command prints."""
    command = [sys.executable, "-m", "hearth", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", cwd=folder).stdout


def dump(database: Path) -> list[str]:
    """Return all that the database holds."""
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def listening(url: str) -> bool:
    """Say whether something accepts connections at the address."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, run once into a folder that stays, whichever of the processes that test asks first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    outcome = folder / "outcome.json"
    try:
        folder.mkdir()
    except FileExistsError:
        end = time.monotonic() + 240
        while not outcome.exists():
            assert time.monotonic() < end, "the demo that another process plays does not end"
            time.sleep(0.1)
    else:
        result = demo(folder, "--into", str(folder / "work"))
        told = {"args": result.args, "returncode": result.returncode, "stdout": result.stdout, "stderr": result.stderr}
        (folder / "draft").write_text(json.dumps(told), encoding="utf-8")
        (folder / "draft").rename(outcome)
    return folder / "work", subprocess.CompletedProcess(**json.loads(outcome.read_text(encoding="utf-8")))


def test_it_comes_out_as_expected(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = played
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^\$ hearth (\w+)", result.stdout, re.MULTILINE) == (SANDBOXED if TIER else IN_PLACE)
    assert "All as expected" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_nothing_of_it_goes_on_running(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = played
    servers = set(re.findall(r"server=(http://127\.0\.0\.1:\d+)", result.stdout))
    assert len(servers) == 2
    assert not any(listening(server) for server in servers)


def test_the_ledger_has_the_runs(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = played
    runs = {run["execution_id"]: run["status"] for run in json.loads(hearth(folder, "list", "--json"))["executions"]}
    stopped = {"september-tromso": "incomplete"} if TIER else {}
    assert runs == {"september-oslo": "completed", "september-bergen": "failed", **stopped}
    record = json.loads((folder / "bergen.json").read_text(encoding="utf-8"))
    events = [(event["step_index"], event["event_type"]) for event in record["step_events"]]
    steps = [(index, event) for index in range(8) for event in ("step_started", "step_completed")]
    assert events == [*steps, (8, "step_started"), (8, "step_failed")]


@pytest.mark.skipif(not TIER, reason="this machine can make no sandbox")
def test_what_was_approved_is_what_was_seen(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The policy demands preview and sandbox, each run was bound to its manifest, and what was seen is shown."""
    folder, result = played
    policy = (folder / ".hearth" / "policy.yaml").read_text(encoding="utf-8")
    assert "  require_preview: true" in policy
    assert f"sandbox:\n  require: {TIER}\n" in policy
    approvals = json.loads(hearth(folder, "approvals", "--json"))["approvals"]
    assert [(one["state"], one["preview_digest"] is not None) for one in approvals] == [("spent", True)] * 3
    assert re.search(r"^    \+ .*/oslo/rejects\.csv ", result.stdout, re.MULTILINE)
    assert re.search(r"^    bergen/app\.ini  [0-9a-f]{8} → [0-9a-f]{8}$", result.stdout, re.MULTILINE)
    assert "undeclared: nothing, missing: nothing" in result.stdout


@pytest.mark.skipif(not TIER, reason="this machine can make no sandbox")
def test_the_run_that_differs_from_its_preview_is_stopped_before_it_changes_anything(
    played: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, result = played
    assert "it is not what was approved: " in result.stdout
    assert not (folder / "tromso" / "backup").exists()
    with closing(sqlite3.connect(folder / "tromso" / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (3_201,)
    assert "was used by the run september-tromso" in result.stderr


@pytest.mark.soak
@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_can_play_it() -> None:
    """In a sandbox where the machine gives one to an ordinary user, else on the host itself."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        command = [sys.executable, str(DEMO / "demo.py")]
        result = ordinary.run_as_nobody(command, TMPDIR=folder, HOME=folder, PYTHONUTF8="1")
    assert result.returncode == 0, result.stderr
    commands = re.findall(r"^\$ hearth (\w+)", result.stdout, re.MULTILINE)
    assert commands == (SANDBOXED if "require: unprivileged" in result.stdout else IN_PLACE)


@pytest.mark.soak
@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_where_no_sandbox_can_be_made_it_says_so_and_runs_on_the_host(tmp_path: Path) -> None:
    """As in a closed container: root in name, without what it takes."""
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, str(DEMO / "demo.py")]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUTF8": "1"}
    result = subprocess.run(command, check=False, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "This machine can make no sandbox (unshare 0x" in result.stdout
    assert re.findall(r"^\$ hearth (\w+)", result.stdout, re.MULTILINE) == IN_PLACE


@pytest.mark.skipif(sys.platform == "win32", reason="the actions are written for a POSIX shell")
def test_the_scaffold_brings_back_what_was(
    played: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Do what the scaffold of the failed run says, in its order, and compare with data that nobody has touched."""
    folder, _ = played
    scaffold = json.loads(hearth(folder, "rollback", "september-bergen", "--json"))
    assert [hint["step_index"] for hint in scaffold["rollback_hints"]] == [8, 6, 4, 3, 2, 1, 0]
    actions = [action for hint in scaffold["rollback_hints"] for action in hint["actions"]]
    on_server = [action for action in actions if action.startswith("curl ")]
    assert (len(on_server), on_server[0]) == (2, actions[0])

    subprocess.run([sys.executable, str(DEMO / "make_data.py"), str(tmp_path / "bergen")], check=True)
    here, fresh = folder / "bergen", tmp_path / "bergen"
    assert dump(here / "app.db") != dump(fresh / "app.db")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for action in actions:
        if action not in on_server:  # the demo's servers have ended
            subprocess.run(["/bin/sh", "-eu", "-c", action], check=True, cwd=here, env=environment)
    assert dump(here / "app.db") == dump(fresh / "app.db")
    for name in ("app.ini", "users.csv"):
        assert (here / name).read_bytes() == (fresh / name).read_bytes()
    left = {path.name for path in here.iterdir()} - {path.name for path in fresh.iterdir()}
    assert left - {"__pycache__"} == {"plan.yaml", "backup.py", "importer.py", "check.py", "migrations"}


@pytest.mark.soak
def test_it_notices_when_the_second_run_does_not_fail(tmp_path: Path) -> None:
    """With a limit that is high enough, Bergen's run succeeds, and that is not what the demo promises."""
    result = demo(tmp_path, "--wrong-limit", "12000")
    assert result.returncode == 1
    assert "NOT AS EXPECTED: exit code of `hearth run bergen/plan.yaml" in result.stderr
    assert "expected 1, found 0" in result.stderr
    assert len(list(tmp_path.glob("hearth-demo-*"))) == 1  # kept: somebody will want to see why


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(DEMO / "demo.py")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        server = ""
        for line in process.stdout:
            if found := re.search(r"server=(http://127\.0\.0\.1:\d+)", line):
                server = found[1]
                break
        assert listening(server)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not listening(server)
    assert list(tmp_path.glob("hearth-demo-*")) == []
