"""HEARTH, or what it set to watch over a step, is killed: what the step left behind is ended all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import TaskError
from hearth.execution import Cancellation, _process
from hearth.execution._nursery import NURSERY
from hearth.execution._process import Command, ProcessOutcome, run_process
from hearth.execution._supervised import can_supervise
from tests.strays import KINDS, end, is_still, living, new_mark, script, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not can_supervise(), reason="child subreapers are Linux")

RUNNER = """
import os, sys
from hearth.execution import Cancellation
from hearth.execution._process import Command, run_process

class Echo:
    def feed(self, chunk):
        os.write(1, chunk)

run_process(
    Command(argv=("sh", "-c", sys.argv[1]), cwd="/", env={"PATH": os.environ["PATH"]}),
    sinks={"stdout": Echo(), "stderr": Echo()}, timeout=None, cancellation=Cancellation(),
)
"""


class Sink:
    def __init__(self) -> None:
        self.content = b""
        self.arrived = threading.Event()

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
    monkeypatch.setattr(_process, "SETTLE", 0.3)


def hearth(text: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUNNER, text], stdout=subprocess.PIPE)


SESSIONS: dict[int, set[str]] = {}


def watchers(pid: int) -> list[int]:
    """Return the processes that this HEARTH set to watch over its steps; to be asked once while it lives.

    Known by their session, which one of them made as its child: their environment is for root alone to read.
    """
    found = []
    guards = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, fields = path.read_text().rpartition(")")
            _, parent, _, session, *_ = fields.split()
            if name.endswith("(step-guard"):
                guards.append((int(path.parent.name), session))
                if parent == str(pid):
                    SESSIONS.setdefault(pid, set()).add(session)
    for guard, session in guards:
        if session in SESSIONS.get(pid, ()):
            found.append(guard)
    return found


# Holds processes as a debugger does: they answer to no signal but KILL.
TRACER = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long] * 4
failed = [libc.ptrace(16, int(pid), 0, 0) for pid in sys.argv[2:]]
print("cannot" if any(failed) else "traced", flush=True)
time.sleep(40)
"""


class Traced(Sink):
    """Has arrived when a tracer has said whether it holds what it was to hold."""

    def feed(self, chunk: bytes) -> None:
        self.content += chunk
        if b"traced" in self.content or b"cannot" in self.content:
            self.arrived.set()


def tracer(folder: Path) -> str:
    """Write TRACER there; return the command that starts it in a session of its own, for a shell."""
    path = folder / "tracer.py"
    path.write_text(TRACER)
    return f"setsid {sys.executable} -I -S {path}"


def run(text: str, *, cancellation: Cancellation | None = None, out: Sink | None = None) -> ProcessOutcome:
    return run_process(
        Command(argv=("sh", "-c", text), cwd="/", env={"PATH": os.environ["PATH"]}),
        sinks={"stdout": out or Sink(), "stderr": Sink()},
        timeout=20,
        cancellation=cancellation or Cancellation(),
    )


def lockdown(out: Sink, cancellation: Cancellation) -> None:
    out.arrived.wait(10)
    cancellation.request("LOCKDOWN", immediate=True)


