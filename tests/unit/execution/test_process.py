from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hearth.errors import TaskError
from hearth.execution import Cancellation, _grouped, _process
from hearth.execution._groups import group_exists, members
from hearth.execution._process import Command, ProcessOutcome, run_process
from hearth.execution._supervised import Supervised, can_supervise
from tests.strays import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")


@dataclass
class Sink:
    """Collects the end of a stream, and when its first bytes came."""

    content: bytes = b""
    size: int = 0
    first: float = 0.0
    arrived: threading.Event = field(default_factory=threading.Event)

    def feed(self, chunk: bytes) -> None:
        self.first = self.first or time.monotonic()
        self.size += len(chunk)
        self.content = (self.content + chunk)[-100_000:]
        self.arrived.set()


@dataclass
class Run:
    outcome: ProcessOutcome
    out: Sink
    err: Sink
    seconds: float


def run(
    *argv: str,
    timeout: float | None = 20,
    cancellation: Cancellation | None = None,
    stdin: bytes | None = None,
    out: Sink | None = None,
    cwd: str = "/",
) -> Run:
    out, err = out or Sink(), Sink()
    started = time.monotonic()
    outcome = run_process(
        Command(argv=argv, cwd=cwd, env={"PATH": os.environ["PATH"]}, stdin=stdin),
        sinks={"stdout": out, "stderr": err},
        timeout=timeout,
        cancellation=cancellation or Cancellation(),
    )
    return Run(outcome, out, err, time.monotonic() - started)


