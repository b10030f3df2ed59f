"""The process that starts commands: what a command gets from it, and what is done where there can be none."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hearth.errors import TaskError
from hearth.execution import Cancellation, _nursery, _process, _supervised
from hearth.execution._inherited import inherited
from hearth.execution._nursery import NURSERY, Nursery, UnreachableError
from hearth.execution._process import Command, ProcessOutcome, prepare, run_process
from hearth.execution._supervised import can_supervise
from hearth.execution._wire import encode_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_supervise(), reason="child subreapers are Linux")


class Sink:
    def __init__(self) -> None:
        self.content = b""

    def feed(self, chunk: bytes) -> None:
        self.content += chunk


def run(
    *argv: str, env: Mapping[str, str] | None = None, cwd: str | Path = "/", result: tuple[int, int] | None = None
) -> tuple[ProcessOutcome, str]:
    sinks = {name: Sink() for name in ("stdout", "stderr", "result")}
    outcome = run_process(
        Command(argv=argv, cwd=cwd, env={"PATH": os.environ["PATH"]} if env is None else env, result_pipe=result),
        sinks=sinks,
        timeout=20,
        cancellation=Cancellation(),
    )
    return outcome, (sinks["stdout"].content + sinks["result"].content).decode()


def masks(status: str) -> dict[str, int]:
    """Without the two signals that belong to the C library, which ignores them in what it starts."""
    lines = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    return {name: int(lines[name], 16) & 0xFFFF_FFFE_7FFF_FFFF for name in ("SigBlk", "SigIgn", "SigCgt")}


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    own = Nursery()
    yield own
    own.close()


class TestWhatACommandGets:
    def test_it_starts_with_every_signal_at_its_default(self) -> None:
        status = run("cat", "/proc/self/status")[1]
        assert masks(status) == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}

    def test_but_those_that_hearth_was_started_to_ignore(self) -> None:
        code = (
            "from hearth.execution import Cancellation, _process as p, _supervised\n"
            "class Sink:\n    def feed(self, chunk): print(chunk.decode())\n"
            "p.run_process(p.Command(argv=('cat', '/proc/self/status'), cwd='/', env={'PATH': '/usr/bin:/bin'}),\n"
            "    sinks={'stdout': Sink(), 'stderr': Sink()}, timeout=20, cancellation=Cancellation())\n"
        )
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
        finally:
            signal.signal(signal.SIGHUP, before)
        assert masks(done.stdout) == {"SigBlk": 0, "SigIgn": 1 << (signal.SIGHUP - 1), "SigCgt": 0}

    def test_its_environment_has_a_mark_and_nothing_else_that_was_not_given(self) -> None:
        first, second = (run("env", env={"PATH": "/usr/bin:/bin", "A": "=x\n="})[1] for _ in range(2))
        assert first.startswith("PATH=/usr/bin:/bin\nA==x\n=\nHEARTH_STEP=")
        assert first != second

    def test_the_program_is_looked_for_in_its_own_path(self, tmp_path: Path) -> None:
        for folder, text in (("first", "no program"), ("second", "#!/bin/sh\necho second")):
            path = tmp_path / folder / "it"
            path.parent.mkdir()
            path.write_text(text)
            path.chmod(0o700 if folder == "second" else 0o600)
        assert run("it", env={"PATH": f"/no/such:{tmp_path}/first:{tmp_path}/second"})[1] == "second\n"
        assert run("it", env={"PATH": "second"}, cwd=tmp_path)[1] == "second\n"
        with pytest.raises(TaskError, match="Permission denied"):
            run("it", env={"PATH": f"{tmp_path}/first:/no/such"})

    @pytest.mark.parametrize("distance", [0, 40])
    def test_the_result_pipe_keeps_its_number(self, distance: int) -> None:
        """Whatever descriptors the supervising process has."""
        taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(distance)]
        ends = os.pipe()
        assert (
            run("sh", "-c", f"echo result >/dev/fd/{ends[1]}; ls /proc/self/fd | wc -l", result=ends)[1]
            == "5\nresult\n"
        )
        for descriptor in taken:
            os.close(descriptor)

    def test_what_is_changed_here_is_inherited_there(self) -> None:
        before = inherited()
        old, limit = os.umask(0o027), resource.getrlimit(resource.RLIMIT_CORE)
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, limit[1]))
            assert inherited() != before
            assert run("sh", "-c", "umask; ulimit -c")[1] == "0027\n0\n"
        finally:
            os.umask(old)
            resource.setrlimit(resource.RLIMIT_CORE, limit)
        assert inherited() == before
        assert run("sh", "-c", "umask")[1] == f"{old:04o}\n"

    @pytest.mark.parametrize("words", [{"argv": ["a\0b"]}, {"cwd": "a\0"}, {"env": {"A": "\0"}}, {"env": {"A=B": ""}}])
    def test_what_cannot_be_sent_is_refused(self, words: dict[str, object]) -> None:
        given: dict[str, object] = {"argv": ["true"], "cwd": "/", "env": {}, "targets": ()} | words
        with pytest.raises(ValueError, match=r"null byte|illegal"):
            encode_request(**given)  # type: ignore[arg-type]


class TestItsProcesses:
    def test_one_is_enough_for_steps_one_after_the_other(self) -> None:
        parents = {run("sh", "-c", "echo $PPID")[1] for _ in range(5)}
        with pytest.raises(TaskError):
            run("/no/such/program")
        assert {*parents, run("sh", "-c", "echo $PPID")[1]} == parents
        assert len(parents) == 1

    def test_each_has_its_own_when_they_run_at_a_time(self) -> None:
        said: list[str] = []
        threads = [
            threading.Thread(target=lambda: said.append(run("sh", "-c", "sleep 0.3; echo $PPID")[1])) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(said)) == 8
        assert len(NURSERY._idle) <= 4

    def test_their_name_is_not_hearths(self, nursery: Nursery) -> None:
        """Who kills all that bears that name is not to kill what ends the steps after it."""
        nursery.take().close()
        assert nursery._process is not None
        listed = subprocess.run(
            ["ps", "-o", "comm=,args=", "-p", str(nursery._process.pid)], capture_output=True, text=True, check=True
        ).stdout
        assert listed.startswith("step-guard")
        assert "hearth/" not in listed.replace(sys.executable, "")

    def test_preparing_does_not_wait(self) -> None:
        NURSERY.close()
        prepare()
        assert not NURSERY._ready
        assert run("echo", "x")[1] == "x\n"
        assert NURSERY._ready

    def test_a_forked_child_has_its_own(self) -> None:
        run("true")
        mine = NURSERY._process
        assert mine is not None
        code = (
            "import os, sys; from hearth.execution._nursery import NURSERY\n"
            "NURSERY.take(); first = NURSERY._process.pid\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    assert NURSERY._process is None; NURSERY.take(); assert NURSERY._process.pid != first\n"
            "    NURSERY.close(); os._exit(0)\n"
            "assert os.waitpid(pid, 0)[1] == 0; NURSERY.take(); assert NURSERY._process.pid == first\n"
        )
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=30)

    def test_it_ends_when_it_is_closed(self, nursery: Nursery) -> None:
        nursery.give_back(nursery.take())
        process = nursery._process
        assert process is not None
        started = time.monotonic()
        nursery.close()
        assert process.returncode == 0
        assert time.monotonic() - started < 1


class TestWhereThereCanBeNone:
    @pytest.fixture
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
        own = Nursery()
        monkeypatch.setattr(_supervised, "NURSERY", own)
        yield own
        own.close()

    @pytest.mark.parametrize(
        "executable, why", [("", "not known"), ("/no/such/python", "No such file"), ("/bin/false", "ended at once")]
    )
    def test_the_group_is_what_is_left(
        self,
        alone: Nursery,
        executable: str,
        why: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(sys, "executable", executable)
        with caplog.at_level(logging.WARNING):
            outcomes = [run("sh", "-c", "exit 3")[0] for _ in range(2)]
        assert [(outcome.exit_code, outcome.reach) for outcome in outcomes] == [(3, "group")] * 2
        (warning,) = caplog.messages
        assert why in warning
        assert "only the process group is killed" in warning

    def test_a_system_that_knows_no_subreaper(
        self, alone: Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        program = _nursery._PROGRAM.replace(
            "main()\n",
            "import ctypes, errno\n"
            "class Old:\n"
            "    def __init__(self, *_, **__): pass\n"
            "    def prctl(self, *_): ctypes.set_errno(errno.EINVAL); return -1\n"
            "ctypes.CDLL = Old\nmain()\n",
        )
        monkeypatch.setattr(_nursery, "_PROGRAM", program)
        with caplog.at_level(logging.WARNING):
            assert run("true")[0].reach == "group"
        assert "no child subreaper: Invalid argument" in caplog.text

    def test_without_proc(self, monkeypatch: pytest.MonkeyPatch, nursery: Nursery) -> None:
        def unreadable() -> tuple[object, ...]:
            raise FileNotFoundError(2, "No such file or directory")

        monkeypatch.setattr(_nursery, "inherited", unreadable)
        with pytest.raises(UnreachableError, match="/proc cannot be read"):
            nursery.take()

    def test_preparing_fails_in_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_process, "can_supervise", lambda: False)
        prepare()