class TestHearthIsKilled:
    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_left(self, tmp_path: Path, kind: str, mark: str) -> None:
        with hearth(f"{script(tmp_path)} {kind} {mark}; sleep 30") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"away\n"
            assert len(watchers(process.pid)) == 2
            process.kill()
            assert wait_until(lambda: not living(mark))
            assert wait_until(lambda: not watchers(process.pid))

    def test_nor_what_is_seen_by_hardly_any_look(self, tmp_path: Path, mark: str) -> None:
        with hearth(f"{script(tmp_path)} hopping {mark}; sleep 30") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"away\n"
            assert watchers(process.pid)
            process.kill()
            assert wait_until(lambda: not watchers(process.pid))
            assert is_still(tmp_path / mark)

    def test_after_the_command_has_ended(self, tmp_path: Path, mark: str) -> None:
        """In the second that its children have to finish."""
        with hearth(f"{script(tmp_path)} silent {mark}") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"away\n"
            assert watchers(process.pid)
            process.kill()
            assert wait_until(lambda: not living(mark) and not watchers(process.pid))

    @pytest.mark.parametrize("survivor", [0, 1], ids=["the process that starts commands", "the supervising process"])
    def test_and_one_of_the_two_that_watch(self, tmp_path: Path, survivor: int, mark: str) -> None:
        with hearth(f"{script(tmp_path)} bare {mark}; sleep 30") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"away\n"
            both = sorted(watchers(process.pid), key=lambda pid: int(Path(f"/proc/{pid}/stat").read_text().split()[21]))
            assert len(both) == 2
            os.kill(both[1 - survivor], signal.SIGKILL)
            process.kill()
            assert wait_until(lambda: not living(mark) and not watchers(process.pid))

    def test_a_copy_of_its_process_keeps_nothing_alive(self, tmp_path: Path, mark: str) -> None:
        """A fork of it has all its descriptors, so nothing that HEARTH held open is closed when it dies."""
        text = f"{script(tmp_path)} daemon {mark}; sleep 30"
        fork = (
            "import os, threading, time\n"
            "def fork():\n    time.sleep(1)\n    pid = os.fork()\n    if pid == 0:\n        time.sleep(8)\n"
            "        os._exit(0)\n    os.write(1, b'%d\\n' % pid)\n"
            "threading.Thread(target=fork).start()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", fork + RUNNER, text], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"away\n"
            copy = int(process.stdout.readline())
            process.kill()
            assert wait_until(lambda: not living(mark))
            os.kill(copy, signal.SIGKILL)