def sh(script: str, **options: object) -> Run:
    return run("sh", "-c", script, **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(autouse=True, params=["descendants", "group"])
def reach(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of starting a command: the one of Linux, and the one of every system."""
    way: str = request.param
    if way == "group":
        monkeypatch.setattr(_process, "can_supervise", lambda: False)
    elif not can_supervise():
        pytest.skip("child subreapers are Linux")
    return way


def only(way: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("reach", [way], indirect=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter patience, so that tests of it are short."""
    monkeypatch.setattr(_process, "GRACE", 0.2)
    monkeypatch.setattr(_process, "SETTLE", 0.15)
    monkeypatch.setattr(_process, "AFTER_KILL", 0.3)


class TestAnOrdinaryEnd:
    def test_exit_code_output_and_time(self) -> None:
        done = sh("echo out; echo err >&2; exit 3")
        assert (done.outcome.exit_code, done.out.content, done.err.content) == (3, b"out\n", b"err\n")
        assert (done.outcome.stopped, done.outcome.left_running, done.outcome.output_open) == ("", 0, False)
        assert 0 < done.outcome.duration_us < 5_000_000

    def test_how_far_one_can_reach_is_told(self, reach: str) -> None:
        assert run("true").outcome.reach == reach

    def test_a_signal_is_a_negative_exit_code(self) -> None:
        assert sh("kill -SEGV $$").outcome.exit_code == -signal.SIGSEGV

    def test_the_process_leads_a_session_of_its_own_and_inherits_nothing(self, tmp_path: Path) -> None:
        extra = os.open(tmp_path, os.O_RDONLY)
        os.set_inheritable(extra, True)
        try:
            code = (
                "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), "
                "os.listdir('/proc/self/fd'), dict(os.environ))"
            )
            done = run(sys.executable, "-I", "-c", code)
        finally:
            os.close(extra)
        assert done.out.content.startswith(b"True ['0', '1', '2', '3'] ")  # 3 is the folder being listed
        assert b"HOME" not in done.out.content

    def test_input_is_empty_unless_given(self) -> None:
        assert run("cat").out.content == b""
        assert run("cat", stdin=b"given").out.content == b"given"

    def test_a_large_input_and_a_large_output_do_not_wait_for_each_other(self) -> None:
        done = run("cat", stdin=b"x" * 3_000_000)
        assert done.out.size == 3_000_000

    def test_an_input_that_nobody_reads_is_no_failure(self) -> None:
        assert run("true", stdin=b"x" * 1_000_000).outcome.exit_code == 0

    def test_both_streams_may_be_large(self) -> None:
        done = sh("head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2; head -c 1000 /dev/zero")
        assert (done.out.size, done.err.size) == (2_001_000, 2_000_000)

    def test_a_hundred_megabytes_pass_in_bounded_memory(self) -> None:
        tracemalloc.start()
        try:
            done = run("head", "-c", "100000000", "/dev/zero")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert done.out.size == 100_000_000
        assert peak < 2_000_000

    def test_output_comes_while_the_command_runs(self) -> None:
        out = Sink()
        cancellation = Cancellation()
        done: list[Run] = []
        thread = threading.Thread(
            target=lambda: done.append(sh("echo now; sleep 20", out=out, cancellation=cancellation))
        )
        thread.start()
        assert out.arrived.wait(10)
        assert out.content == b"now\n"
        cancellation.request("enough", immediate=True)
        thread.join(10)
        assert done[0].outcome.stopped == "cancelled"

    def test_no_descriptor_is_left(self) -> None:
        sh("true")
        before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - descriptors, not paths
        for _ in range(3):
            sh("echo x; exit 1", stdin=b"y")
            with pytest.raises(TaskError):
                run("/nonexistent")
        assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 - as above


class TestCannotStart:
    @pytest.mark.parametrize(
        "argv, message",
        [
            (("hearth-no-such-command",), "no such command in PATH"),
            (("/no/such/file",), "No such file or directory"),
            (("/etc/passwd",), "Permission denied"),
            (("a\0b",), "null byte"),
            (("true", "x" * 3_000_000), "too long for the system"),
        ],
    )
    def test_the_message_says_why(self, argv: tuple[str, ...], message: str) -> None:
        with pytest.raises(TaskError, match=message):
            run(*argv)

    def test_a_script_without_an_interpreter(self, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("echo no first line\n")
        script.chmod(0o700)
        with pytest.raises(TaskError, match="names no interpreter"):
            run(str(script))

    def test_a_folder_that_is_not_there(self) -> None:
        with pytest.raises(TaskError, match="the folder to start it in is not there: /no/such/folder"):
            run("true", cwd="/no/such/folder")


class TestTimeout:
    def test_the_whole_group_is_told_to_end(self) -> None:
        done = sh("sleep 30 & echo $!; sleep 30 & echo $!; wait", timeout=0.2)
        assert (done.outcome.stopped, done.outcome.exit_code) == ("timeout", -signal.SIGTERM)
        assert done.seconds < 1.5
        assert not [pid for pid in map(int, done.out.content.split()) if is_alive(pid)]

    def test_a_command_may_clean_up_within_the_grace(self) -> None:
        done = sh("trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.02; done", timeout=0.3)
        assert (done.outcome.stopped, done.outcome.exit_code) == ("timeout", 0)
        assert done.out.content == b"ready\ncleaned\n"

    @pytest.mark.usefixtures("quick")
    def test_what_ignores_it_is_killed_after_the_grace(self) -> None:
        done = sh(
            "trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo $!; while :; do sleep 0.1; done",
            timeout=0.1,
        )
        assert (done.outcome.stopped, done.outcome.exit_code) == ("timeout", -signal.SIGKILL)
        assert 0.25 < done.seconds < 2
        assert wait_until(lambda: not is_alive(int(done.out.content)))

    @pytest.mark.usefixtures("quick")
    def test_children_that_outlive_their_leader_in_the_grace_are_killed(self) -> None:
        done = sh("(trap '' TERM; while :; do sleep 0.1; done) & echo $!; sleep 30", timeout=0.1)
        assert done.outcome.stopped == "timeout"
        assert wait_until(lambda: not is_alive(int(done.out.content)))

    def test_a_stopped_process_is_ended_too(self) -> None:
        done = sh("kill -STOP $$; echo never", timeout=0.2)
        assert (done.outcome.stopped, done.outcome.exit_code) == ("timeout", -signal.SIGTERM)

    def test_endless_output_does_not_hide_the_deadline(self) -> None:
        done = run("yes", timeout=0.2)
        assert done.outcome.stopped == "timeout"
        assert done.seconds < 2

    def test_zero_seconds_stop_at_once(self) -> None:
        assert sh("sleep 30", timeout=0).outcome.stopped == "timeout"


class TestCancellation:
    def cancelled(self, script: str, *, immediate: bool, then: bool = False) -> tuple[Run, float]:
        """Run, cancel as soon as the script speaks, return the run and the seconds from the request to the end."""
        out = Sink()
        cancellation = Cancellation()
        asked: list[float] = []

        def ask() -> None:
            out.arrived.wait(10)
            asked.append(time.monotonic())
            cancellation.request("stop", immediate=immediate)
            if then:
                cancellation.request("now", immediate=True)

        thread = threading.Thread(target=ask)
        thread.start()
        done = sh(script, out=out, cancellation=cancellation, timeout=None)
        ended = time.monotonic()
        thread.join()
        return done, ended - asked[0]

    def test_term_first(self) -> None:
        done, seconds = self.cancelled(
            "trap 'echo cleaned; exit 7' TERM; echo x; while :; do sleep 0.02; done", immediate=False
        )
        assert (done.outcome.stopped, done.outcome.exit_code) == ("cancelled", 7)
        assert done.out.content == b"x\ncleaned\n"
        assert seconds < 1

    def test_immediate_is_kill_within_milliseconds(self) -> None:
        fastest = 9.0
        for _ in range(3):
            done, seconds = self.cancelled("trap '' TERM; echo x; while :; do sleep 0.1; done", immediate=True)
            assert (done.outcome.stopped, done.outcome.exit_code) == ("cancelled", -signal.SIGKILL)
            fastest = min(fastest, seconds)
        assert fastest < 0.1

    def test_an_immediate_request_shortens_the_grace_of_a_plain_one(self) -> None:
        done, seconds = self.cancelled("trap '' TERM; echo x; while :; do sleep 0.1; done", immediate=False, then=True)
        assert done.outcome.exit_code == -signal.SIGKILL
        assert seconds < 1

    def test_after_a_request_nothing_is_started(self, tmp_path: Path) -> None:
        cancellation = Cancellation()
        cancellation.request("already")
        with pytest.raises(TaskError, match="stopped: already; nothing was started"):
            sh(f"touch {tmp_path}/started", cancellation=cancellation)
        assert not list(tmp_path.iterdir())

    def test_nor_after_one_that_comes_while_it_gets_ready(
        self, tmp_path: Path, reach: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cancellation = Cancellation()

        def ready() -> bool:
            cancellation.request("LOCKDOWN", immediate=True)
            return reach == "descendants"

        monkeypatch.setattr(_process, "can_supervise", ready)
        with pytest.raises(TaskError, match="stopped: LOCKDOWN; nothing was started"):
            run("touch", str(tmp_path / "acted"), cancellation=cancellation)
        monkeypatch.undo()
        assert run("true").outcome.exit_code == 0
        assert not (tmp_path / "acted").exists()

    def test_immediate_kills_while_a_sink_is_busy(self) -> None:
        """A sink that does not return must not keep the processes alive."""
        cancellation = Cancellation()
        busy, release = threading.Event(), threading.Event()

        class Busy(Sink):
            def feed(self, chunk: bytes) -> None:
                super().feed(chunk)
                busy.set()
                release.wait(10)

        out = Busy()
        thread = threading.Thread(target=lambda: sh("echo $$; sleep 30", out=out, cancellation=cancellation))
        thread.start()
        assert busy.wait(10)
        cancellation.request("LOCKDOWN", immediate=True)
        assert wait_until(lambda: not is_alive(int(out.content)), 1)
        release.set()
        thread.join(10)

    def test_after_the_end_a_request_signals_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cancellation = Cancellation()
        sh("true", cancellation=cancellation)
        monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("a group that is gone was signalled"))
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: pytest.fail("a process that is gone was signalled"))
        cancellation.request("late", immediate=True)


class TestWhatIsLeft:
    def test_children_that_finish_soon_are_waited_for(self) -> None:
        done = sh("(sleep 0.1; echo late) & echo early")
        assert done.out.content == b"early\nlate\n"
        assert done.outcome.left_running == 0

    @pytest.mark.usefixtures("quick")
    def test_children_that_stay_are_counted_and_ended(self) -> None:
        done = sh("sleep 30 & echo $!; sleep 30 & echo $!; exit 0")
        assert (done.outcome.exit_code, done.outcome.left_running, done.outcome.output_open) == (0, 2, False)
        assert not [pid for pid in map(int, done.out.content.split()) if is_alive(pid)]

    @pytest.mark.usefixtures("quick")
    def test_children_that_stay_and_close_their_output_are_found_too(self) -> None:
        done = sh("sleep 30 >/dev/null 2>&1 & echo $!")
        assert done.outcome.left_running == 1
        assert not is_alive(int(done.out.content))

    @pytest.mark.usefixtures("quick")
    def test_children_that_ignore_term_are_killed(self) -> None:
        done = sh("(trap '' TERM; while :; do sleep 0.1; done) & echo $!")
        assert done.outcome.left_running >= 1
        assert wait_until(lambda: not is_alive(int(done.out.content)))

    @pytest.mark.usefixtures("quick")
    def test_the_last_words_of_a_child_are_heard(self) -> None:
        done = sh("(trap 'echo bye; exit' TERM; while :; do sleep 0.01; done) & echo first")
        assert done.out.content == b"first\nbye\n"

    @only("descendants")
    @pytest.mark.usefixtures("quick")
    def test_a_pipe_held_by_a_process_that_does_not_descend_from_it_is_given_up(self, tmp_path: Path) -> None:
        """The command hands its output on to this process."""
        code = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); socket.send_fds(s,[b'!'],[1])"
        )
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            done = run(sys.executable, "-I", "-c", code, str(tmp_path / "socket"))
            with listener.accept()[0] as end:
                held = socket.recv_fds(end, 1, 1)[1]
                assert held  # it was ours all the time, in the socket
                os.close(held[0])
        assert (done.outcome.exit_code, done.outcome.output_open, done.outcome.left_running) == (0, True, 0)
        assert done.seconds < 2

    @only("group")
    @pytest.mark.usefixtures("quick")
    def test_a_pipe_held_by_a_process_that_left_the_group_is_given_up(self) -> None:
        code = "import os,time; os.setsid(); print(os.getpid(), flush=True); time.sleep(3)"
        done = sh(f'{sys.executable} -I -c "{code}" & sleep 0.3')
        try:
            assert done.outcome.output_open
            assert done.outcome.left_running == 0
            assert done.seconds < 2
        finally:
            os.kill(int(done.out.content), signal.SIGKILL)

    @only("descendants")
    @pytest.mark.usefixtures("quick")
    def test_a_process_that_cannot_be_killed_is_given_up_and_said_(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Supervised, "kill", lambda _: None)
        done = sh("trap '' TERM; while :; do sleep 0.1; done", timeout=0.05)
        assert done.outcome.exit_code is None
        assert done.outcome.unkilled == (done.outcome.pid,)
        assert done.seconds < 1.5
        assert wait_until(lambda: not is_alive(done.outcome.pid))  # its supervising process goes on trying

    @only("group")
    @pytest.mark.usefixtures("quick")
    def test_a_process_that_cannot_be_killed_is_given_up_and_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kill = os.killpg
        monkeypatch.setattr(os, "killpg", lambda group, number: None if number else kill(group, 0))
        done = sh("sleep 2", timeout=0.05)
        assert done.outcome.exit_code is None
        assert done.outcome.unkilled == (done.outcome.pid,)
        assert done.seconds < 1.5
        monkeypatch.undo()
        kill(done.outcome.pid, signal.SIGKILL)
        _grouped._GIVEN_UP.pop().wait(5)

    def test_a_sink_that_fails_kills_the_command(self) -> None:
        pids: list[int] = []

        class Full(Sink):
            def feed(self, chunk: bytes) -> None:
                pids.append(int(chunk))
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            sh("echo $$; sleep 30", out=Full())
        assert not is_alive(pids[0])


