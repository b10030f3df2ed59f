from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe._linux import CLONE_NEWNS, MS_PRIVATE, MS_RDONLY, MS_REC, mount, unshare
from hearth.observe._room import SandboxRoom
from hearth.observe._sandbox import Layout, SandboxedProcess, SandboxEnd, SandboxServer
from hearth.observe._tiers import stackable
from tests import overlays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
COMMAND = "hearth.observe._command:run_command"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(preload=["hearth.observe._command"]) as one:
        yield one


def start(server: SandboxServer, state: Path, layer: str, script: str, output: int, cwd: Path) -> SandboxedProcess:
    request = {"argv": ["sh", "-c", script], "cwd": str(cwd), "env": {"PATH": os.environ["PATH"]}, "targets": [1, 2]}
    layout = Layout(state=state, layer=layer)
    return server.start(layout, COMMAND, json.dumps(request).encode(), descriptors=[output, output], linger=1)


def run(server: SandboxServer, state: Path, script: str, cwd: Path) -> tuple[SandboxEnd, bytes]:
    reading, writing = os.pipe()
    process = start(server, state, "0", script, writing, cwd)
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        written = output.read()
    return process.wait(30), written


@pytest.fixture
def null() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def close_everything(_payload: bytes, _descriptors: list[int]) -> int:
    """Close every descriptor, with what HEARTH may have left among them: a work."""
    os.closerange(0, 4096)
    time.sleep(0.1)
    return 3


def elsewhere(tree: Path, kind: str, flags: int, options: str, script: str) -> tuple[SandboxEnd, bytes]:
    """Run a script with the state on a file system of its own kind, which only the process that does so sees."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        unshare(CLONE_NEWNS)
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount(kind, str(tree / "state"), kind, flags, options)
        with SandboxServer() as server:
            end, written = run(server, tree / "state", script, tree)
        os.write(writing, json.dumps([end.code, end.problem, written.decode()]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        code, problem, text = json.loads(answer.read())
    assert os.waitpid(pid, 0)[1] == 0
    return SandboxEnd(code=code, problem=problem), text.encode()


def test_a_killed_keeper_takes_its_sandbox_with_it(server: SandboxServer, tmp_path: Path, null: int) -> None:
    process = start(server, tmp_path, "0", "sleep 60", null, tmp_path)
    keeper = parent_of(process.pid)
    assert parent_of(keeper) == server.pid
    os.kill(keeper, signal.SIGKILL)
    end = process.wait(10)
    assert (end.code, len(end.unseen)) == (-9, 1)
    wait_until(lambda: not alive(process.pid))
    assert start(server, tmp_path, "1", "exit 4", null, tmp_path).wait(10).code == 4  # the others do not mind


def test_one_can_be_killed_at_any_moment_of_its_start(server: SandboxServer, tmp_path: Path, null: int) -> None:
    for number in range(12):
        process = start(server, tmp_path, str(number), "(setsid sleep 60 &) ; sleep 60", null, tmp_path)
        time.sleep(number / 1000)
        process.kill()
        end = process.wait(5)
        assert (end.code, end.problem) == (-9, "")
        assert not alive(process.pid)


def test_one_that_is_stopped_can_be_killed(server: SandboxServer, tmp_path: Path, null: int) -> None:
    process = start(server, tmp_path, "0", "kill -STOP $$", null, tmp_path)
    with pytest.raises(TimeoutError):
        process.wait(0.2)
    process.kill()
    assert process.wait(5).code == -9


def test_output_may_be_larger_than_a_pipe(server: SandboxServer, tmp_path: Path) -> None:
    end, written = run(server, tmp_path, "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2", tmp_path)
    assert (end.code, len(written)) == (0, 10_000_000)


def test_output_that_nobody_reads_keeps_nobody_from_killing(server: SandboxServer, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = start(server, tmp_path, "0", "head -c 5000000 /dev/zero", writing, tmp_path)
    os.close(writing)
    with pytest.raises(TimeoutError):
        process.wait(0.2)
    process.kill()
    assert process.wait(5).code == -9
    os.close(reading)


def test_output_that_nobody_can_read_any_more_ends_it_as_usual(server: SandboxServer, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = start(server, tmp_path, "0", "sleep 0.1; exec head -c 5000000 /dev/zero", writing, tmp_path)
    os.close(writing)
    os.close(reading)
    assert process.wait(10).code == -signal.SIGPIPE


def test_a_work_that_closes_everything_still_ends_as_it_wants(server: SandboxServer, tmp_path: Path) -> None:
    end = server.start(Layout(state=tmp_path, layer="0"), f"{__name__}:close_everything").wait(10)
    assert (end.code, end.problem, end.unseen) == (3, "", ())


@pytest.mark.skipif(not ROOT, reason="only root can mount a small file system")
def test_a_full_disk_is_seen_by_the_program(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    end, written = elsewhere(tmp_path, "tmpfs", 0, "size=2m", "dd if=/dev/zero of=big bs=64k count=100; echo $?")
    assert b"No space left on device" in written
    assert written.endswith(b"1\n")
    assert (end.code, end.problem) == (0, "")


@pytest.mark.skipif(not ROOT, reason="only root can mount a file system")
def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    end, written = elsewhere(tmp_path, "tmpfs", MS_RDONLY, "", "echo it ran")
    assert (end.code, end.problem) == (-1, f"mkdir {tmp_path}/state/0: Read-only file system")
    assert written == b""


@pytest.mark.skipif(not ROOT, reason="only root can mount an overlay without a user namespace")
def test_a_state_folder_on_an_overlay_is_said(tmp_path: Path) -> None:
    """The kernel takes no overlay as the upper layer of another one."""
    for name in ("state", "lower", "up", "work"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    end, written = elsewhere(tmp_path, "overlay", 0, options, "echo it ran")
    assert end.problem.startswith("mount overlay ")
    assert end.problem.endswith(": Invalid argument")
    assert (end.code, written) == (-1, b"")


@pytest.mark.skipif(not stackable(), reason="layers cannot lie above one another here")
def test_what_a_killed_preview_leaves_in_memory_is_cleared_by_the_next(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from hearth.observe._room import SandboxRoom
with SandboxRoom(Path({str(tmp_path / "a")!r}), stacked=True) as room:
    end = room.server.start(room.layout("0"), "os:_exit", b"").wait(10)
    print(room.folder, flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        assert (left / "0").is_dir()
        killed.kill()
    with SandboxRoom(tmp_path / "b", stacked=True) as room:
        assert not left.exists()
        ours = room.folder
        assert ours.parent == left.parent
    assert not ours.exists()


@pytest.mark.soak
def test_two_hundred_leave_nothing_behind(server: SandboxServer, tmp_path: Path, null: int) -> None:
    def held() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), server.pid)]

    start(server, tmp_path, "first", "true", null, tmp_path).wait(10)
    before, pids = held(), []
    for number in range(200):
        process = start(server, tmp_path, str(number), "true", null, tmp_path)
        pids.append(process.pid)
        assert process.wait(10).code == 0
    assert held() == before
    assert not any(alive(pid) for pid in pids)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    wait_until(lambda: not any(alive(int(pid)) for pid in children.read_text().split()))
