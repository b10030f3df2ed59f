"""`make demo` from outside: it comes out as expected, notices when it does not, and leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "user-import"


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with its temporary files in the folder."""
    return subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), *options],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
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
    """The demo, run once into a folder that stays."""
    folder = tmp_path_factory.mktemp("demo")
    return folder / "work", demo(folder, "--into", str(folder / "work"))


def test_it_comes_out_as_expected(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = played
    assert (result.returncode, result.stderr) == (0, "")
    commands = re.findall(r"^\$ hearth (\w+)", result.stdout, re.MULTILINE)
    assert commands == [
        "init",
        "keygen",
        "plan",
        "run",
        "run",
        "rollback",
        "list",
        "show",
        "verify",
        "export",
        "verify",
    ]
    assert "All as expected" in result.stdout
    assert "Traceback" not in result.stdout


def test_nothing_of_it_goes_on_running(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, result = played
    servers = set(re.findall(r"server=(http://127\.0\.0\.1:\d+)", result.stdout))
    assert len(servers) == 2
    assert not any(listening(server) for server in servers)


def test_the_ledger_has_both_runs(played: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = played
    text = hearth(folder, "list", "--json")
    assert "september-oslo" in text
    assert "september-bergen" in text
    record = json.loads((folder / "bergen.json").read_text(encoding="utf-8"))
    events = [(event["step_index"], event["event_type"]) for event in record["step_events"]]
    steps = [(index, event) for index in range(7) for event in ("step_started", "step_completed")]
    assert events == [*steps, (7, "step_started"), (7, "step_failed")]


@pytest.mark.skipif(sys.platform == "win32", reason="the actions are written for a POSIX shell")
def test_the_scaffold_brings_back_what_was(
    played: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Do what the scaffold of the failed run says, in its order, and compare with data that nobody has touched."""
    folder, _ = played
    scaffold = json.loads(hearth(folder, "rollback", "september-bergen", "--json"))
    assert [hint["step_index"] for hint in scaffold["rollback_hints"]] == [7, 6, 4, 3, 2, 1, 0]
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


def test_it_notices_when_the_second_run_does_not_fail(tmp_path: Path) -> None:
    """With a limit that is high enough, Bergen's run succeeds, and that is not what the demo promises."""
    result = demo(tmp_path, "--wrong-limit", "12000")
    assert result.returncode == 1
    assert "NOT AS EXPECTED: exit code of `hearth run bergen/plan.yaml" in result.stderr
    assert "expected 1, found 0" in result.stderr
    assert len(list(tmp_path.glob("hearth-demo-*"))) == 1  # kept: somebody will want to see why


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
