from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ObservationError
from hearth.observe._layer import read_layer
from hearth.observe._sandbox import Layout, SandboxedProcess, SandboxEnd, SandboxServer
from tests import ordinary, overlays

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


def start(
    server: SandboxServer,
    layout: Layout,
    *argv: str,
    output: int = -1,
    linger: float = 5.0,
    cwd: Path | None = None,
) -> SandboxedProcess:
    """Start a command, the output and errors of which go to `output`."""
    layout.state.mkdir(mode=0o700, exist_ok=True)
    folder = str(cwd or layout.state.parent)
    request = {"argv": argv, "cwd": folder, "env": {"PATH": os.environ["PATH"]}, "targets": [0, 1, 2]}
    null = os.open(os.devnull, os.O_RDWR)
    try:
        descriptors = [null, null if output < 0 else output, null if output < 0 else output]
        return server.start(layout, COMMAND, json.dumps(request).encode(), descriptors=descriptors, linger=linger)
    finally:
        os.close(null)


def run(server: SandboxServer, layout: Layout, script: str, *, cwd: Path | None = None) -> tuple[SandboxEnd, str]:
    """Run a script; return how it ended, and what it wrote."""
    reading, writing = os.pipe()
    process = start(server, layout, "sh", "-c", script, output=writing, cwd=cwd)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as output:
        written = output.read()
    return process.wait(30), written


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(state=tmp_path / "state", layer="0")


def write_where_told(payload: bytes, descriptors: list[int]) -> int:
    """Write what was given to the descriptor that was given: a work, run within the sandbox."""
    os.write(descriptors[0], payload + b" in process %d of session %d" % (os.getpid(), os.getsid(0)))
    return 42


