"""Commands: JSON on stdin, no shell, a scrubbed environment, killed with their whole group when their time is up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hearth.execution import Cancellation
from hearth.execution.notify import Notice
from hearth.execution.notify._command import run_command
from tests.unit.execution.notify.receivers import keeping, script, told

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")


def notice(**payload: object) -> Notice:
    return Notice.make("finish", {"execution_id": "run-1", "plan_id": "p", "status": "completed", **payload})


def call(words: tuple[str, ...], *, timeout: float = 10.0, about: Notice | None = None) -> str:
    return run_command(words, about or notice(), timeout=timeout, cancellation=Cancellation())


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_it_gets_the_notice_as_json_and_placeholders_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "not for commands")
    words = keeping(tmp_path, "{event}", "-{execution_id}-{plan_id}-", "{status}", "{other} {", "$(touch pwned); `id`")
    assert call(words) == ""
    (one,) = told(tmp_path)
    assert one["args"] == ["finish", "-run-1-p-", "completed", "{other} {", "$(touch pwned); `id`"]
    assert one["told"]["event"] == "finish"
    assert one["told"]["execution_id"] == "run-1"
    assert "HOOK_KEY" not in one["env"]
    assert "PATH" in one["env"]
    assert one["cwd"] == "/"
    assert one["group"], "its own process group"


def test_what_a_value_holds_is_neither_a_placeholder_nor_a_shell_s(tmp_path: Path) -> None:
    assert call(keeping(tmp_path, "{execution_id}"), about=notice(execution_id="{status}; rm -rf * $HOME")) == ""
    assert told(tmp_path)[0]["args"] == ["{status}; rm -rf * $HOME"]


def test_a_missing_value_is_empty(tmp_path: Path) -> None:
    assert call(keeping(tmp_path, "{plan_id}"), about=Notice.make("restore", {"plan_id": None})) == ""
    assert told(tmp_path)[0]["args"] == [""]


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    words = script(
        tmp_path,
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)\n",
    )
    before = time.monotonic()
    assert call((*words, str(tmp_path / "pids")), timeout=0.7) == "killed after 0.7 s"
    assert time.monotonic() - before < 5
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 5
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(gone, pids))


def test_a_flood_of_output_is_dropped(tmp_path: Path) -> None:
    words = script(
        tmp_path,
        "import sys\n"
        "for _ in range(600):\n"
        "    sys.stdout.write('x' * 65536)\n"
        "    sys.stderr.write('y' * 65536)\n"
        "sys.stderr.write('\\nlast\\x1b[31m words\\n')\n"
        "sys.exit(3)\n",
    )
    assert call(words, timeout=30) == "exit status 3: last [31m words"


def test_what_it_says_last_is_told_without_secrets(tmp_path: Path) -> None:
    words = script(tmp_path, "import sys; sys.exit('refused: Authorization: Bearer abcdefghijklmnop0123456789')\n")
    why = call(words)
    assert why.startswith("exit status 1: refused")
    assert "abcdefghijklmnop" not in why


def test_input_that_nobody_reads_is_no_trouble(tmp_path: Path) -> None:
    big = {f"field{number}": "x" * 1990 for number in range(200)}
    assert call(("true",), about=notice(**big)) == ""


@pytest.mark.parametrize(
    "words, why",
    [
        (("/nowhere/page",), "/nowhere/page"),
        (("false",), "exit status 1"),
        (("sh", "-c", "kill -9 $$"), "ended by signal 9"),
        (("echo", "a\0b"), "null byte"),
    ],
)
def test_trouble_is_told_never_raised(words: tuple[str, ...], why: str) -> None:
    assert why in call(words)


def test_it_can_be_stopped_from_another_thread(tmp_path: Path) -> None:
    import threading

    stop = Cancellation()
    threading.Timer(0.3, stop.request, ("enough",), {"immediate": True}).start()
    before = time.monotonic()
    assert run_command(("sleep", "600"), notice(), timeout=60, cancellation=stop) == "enough"
    assert time.monotonic() - before < 5