@only("group")
class TestWithoutDescriptorsOfProcesses:
    def test_the_end_is_noticed_by_looking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        done = sh("echo x; sleep 0.05; exit 4")
        assert (done.outcome.exit_code, done.out.content) == (4, b"x\n")
        assert sh("exec >&- 2>&-; sleep 0.05; exit 5").outcome.exit_code == 5
        assert sh("sleep 30", timeout=0.1).outcome.stopped == "timeout"


@only("group")
class TestGroups:
    def test_members_are_counted_without_the_dead(self) -> None:
        process = subprocess.Popen(["sleep", "30"], start_new_session=True)
        assert members(process.pid) == 1
        assert group_exists(process.pid)
        process.kill()
        assert wait_until(lambda: not is_alive(process.pid))
        assert not group_exists(process.pid)  # dead, and nobody has waited for it yet
        process.wait()
        assert members(process.pid) == 0
        assert not group_exists(process.pid)


_RUNNER = """
import sys, time
from hearth.execution import Cancellation, _process
from hearth.execution._process import Command, run_process

if sys.argv[2] == "group":
    _process.can_supervise = lambda: False

class Echo:
    def feed(self, chunk):
        sys.stdout.write(chunk.decode()); sys.stdout.flush()

run_process(
    Command(argv=("sh", "-c", sys.argv[1]), cwd="/", env={"PATH": "/usr/bin:/bin"}),
    sinks={"stdout": Echo(), "stderr": Echo()}, timeout=None, cancellation=Cancellation(),
)
print("done", flush=True)
"""