class TestWhatWatchesIsKilled:
    """By the step itself, say: it runs as the same user."""

    def test_the_supervising_process(self, tmp_path: Path, mark: str) -> None:
        stray = script(tmp_path)
        outcome = run(f"{stray} bare {mark}; {stray} daemon {mark}; kill -KILL $PPID; sleep 30")
        assert living(mark) == []
        assert (outcome.exit_code, outcome.reach, outcome.unkilled) == (-signal.SIGKILL, "mark", ())
        assert run("true").reach == "descendants"

    def test_the_supervising_process_at_once(self, mark: str) -> None:
        """Perhaps before it could say that the command was started: then that is an error, and nothing is known."""
        with suppress(TaskError):
            outcome = run(f"kill -KILL $PPID; sh -c 'sleep 30; :' {mark}")
            assert (outcome.exit_code, outcome.reach) == (-signal.SIGKILL, "mark")
        assert living(mark) == []

    def test_the_supervising_process_and_the_one_that_starts_commands(self, tmp_path: Path, mark: str) -> None:
        """Now only the mark in their environment is left to find them by; whatever has none has got away."""
        run("true")
        assert NURSERY._process is not None
        text = f"{script(tmp_path)} daemon {mark}; kill -KILL {NURSERY._process.pid} $PPID; sleep 30"
        outcome = run(text)
        assert living(mark) == []
        assert (outcome.reach, outcome.unkilled) == ("mark", ())
        assert run("true").reach == "descendants"

    def test_the_one_that_starts_commands_alone(self, tmp_path: Path, mark: str) -> None:
        run("true")
        assert NURSERY._process is not None
        outcome = run(f"{script(tmp_path)} bare {mark}; kill -KILL {NURSERY._process.pid}; sleep 0.1")
        assert living(mark) == []
        assert (outcome.exit_code, outcome.reach, outcome.left_running) == (0, "descendants", 1)
        assert run("true").reach == "descendants"

    def test_both_between_two_steps(self) -> None:
        run("true")
        assert NURSERY._process is not None
        for pid in watchers(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        assert (run("exit 3").exit_code, run("exit 4").exit_code) == (3, 4)

    def test_one_that_is_stopped_once(self, tmp_path: Path, mark: str) -> None:
        out, cancellation = Sink(), Cancellation()
        timer = threading.Thread(target=lockdown, args=(out, cancellation))
        timer.start()
        outcome = run(
            f"sleep 0.1; kill -STOP $PPID; {script(tmp_path)} bare {mark}; sleep 30", cancellation=cancellation, out=out
        )
        timer.join()
        assert living(mark) == []
        assert (outcome.stopped, outcome.exit_code, outcome.reach) == ("cancelled", -9, "descendants")

    def test_one_that_is_stopped_again_and_again(self, tmp_path: Path, mark: str) -> None:
        out, cancellation = Sink(), Cancellation()
        timer = threading.Thread(target=lockdown, args=(out, cancellation))
        timer.start()
        stop = f"while kill -STOP $1; do :; done 2>/dev/null # {mark}"
        text = f"setsid sh -c '{stop}' {mark} $PPID & sleep 0.3; {script(tmp_path)} bare {mark}; sleep 30"
        started = time.monotonic()
        outcome = run(text, cancellation=cancellation, out=out)
        timer.join()
        assert living(mark) == []
        assert (outcome.stopped, outcome.exit_code) == ("cancelled", -9)
        assert time.monotonic() - started < 15

    def test_both_are_traced_by_the_step(self, tmp_path: Path, mark: str) -> None:
        """Neither answers then, nor does any signal but KILL reach them: HEARTH itself ends what is below them."""
        run("true")
        assert NURSERY._process is not None
        out, cancellation = Traced(), Cancellation()
        timer = threading.Thread(target=lockdown, args=(out, cancellation))
        timer.start()
        text = f"{script(tmp_path)} bare {mark}; {tracer(tmp_path)} {mark} {NURSERY._process.pid} $PPID & sleep 30"
        outcome = run(text, cancellation=cancellation, out=out)
        timer.join()
        assert living(mark) == []
        assert (outcome.stopped, outcome.exit_code, outcome.unkilled) == ("cancelled", -9, ())
        assert run("true").reach == "descendants"
        if os.geteuid() != 0:
            assert b"cannot" in out.content, "only root may trace them at all"

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may trace what watches")
    def test_one_is_traced_and_the_other_killed(self, tmp_path: Path, mark: str) -> None:
        """HEARTH ends what became the first one's children, and spares the command that another one watches over."""
        other, out, cancellation = new_mark(), Sink(), Cancellation()
        done: list[ProcessOutcome] = []
        beside = f"{script(tmp_path)} bare {other}; sleep 30"
        thread = threading.Thread(target=lambda: done.append(run(beside, cancellation=cancellation, out=out)))
        thread.start()
        assert out.arrived.wait(15)
        assert NURSERY._process is not None
        outcome = run(
            f"{script(tmp_path)} bare {mark}; {tracer(tmp_path)} {mark} {NURSERY._process.pid} & sleep 1; "
            "kill -KILL $PPID; sleep 30"
        )
        assert living(mark) == []
        assert (outcome.exit_code, outcome.reach, outcome.unkilled) == (-signal.SIGKILL, "mark", ())
        assert len(living(other)) == 1
        cancellation.request("enough", immediate=True)
        thread.join(15)
        assert living(other) == []
        assert (done[0].stopped, done[0].reach) == ("cancelled", "descendants")

    def test_a_start_that_nobody_answers_is_not_repeated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether the command was started is not known then, so it must not be started again."""
        from hearth.execution import _supervised

        run("true")
        idle = [pid for pid in watchers(os.getpid()) if NURSERY._process is None or pid != NURSERY._process.pid]
        for pid in idle:
            os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(_supervised, "_START_SECONDS", 0.3)
        with pytest.raises(TaskError, match="whether 'sh' was started is not known"):
            run(f"echo x >> {tmp_path}/acted")
        for pid in idle:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        assert run("true").exit_code == 0
        assert not (tmp_path / "acted").exists()
