from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe import _sandbox_watch
from hearth.observe._sandbox import Layout, SandboxServer
from hearth.observe._sandbox_watch import HostServices, UnansweredError, Watch
from tests import overlays
from tests.unit.observe.test_sandbox import run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(preload=["hearth.observe._command"]) as one:
        yield one


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(state=tmp_path / "state", layer="0")


def program(folder: Path, text: str) -> str:
    """Write a Python program; return the command that runs it."""
    path = folder / "program.py"
    path.write_text(text)
    return f"{sys.executable} -I {path}"


@pytest.mark.parametrize("code", [errno.EIO, errno.EBADF, errno.EINTR, errno.ENOENT, errno.EINPROGRESS])
def test_a_listener_that_does_not_work_is_given_up(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A call that nobody answers would wait for ever: who listens ends, and with the listener the call fails."""
    failed = 0

    def ioctl(_: int, request: int, argument: bytearray | int) -> None:
        nonlocal failed
        if request in failing and (code != errno.EINTR or not failed):
            failed += 1
            raise OSError(code, os.strerror(code))
        assert argument

    failing: set[int] = set()
    monkeypatch.setattr(_sandbox_watch, "_ioctl", ioctl)
    services = HostServices()
    services.close()
    watch = Watch(-1, -1, services, network=False)
    for request in (_sandbox_watch._RECEIVE, _sandbox_watch._SEND):
        failing, failed = {request}, 0
        if code in {errno.EIO, errno.EBADF}:
            with pytest.raises(UnansweredError, match="the listener does not work"):
                watch.look()
        else:
            watch.look()
        assert failed == 1


def test_what_listens_on_the_host_is_known() -> None:
    """By names without symbolic links, as the kernel tells it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        real = Path(folder, "real").resolve()
        real.mkdir()
        Path(folder, "link").symlink_to(real)
        with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
            named.bind(f"{folder}/link/socket")
            abstract.bind(f"\0{folder}")
            tcp.bind(("127.0.0.1", 0))
            udp.bind(("127.0.0.1", 0))
            services = HostServices()
            bound = ("tcp", tcp.getsockname()[1])
            assert {f"{real}/socket", f"@{folder}"} <= services.sockets
            assert ("udp", udp.getsockname()[1]) in services.ports
            assert bound not in services.ports  # it does not listen
            services.close()
            tcp.listen()
            services = HostServices()
            assert bound in services.ports
            services.close()


def test_programs_are_told_however_they_are_named(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """By a relative path, a descriptor, a link, an interpreter's line, with no word at all."""
    command = program(
        tmp_path,
        f"""
import os
os.chdir("/usr/bin")
true = os.path.realpath("/bin/true")
os.symlink(true, {str(tmp_path / "link")!r})
for run in (
    lambda: os.execv("./env", ["relative", "true"]),
    lambda: os.execve(os.open(true, os.O_RDONLY), ["descriptor"], {{}}),
    lambda: os.execv({str(tmp_path / "link")!r}, ["link"]),
    lambda: os.execv(true, ["bytes", b"\\xff"]),
    lambda: os.execv("/no/such/program", ["none"]),
    lambda: os.execv("/etc/passwd", ["not to be run"]),
):
    if os.fork() == 0:
        try:
            run()
        finally:
            os._exit(1)
    os.wait()
""",
    )
    end, _ = run(server, layout, command)
    programs = [argv for argv in end.programs if argv[0] not in ("sh", sys.executable)]
    assert programs == [("relative", "true"), ("true",), ("descriptor",), ("link",), ("bytes", "\udcff")]
    assert end.unseen == ()


@pytest.mark.skipif(not ROOT, reason="only root may change its root")
def test_a_program_below_another_root_is_told(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc")
    (tmp_path / "small.c").write_text("int main(void) { return 7; }\n")
    subprocess.run([compiler, "-static", "-o", tmp_path / "small", tmp_path / "small.c"], check=True)
    end, _ = run(server, layout, f"chroot {tmp_path} /small; test $? = 7 && chroot {tmp_path} /bin/sh")
    assert end.code == 127
    assert ("/small",) in end.programs
    assert ("/bin/sh",) not in end.programs  # there is one, but not below that root


def test_nothing_is_lost_when_many_start_at_once(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """And signals that come while a call is looked at neither fail nor repeat it."""
    command = program(
        tmp_path,
        """
import os, signal, subprocess, threading
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
def start(number):
    for one in range(10):
        assert subprocess.run(["true", str(number), str(one)]).returncode == 0
threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
signal.setitimer(signal.ITIMER_REAL, 0)
""",
    )
    end, written = run(server, layout, command)
    assert (end.code, written) == (0, "")
    told = [argv for argv in end.programs if argv[0] == "true"]
    assert sorted(told) == sorted(("true", str(number), str(one)) for number in range(4) for one in range(10))


def test_every_address_of_a_call_with_several_messages_is_told(
    server: SandboxServer, layout: Layout, tmp_path: Path
) -> None:
    command = program(
        tmp_path,
        """
import ctypes, socket, struct
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
kept, messages = [], b""
for last in (1, 2, 3):
    address = struct.pack("=H", 2) + struct.pack(">H", 53) + bytes([192, 0, 2, last]) + bytes(8)
    kept.append(ctypes.create_string_buffer(address, 16))
    messages += struct.pack("=QI4xQQQQi4xI4x", ctypes.addressof(kept[-1]), 16, 0, 0, 0, 0, 0, 0)
ctypes.CDLL(None).sendmmsg(one.fileno(), messages, 3, 0)
""",
    )
    end, written = run(server, layout, command)
    assert (end.code, written) == (0, "")
    assert end.connections == ("udp 192.0.2.1:53", "udp 192.0.2.2:53", "udp 192.0.2.3:53")


def test_what_the_host_listens_to_is_told_though_it_cannot_be_reached(server: SandboxServer, tmp_path: Path) -> None:
    """By a relative path and through a link, too; a name that only the sandbox has stays in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "folder").mkdir()
        (folder / "link").symlink_to("folder")
        with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
            named.bind(f"{folder}/folder/socket")
            abstract.bind(f"\0{folder}")
            for one in (named, abstract):
                one.listen()
            command = program(
                folder,
                f"""
import os, socket
os.chdir({name!r})
for name in ("link/socket", "link/none", "\\0{folder}", "\\0none"):
    with socket.socket(socket.AF_UNIX) as one:
        print(one.connect_ex(name))
""",
            )
            end, written = run(server, Layout(state=tmp_path / "state", layer="0"), command)
    assert written.split() == ["111", "2", "111", "111"]
    assert set(end.connections) == {f"unix @{folder}", f"unix {folder}/folder/socket"}


def test_a_program_that_changes_what_it_starts_is_noticed(server: SandboxServer, tmp_path: Path) -> None:
    """Between the two looks: both are told, and that it was so. Another process changes path and word meanwhile."""
    command = program(
        tmp_path,
        """
import ctypes, mmap, os, time
shared = mmap.mmap(-1, 4096)
held = (ctypes.c_char * 4096).from_buffer(shared)
libc = ctypes.CDLL(None)
words = (ctypes.c_void_p * 2)(ctypes.addressof(held), None)
if (child := os.fork()) == 0:
    parent, clock = os.getppid(), time.monotonic_ns
    while os.getppid() == parent:
        if delay := shared[100]:
            end = clock() + delay * 8000
            while clock() < end:
                pass
            shared[9:14] = b"false"
            shared[100] = 0
    os._exit(0)
for number in range(300):
    shared[:16] = b"/usr/bin/true\\0\\0\\0"
    if os.fork() == 0:
        shared[100] = 1 + number % 100
        libc.execve(held, words, None)
        os._exit(9)
    os.wait()
    while shared[100]:
        time.sleep(0.0001)
os.kill(child, 9)
""",
    )
    noticed = "while that was looked at: /usr/bin/true and /usr/bin/false"
    for number in range(8):  # when it changes is chance, and what else the machine does
        end, written = run(server, Layout(state=tmp_path / f"state-{number}", layer="0"), command)
        assert written == ""
        if found := [one for one in end.unseen if noticed in one]:
            break
    assert found
    assert len([argv for argv in end.programs if argv[0] in ("/usr/bin/true", "/usr/bin/false")]) > 300