class TestGuardian:
    """If HEARTH is killed, what it runs must not go on unobserved."""

    def start(self, script: str, reach: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", _RUNNER, script, reach], stdout=subprocess.PIPE, text=True)

    def test_a_step_does_not_outlive_a_killed_hearth(self, reach: str) -> None:
        with self.start("trap '' TERM HUP; sleep 30 & echo $! $$; wait; sleep 30", reach) as hearth:
            assert hearth.stdout is not None
            pids = [int(pid) for pid in hearth.stdout.readline().split()]
            assert all(is_alive(pid) for pid in pids)
            hearth.kill()
            assert wait_until(lambda: not any(is_alive(pid) for pid in pids), 2)

    def test_what_watches_over_steps_does_not_outlive_its_hearth(self, reach: str) -> None:
        with self.start("echo $PPID", reach) as hearth:
            assert hearth.stdout is not None
            parent = int(hearth.stdout.readline())
            assert (parent == hearth.pid) == (reach == "group")
            assert hearth.stdout.readline() == "done\n"
            assert hearth.wait(10) == 0
        assert not is_alive(parent)
        left = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                left += [path] if path.read_text().rpartition(")")[2].split()[1] == str(hearth.pid) else []
        assert left == []

    @only("group")
    def test_a_group_that_has_ended_is_left_alone(self) -> None:
        from hearth.execution._guardian import Guardian

        guardian = Guardian()
        first, second = (subprocess.Popen(["sleep", "30"], start_new_session=True) for _ in range(2))
        try:
            guardian.watch(first.pid)
            guardian.watch(second.pid)
            guardian.release(first.pid)
            guardian.close()
            assert second.wait(5) == -signal.SIGKILL
            assert first.poll() is None
        finally:
            first.kill()
            first.wait()

    @only("group")
    def test_a_guardian_that_was_killed_is_replaced(self) -> None:
        from hearth.execution._guardian import Guardian

        guardian = Guardian()
        first, second = (subprocess.Popen(["sleep", "30"], start_new_session=True) for _ in range(2))
        guardian.watch(first.pid)
        assert guardian._process is not None
        guardian._process.kill()
        guardian._process.wait()
        guardian.watch(second.pid)
        guardian.close()
        assert (first.wait(5), second.wait(5)) == (-signal.SIGKILL, -signal.SIGKILL)