def raise_something(_payload: bytes, _descriptors: list[int]) -> int:
    raise RuntimeError("as it is meant to")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_changes_its_layer_and_nothing_else(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("as it was")
    end, written = run(server, layout, "echo new > a; echo b > b; cat a b")
    assert end == SandboxEnd(code=0, readonly=end.readonly, programs=end.programs)
    assert written == "new\nb\n"
    assert (tmp_path / "a").read_text() == "as it was"
    assert not (tmp_path / "b").exists()
    found = {change.path: change.kind.value for change in read_layer(layout.state, "0").changes}
    assert found == {str(tmp_path / "a"): "modified", str(tmp_path / "b"): "created"}


def test_a_python_function_is_work_too(server: SandboxServer, layout: Layout) -> None:
    layout.state.mkdir()
    reading, writing = os.pipe()
    process = server.start(layout, f"{__name__}:write_where_told", b"\0 payload", descriptors=[writing])
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        assert output.read() == b"\0 payload in process 2 of session 2"
    assert process.wait(10).code == 42


def test_a_function_that_raises_ends_with_one(server: SandboxServer, layout: Layout) -> None:
    layout.state.mkdir()
    assert server.start(layout, f"{__name__}:raise_something").wait(10).code == 1
    assert server.start(Layout(state=layout.state, layer="1"), "no.such.module:at_all").wait(10).code == 1


@pytest.mark.parametrize("script, code", [("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("no-such", 127)])
def test_the_end_is_told_as_it_was(server: SandboxServer, layout: Layout, script: str, code: int) -> None:
    assert run(server, layout, script)[0].code == code


def test_what_a_background_child_writes_later_counts(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    end, _ = run(server, layout, "(setsid sh -c 'sleep 0.2; echo late > late' >/dev/null 2>&1 &)")
    assert (end.code, end.left) == (0, ())
    assert [change.path for change in read_layer(layout.state, "0").changes] == [str(tmp_path / "late")]


def test_what_goes_on_for_longer_is_killed_and_named(server: SandboxServer, layout: Layout) -> None:
    process = start(server, layout, "sh", "-c", "(setsid sleep 60 &) ; (trap '' TERM HUP; sleep 61) &", linger=0.1)
    began = time.monotonic()
    end = process.wait(30)
    assert time.monotonic() - began < 10
    assert end.code == 0
    assert {"sleep 60", "sleep 61"} <= set(end.left)
    assert not alive(process.pid)


def test_killing_ends_everything_at_once(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    process = start(server, layout, "sh", "-c", "setsid sh -c 'sleep 0.5; echo x > late' & sleep 60")
    with pytest.raises(TimeoutError):
        process.wait(0.1)
    process.kill()
    end = process.wait(5)
    assert (end.code, end.problem) == (-9, "")
    assert not alive(process.pid)
    process.kill()  # which is nothing by now
    time.sleep(0.6)
    assert read_layer(layout.state, "0").changes == ()
    assert not (tmp_path / "late").exists()


def test_two_run_at_a_time_and_know_nothing_of_each_other(server: SandboxServer, layout: Layout) -> None:
    first = start(server, layout, "sleep", "30")
    end, written = run(server, Layout(state=layout.state, layer="1"), "ps -ef || ls /proc")
    assert end.code == 0
    assert "sleep" not in written
    assert alive(first.pid)
    first.kill()
    assert first.wait(5).code == -9


def test_programs_are_seen_and_tries_are_not(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """A long word is left out whole, as are those after 64; a shell's look into folders of PATH starts nothing."""
    (tmp_path / "words.sh").write_text("#!/bin/sh\n")
    (tmp_path / "words.sh").chmod(0o755)
    end, _ = run(server, layout, f"env true; ./words.sh {'x' * 16384} {'x' * 16385} $(seq 100); no-such-program")
    programs = [argv for argv in end.programs if argv[0] != "sh"]
    assert programs[:3] == [("env", "true"), ("true",), ("seq", "100")]
    assert programs[3] == ("./words.sh", "x" * 16384, "…", *map(str, range(1, 62)))
    assert len(programs) == 4


def test_connections_to_what_is_outside_are_seen(server: SandboxServer, layout: Layout) -> None:
    """Those within the sandbox stay there, and so does a name of a socket that nobody has."""
    script = """
import os, socket, threading
for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "inner"), (socket.AF_UNIX, "\\0inner")):
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind(address)
        server.listen()
        client.connect(server.getsockname())
        client.sendall(b"x")
for kind, address in ((socket.SOCK_STREAM, ("192.0.2.1", 80)), (socket.SOCK_DGRAM, ("192.0.2.2", 53))):
    with socket.socket(socket.AF_INET, kind) as client:
        try:
            client.sendto(b"x", address) if kind == socket.SOCK_DGRAM else client.connect(address)
        except OSError as error:
            print(error.errno)
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
    try:
        client.sendmsg([b"x"], [], 0, ("2001:db8::1", 53, 0, 0))
    except OSError as error:
        print(error.errno)
with socket.socket(socket.AF_UNIX) as client:
    try:
        client.connect("/nobody/listens")
    except OSError as error:
        print(error.errno)
"""
    program = layout.state.parent / "program.py"
    program.write_text(script)
    end, written = run(server, layout, f"{sys.executable} -I {program}")
    assert written.split() == ["101", "101", "101", "2"]
    assert end.connections == ("tcp 192.0.2.1:80", "udp 192.0.2.2:53", "udp [2001:db8::1]:53")
    assert end.unseen == ()


def test_the_hosts_network_is_there_only_when_it_is_given(server: SandboxServer, layout: Layout) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        script = f"{sys.executable} -I -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
        without, _ = run(server, layout, script)
        given, _ = run(server, Layout(state=layout.state, layer="1", network=True), script)
    assert (without.code, given.code) == (1, 0)
    assert without.connections == given.connections == (f"tcp 127.0.0.1:{port}",)


def test_hidden_things_are_neither_read_nor_written(server: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("secret")
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to("secrets")
    layout = Layout(
        state=tmp_path / "state", layer="0", hidden=(tmp_path / "link", tmp_path / "file", tmp_path / "none")
    )
    end, written = run(server, layout, "cat file; cat secrets/key || ls state; echo x > secrets/key; rm -f file; ls")
    assert "secret\n" not in written.replace("secrets", "")
    assert end.code == 0
    assert read_layer(layout.state, "0").changes == ()


def test_a_later_step_sees_what_an_earlier_one_did(server: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as folder:
        state = Path(folder, "state")
        state.mkdir()
        for layer, script in enumerate(("rm a; echo b > b", "echo c >> b; echo d > d", "ls; cat b")):
            layout = Layout(state=state, layer=str(layer), below=tuple(map(str, range(layer))))
            _, written = run(server, layout, script, cwd=tmp_path)
        assert written == "b\nd\nb\nc\n"
        changes = read_layer(state, "1", ("0",)).changes
    assert [change.path for change in changes] == [str(tmp_path / "b"), str(tmp_path / "d")]


def test_a_layer_is_new(server: SandboxServer, layout: Layout) -> None:
    run(server, layout, "true")
    with pytest.raises(FileExistsError):
        run(server, layout, "true")


def test_a_payload_stands_nowhere(server: SandboxServer, layout: Layout) -> None:
    secret = "hearth-secret-of-this-test"
    process = start(server, layout, "sh", "-c", "read x; sleep 30", secret)
    places = [Path(f"/proc/{pid}/{name}") for pid in (server.pid, process.pid) for name in ("cmdline", "environ")]
    for place in places:
        try:
            assert secret.encode() not in place.read_bytes()
        except PermissionError:
            continue  # which is as good
    assert subprocess.run(["grep", "-r", secret, str(layout.state)], capture_output=True, check=False).returncode != 0
    process.kill()
    process.wait(5)


def test_many_leave_nothing_behind(server: SandboxServer, layout: Layout) -> None:
    run(server, layout, "true")
    descriptors = descriptors_of(os.getpid())
    theirs = descriptors_of(server.pid)
    mounts = Path("/proc/self/mountinfo").read_text()
    pids = [0]
    for number in range(1, 21):
        process = start(server, Layout(state=layout.state, layer=str(number)), "true")
        pids.append(process.pid)
        assert process.wait(10).code == 0
    assert descriptors_of(os.getpid()) == descriptors
    assert descriptors_of(server.pid) == theirs
    assert not any(str(layout.state) in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
    assert not any(alive(pid) for pid in pids[1:])
    assert str(layout.state) not in mounts


def test_a_killed_server_takes_its_sandboxes_with_it(layout: Layout) -> None:
    with SandboxServer() as server:
        process = start(server, layout, "sleep", "60")
        os.kill(server.pid, signal.SIGKILL)
        end = process.wait(10)
        assert (end.code, len(end.unseen)) == (-9, 1)
        wait_until(lambda: not alive(process.pid))
        with pytest.raises(ObservationError):
            start(server, Layout(state=layout.state, layer="1"), "true")


def test_everything_ends_with_hearth(layout: Layout) -> None:
    """Killed, it can see to nothing any more."""
    script = f"""
import sys, time
from pathlib import Path
from hearth.observe._sandbox import Layout, SandboxServer
from tests.unit.observe.test_sandbox import start
server = SandboxServer()
process = start(server, Layout(state=Path({str(layout.state)!r}), layer="0"), "sleep", "60")
print(server.pid, process.pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as hearth:
        assert hearth.stdout is not None
        pids = [int(word) for word in hearth.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        hearth.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def run_as_nobody(repository: Path, *chosen: str, file: str = __file__) -> None:
    """Run a file of tests as an ordinary user, in its own folder in somebody else's, which it cannot copy up."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as foreign:
        Path(foreign).chmod(0o755)
        folder = f"{foreign}/own"
        Path(folder).mkdir()
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/base", f"--rootdir={repository}"]
        ended = ordinary.run_as_nobody(
            [sys.executable, "-m", "pytest", *options, *chosen, file],
            HOME=folder,
            TMPDIR=folder,
            PWD=str(repository),
        )
        subprocess.run(["rm", "-rf", f"{folder}/base"], check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert " passed" in ended.stdout


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_has_as_much(repository: Path) -> None:
    run_as_nobody(
        repository, "-k", "its_layer or hidden or tries_are_not or outside or earlier_one or at_once or layer_is_new"
    )


@pytest.mark.soak
@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_has_it_all(repository: Path) -> None:
    run_as_nobody(repository)
