"""What leaves the group, the session or the parent that it was born with is ended all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from hearth.execution import Cancellation, _process
from hearth.execution._process import Command, ProcessOutcome, run_process
from hearth.execution._supervised import can_supervise
from tests.strays import KINDS, end, in_a_namespace, is_still, living, new_mark, script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_supervise(), reason="child subreapers are Linux")


@dataclass
class Sink:
    content: bytes = b""
    arrived: threading.Event = field(default_factory=threading.Event)

    def feed(self, chunk: bytes) -> None:
        self.content += chunk
        self.arrived.set()


@pytest.fixture
def mark() -> Iterator[str]:
    word = new_mark()
    yield word
    end(word)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_process, "GRACE", 0.3)
    monkeypatch.setattr(_process, "SETTLE", 0.2)


def run(
    text: str, *, timeout: float | None = 20, cancellation: Cancellation | None = None, out: Sink | None = None
) -> ProcessOutcome:
    return run_process(
        Command(argv=("sh", "-c", text), cwd="/", env={"PATH": os.environ["PATH"]}),
        sinks={"stdout": out or Sink(), "stderr": Sink()},
        timeout=timeout,
        cancellation=cancellation or Cancellation(),
    )


def killed_at_once(text: str, mark: str) -> tuple[ProcessOutcome, float]:
    """Run, kill when the stray is away; return the outcome and the seconds from the request to the end of it all."""
    out, cancellation = Sink(), Cancellation()
    asked: list[float] = []

    def ask() -> None:
        out.arrived.wait(15)
        asked.append(time.monotonic())
        cancellation.request("LOCKDOWN", immediate=True)

    thread = threading.Thread(target=ask)
    thread.start()
    outcome = run(text, timeout=None, cancellation=cancellation, out=out)
    ended = time.monotonic()
    assert living(mark) == []
    thread.join()
    return outcome, ended - asked[0]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_an_immediate_stop_kills_it(self, tmp_path: Path, kind: str, mark: str) -> None:
        outcome, seconds = killed_at_once(f"{script(tmp_path)} {kind} {mark}; sleep 30", mark)
        assert (outcome.stopped, outcome.exit_code, outcome.reach) == ("cancelled", -9, "descendants")
        assert (outcome.unkilled, outcome.output_open) == ((), False)
        assert seconds < 5

    def test_a_timeout_ends_it(self, tmp_path: Path, kind: str, mark: str) -> None:
        outcome = run(f"{script(tmp_path)} {kind} {mark}; sleep 30", timeout=1)
        assert (outcome.stopped, outcome.output_open) == ("timeout", False)
        assert living(mark) == []

    def test_the_end_of_the_step_ends_it(self, tmp_path: Path, kind: str, mark: str) -> None:
        out = Sink()
        outcome = run(f"{script(tmp_path)} {kind} {mark}; exit 3", out=out)
        assert living(mark) == []
        assert (outcome.stopped, outcome.exit_code, outcome.unkilled) == ("", 3, ())
        assert outcome.left_running >= 1
        assert out.content == b"away\n"


class TestHopping:
    """Each process lives some milliseconds and is seen by hardly any look: only its parent can tell its end."""

    def test_an_immediate_stop_kills_it(self, tmp_path: Path, mark: str) -> None:
        outcome, seconds = killed_at_once(f"{script(tmp_path)} hopping {mark}; sleep 30", mark)
        assert is_still(tmp_path / mark)
        assert (outcome.stopped, outcome.unkilled) == ("cancelled", ())
        assert seconds < 5

    def test_the_end_of_the_step_ends_it(self, tmp_path: Path, mark: str) -> None:
        outcome = run(f"{script(tmp_path)} hopping {mark}; sleep 0.2")
        assert is_still(tmp_path / mark)
        assert (outcome.exit_code, outcome.unkilled) == (0, ())


@pytest.mark.skipif(not in_a_namespace(), reason="no namespace of users and processes can be made here")
class TestNamespaces:
    def test_a_namespace_of_processes_is_no_hiding_place(self, tmp_path: Path, mark: str) -> None:
        outcome, _ = killed_at_once(f"{script(tmp_path)} namespace {mark}; sleep 30", mark)
        assert (outcome.stopped, outcome.unkilled) == ("cancelled", ())

    def test_nor_at_the_end_of_the_step(self, tmp_path: Path, mark: str) -> None:
        outcome = run(f"{script(tmp_path)} namespace {mark}; sleep 1")
        assert living(mark) == []
        assert outcome.left_running >= 1


class TestWhoIsNotMeant:
    def test_a_child_of_hearth_that_is_no_command_lives_on(self, tmp_path: Path, mark: str) -> None:
        other = subprocess.Popen([*script(tmp_path).split(), "sleep", mark], stdout=subprocess.PIPE)
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"away\n"
            inner = new_mark()
            killed_at_once(f"{script(tmp_path)} daemon {inner}; sleep 30", inner)
            assert other.poll() is None
        finally:
            other.kill()
            other.communicate()

    def test_nor_are_the_processes_of_another_step(self, tmp_path: Path, mark: str) -> None:
        """Not even when their environment is empty, and nobody could tell whose they are."""
        out, cancellation = Sink(), Cancellation()
        done: list[ProcessOutcome] = []
        text = f"{script(tmp_path)} bare {mark}; sleep 30"
        thread = threading.Thread(target=lambda: done.append(run(text, cancellation=cancellation, out=out)))
        thread.start()
        assert out.arrived.wait(15)
        inner = new_mark()
        killed_at_once(f"{script(tmp_path)} bare {inner}; sleep 30", inner)
        assert len(living(mark)) == 1
        cancellation.request("enough", immediate=True)
        thread.join(10)
        assert done[0].stopped == "cancelled"
        assert living(mark) == []


class TestWhatIsSaid:
    def test_children_of_all_sessions_are_counted(self, tmp_path: Path, mark: str) -> None:
        stray = script(tmp_path)
        outcome = run(f"{stray} session {mark}; {stray} daemon {mark}; {stray} child {mark}; {stray} bare {mark}")
        assert outcome.left_running == 4

    def test_they_have_a_moment_to_finish(self) -> None:
        out = Sink()
        outcome = run("setsid sh -c 'sleep 0.1; echo late' & echo early", out=out)
        assert (outcome.left_running, out.content) == (0, b"early\nlate\n")

    def test_they_are_asked_first(self) -> None:
        out = Sink()
        text = "trap 'echo bye; exit' TERM; echo here; while :; do sleep 0.01; done"
        outcome = run(f'setsid sh -c "{text}" &', out=out)
        assert outcome.left_running >= 1
        assert out.content == b"here\nbye\n"

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give up the right to kill")
    def test_what_may_not_be_killed_is_said(self, tmp_path: Path, mark: str) -> None:
        if subprocess.run(["setpriv", "--bounding-set=-kill", "true"], check=False, capture_output=True).returncode:
            pytest.skip("no setpriv")
        runner = (
            "import sys; from hearth.execution import Cancellation, _process as p\n"
            "class Sink:\n    def feed(self, chunk): pass\n"
            "p.GRACE = p.SETTLE = 0.2; p.AFTER_KILL = 1\n"
            "o = p.run_process(p.Command(argv=('sh', '-c', sys.argv[1]), cwd='/', env={'PATH': sys.argv[2]}),\n"
            "    sinks={'stdout': Sink(), 'stderr': Sink()}, timeout=20, cancellation=Cancellation())\n"
            "print(o.exit_code, o.left_running, o.reach, *o.unkilled)"
        )
        path = tmp_path / "as-nobody"
        path.write_text(f"#!/bin/sh\nexec setpriv --reuid=65534 {sys.executable} -c 'import time; time.sleep(30)' $1\n")
        text = f"sh {path} {mark} & sleep 0.5"
        done = subprocess.run(
            [
                "setpriv",
                "--bounding-set=-kill",
                "--inh-caps=-kill",
                sys.executable,
                "-c",
                runner,
                text,
                os.environ["PATH"],
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        left = living(mark)
        assert done.stdout.split() == ["0", "1", "descendants", *map(str, left)]
        assert len(left) == 1
