"""Connections of a sandbox that has the host's network: made for the program, to the address that was looked at."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe._sandbox import Layout, SandboxServer
from tests import overlays
from tests.unit.observe.test_sandbox import run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

# Another process changes the port, so many microseconds after the call began: threads of Python take turns.
RACE = """
import ctypes, mmap, os, socket, struct, sys, time
kind, first, *others = sys.argv[1:]
shared = mmap.mmap(-1, 4096)
held = (ctypes.c_char * 4096).from_buffer(shared)
address = struct.pack("=H", 2) + struct.pack(">H", int(first)) + bytes([127, 0, 0, 1]) + bytes(8)
if (child := os.fork()) == 0:
    parent, clock = os.getppid(), time.monotonic_ns
    while os.getppid() == parent:
        if delay := shared[100]:
            end = clock() + delay * 4000
            while clock() < end:
                pass
            shared[2:4] = shared[200:202]
            shared[100] = 0
    os._exit(0)
libc = ctypes.CDLL(None)
for number, other in enumerate(others):
    shared[:16] = address
    shared[200:202] = struct.pack(">H", int(other))
    one = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    shared[100] = 5 + number
    if kind == "tcp":
        libc.connect(one.fileno(), held, 16)
    else:
        libc.sendto(one.fileno(), b"x", 1, 0, held, 16)
    one.close()
    while shared[100]:
        time.sleep(0.0001)
os.kill(child, 9)
"""

# Prints what each call comes to; nothing of it depends on who makes it.
CALLS = """
import array, ctypes, errno, os, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
open_port, full_port, six_port, udp_port, closed_port = map(int, sys.argv[1:6])
def said(name, do):
    try:
        print(name, do())
    except OSError as error:
        print(name, errno.errorcode[error.errno])
def raw(text, *arguments):
    def do():
        result = getattr(libc, text)(*arguments)
        return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
    return do
def v4(port):
    return struct.pack("=H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8)
def stream(six=False):
    return socket.socket(socket.AF_INET6 if six else socket.AF_INET)
tcp = stream()
said("connect", lambda: tcp.connect_ex(("127.0.0.1", open_port)))
said("peer", lambda: tcp.getpeername()[1] == open_port)
said("echo", lambda: (tcp.sendall(b"abc"), tcp.recv(3)))
said("again", lambda: tcp.connect_ex(("127.0.0.1", open_port)))
said("waits", lambda: os.get_blocking(tcp.fileno()))
said("send timeout", lambda: tcp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))
said("sendmsg", lambda: (tcp.sendmsg([b"ab", b"c"]), tcp.recv(3)))
said("refused", lambda: stream().connect_ex(("127.0.0.1", closed_port)))
said("six", lambda: stream(True).connect_ex(("::1", six_port)))
said("mapped", lambda: stream(True).connect_ex(("::ffff:127.0.0.1", open_port)))
one = stream(); one.setblocking(False)
said("not waiting", lambda: one.connect_ex(("127.0.0.1", open_port)))
said("then", lambda: (select.select([], [one], [], 5)[1] == [one], one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
one = stream(); one.settimeout(5)
said("with a timeout", lambda: one.connect_ex(("127.0.0.1", open_port)))
one = stream(); one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200000))
begun = time.monotonic()
said("too long", lambda: one.connect_ex(("127.0.0.1", full_port)))
said("seconds", lambda: 0.15 < time.monotonic() - begun < 2)
said("too long again", lambda: one.connect_ex(("127.0.0.1", full_port)))
class Alarm(Exception):
    pass
def ring(*_):
    raise Alarm
signal.signal(signal.SIGALRM, ring)
one = stream()
signal.setitimer(signal.ITIMER_REAL, 0.3)
begun = time.monotonic()
try:
    one.connect(("127.0.0.1", full_port))
except Alarm:
    print("alarm", time.monotonic() - begun < 3)
rung = []
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
for restarts in (False, True):
    signal.siginterrupt(signal.SIGALRM, not restarts)
    one = stream()
    one.setsockopt(socket.IPPROTO_TCP, 18, struct.pack("=I", 1500))  # TCP_USER_TIMEOUT: it ends some time
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    said(f"restarts {restarts}", raw("connect", one.fileno(), v4(full_port), 16))
    print("rung", len(rung))
def in_a_thread():
    said("thread", lambda: stream().connect_ex(("127.0.0.1", open_port)))
thread = threading.Thread(target=in_a_thread); thread.start(); thread.join()
said("no descriptor", raw("connect", 999, v4(open_port), 16))
said("no socket", raw("connect", 0, v4(open_port), 16))
said("no address", raw("connect", stream().fileno(), None, 16))
said("bad address", raw("connect", stream().fileno(), ctypes.c_void_p(8), 16))
said("short", raw("connect", stream().fileno(), v4(open_port), 8))
said("empty", raw("connect", stream().fileno(), v4(open_port), 0))
said("long", raw("connect", stream().fileno(), v4(open_port) + bytes(200), 200))
said("family", raw("connect", stream().fileno(), struct.pack("=H", 5) + v4(open_port)[2:], 16))
said("apart", raw("connect", tcp.fileno(), bytes(16), 16))
said("no peer", tcp.getpeername)
listening = stream(); listening.listen()
said("listening", lambda: listening.connect_ex(("127.0.0.1", open_port)))
said("fast open", lambda: stream().sendto(b"abc", socket.MSG_FASTOPEN, ("127.0.0.1", closed_port)) and None)
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.settimeout(5)
said("sendto", lambda: (udp.sendto(b"one", ("127.0.0.1", udp_port)), udp.recv(99)))
said("without a family", raw("sendto", udp.fileno(), b"two", 3, 0, bytes(2) + v4(udp_port)[2:], 16))
said("came", lambda: udp.recv(99))
said("nothing", lambda: (udp.sendto(b"", ("127.0.0.1", udp_port)), udp.recv(99)))
ttl = [(socket.IPPROTO_IP, socket.IP_TTL, array.array("i", [9]))]
said("parts", lambda: (udp.sendmsg([b"three", b"", b"four"], ttl, 0, ("127.0.0.1", udp_port)), udp.recv(99)))
said("much", lambda: udp.sendto(bytes(70000), ("127.0.0.1", udp_port)))
said("very much", lambda: udp.sendto(bytes(700000), ("127.0.0.1", udp_port)))
said("all there is", lambda: (udp.sendto(bytes(65507), ("127.0.0.1", udp_port)), len(udp.recv(70000))))
said("bad data", raw("sendto", udp.fileno(), ctypes.c_void_p(8), 3, 0, v4(udp_port), 16))
said("connect", lambda: (udp.connect(("127.0.0.1", udp_port)), udp.getpeername()[1] == udp_port))
said("sendmsg", lambda: (udp.sendmsg([b"five"]), udp.recv(99)))
kept, messages = [], b""
for number in range(3):
    kept.append((ctypes.create_string_buffer(v4(udp_port), 16), ctypes.create_string_buffer(b"x" * (number + 1))))
    kept.append(ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(kept[-1][1]), number + 1), 16))
    parts = (ctypes.addressof(kept[-2][0]), 16, ctypes.addressof(kept[-1]), 1, 0, 0, 0, 0)
    messages += struct.pack("=QI4xQQQQi4xI4x", *parts)
held = ctypes.create_string_buffer(messages, len(messages))
other = socket.socket(type=socket.SOCK_DGRAM)
said("several", raw("sendmmsg", other.fileno(), held, 3, 0))
said("each", lambda: [struct.unpack_from("=I", held, 64 * one + 56)[0] for one in range(3)])
said("came", lambda: sorted(len(other.recv(99)) for _ in range(3)))
unknown = socket.socket(type=socket.SOCK_DGRAM)
unknown.connect(("127.0.0.1", closed_port))
said("unknown", lambda: (unknown.sendmsg([b"x"]), select.select([unknown], [], [], 1) and None))
said("told late", lambda: unknown.sendmsg([b"x"]))
if os.getuid() == 0:
    os.setuid(65534)
    said("nobody", lambda: stream().connect_ex(("127.0.0.1", open_port)))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(preload=["hearth.observe._command"]) as one:
        yield one


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(state=tmp_path / "state", layer="0", network=True)


def program(folder: Path, text: str) -> str:
    """Write a Python program; return the command that runs it."""
    path = folder / "program.py"
    path.write_text(text)
    return f"{sys.executable} -I {path}"


@pytest.fixture
def ports() -> Iterator[tuple[int, ...]]:
    """What the host listens to: TCP that echoes; TCP that takes nothing more; TCP by IPv6; UDP that echoes; no one."""
    with (
        socket.socket() as echo,
        socket.socket() as full,
        socket.socket() as waiting,
        socket.socket(socket.AF_INET6) as six,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket() as closed,
    ):
        for one in (echo, full, udp, closed):
            one.bind(("127.0.0.1", 0))
        six.bind(("::1", 0))
        for one in (echo, six):
            one.listen(50)
        full.listen(0)
        waiting.connect(full.getsockname())

        threads = [
            threading.Thread(target=one, args=(two,), daemon=True) for one, two in ((echoes, echo), (echoed, udp))
        ]
        for thread in threads:
            thread.start()
        yield tuple(one.getsockname()[1] for one in (echo, full, six, udp, closed))
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"the end", udp.getsockname())
        echo.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def echoes(listening: socket.socket) -> None:
    """Send each connection what comes by it, until nobody listens any more."""
    with suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, suppress(ConnectionResetError):
        while data := connection.recv(999):
            connection.sendall(data)


def echoed(one: socket.socket) -> None:
    """Send back each datagram."""
    while (came := one.recvfrom(1 << 17))[0] != b"the end":
        one.sendto(came[0], came[1])


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_what_is_reached_is_what_is_told(server: SandboxServer, layout: Layout, tmp_path: Path, kind: str) -> None:
    """However a program changes the address while the call is looked at."""
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    reached = set()
    with ExitStack() as stack:
        places = [stack.enter_context(socket.socket(type=kinds[kind])) for _ in range(80)]
        for one in places:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            if kind == "tcp":
                one.listen(200)
        ports = [one.getsockname()[1] for one in places]
        end, written = run(server, layout, f"{program(tmp_path, RACE)} {kind} {' '.join(map(str, ports))}")
        for port, one in zip(ports, places, strict=True):
            with suppress(BlockingIOError):
                if kind == "tcp":
                    one.accept()[0].close()
                else:
                    one.recv(9)
                reached.add(f"{kind} 127.0.0.1:{port}")
    assert (end.code, written) == (0, "")
    assert f"{kind} 127.0.0.1:{ports[0]}" in reached
    assert reached == set(end.connections)


def test_calls_come_to_the_same_as_without_a_sandbox(
    server: SandboxServer, layout: Layout, tmp_path: Path, ports: tuple[int, ...]
) -> None:
    """Also those that wait, time out, are interrupted, or are wrong."""
    command = f"{program(tmp_path, CALLS)} {' '.join(map(str, ports))}"
    bare = subprocess.run(["sh", "-c", command], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert (bare.returncode, bare.stderr) == (0, "")
    end, written = run(server, layout, command)
    # As on a system that has it off (tcp(7)).
    assert written.splitlines() == bare.stdout.replace("open ECONNREFUSED", "open ENOTSUP").splitlines()
    assert end.code == 0
    told = {f"tcp 127.0.0.1:{one}" for one in (ports[0], ports[1], ports[4])}
    told |= {f"udp 127.0.0.1:{one}" for one in (ports[3], ports[4])} | {f"tcp [::1]:{ports[2]}"}
    assert set(end.connections) == told
    assert end.unseen == ()


SOCKETS = """
import errno, os, socket, sys
folder = sys.argv[1]
def said(name, do):
    try:
        print(name, do() or "done")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
own = socket.socket(socket.AF_UNIX)
own.bind(f"\\0{folder}/own")
own.listen()
for kind, name in (("STREAM", "\\0{}"), ("STREAM", "\\0{}/own"), ("STREAM", "{}/named"), ("STREAM", "\\0{}/none")):
    with socket.socket(socket.AF_UNIX, getattr(socket, f"SOCK_{kind}")) as one:
        said("connect", lambda: one.connect(name.format(folder)))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
    said("sendto", lambda: one.sendto(b"x", f"\\0{folder}/datagrams"))
    said("sendmsg", lambda: one.sendmsg([b"x"], [], 0, f"\\0{folder}/datagrams"))
    said("named", lambda: one.sendto(b"x", f"{folder}/datagrams"))
os.mkdir(f"{folder}/a"); os.mkdir(f"{folder}/b"); open(f"{folder}/a/x", "w").close()
said("rename", lambda: os.rename(f"{folder}/a/x", f"{folder}/b/x"))
said("link", lambda: os.link(f"{folder}/b/x", f"{folder}/a/x"))
"""


def test_abstract_sockets_of_the_host_are_out_of_reach(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """By whatever call, and told all the same; as named ones are; the sandbox's own can be reached."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name).resolve()
        places = {}
        for kind, address in (
            (socket.SOCK_STREAM, f"\0{folder}"),
            (socket.SOCK_STREAM, f"{folder}/named"),
            (socket.SOCK_DGRAM, f"\0{folder}/datagrams"),
            (socket.SOCK_DGRAM, f"{folder}/datagrams"),
        ):
            places[address] = one = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            one.bind(address)
            one.setblocking(False)
            if kind == socket.SOCK_STREAM:
                one.listen()
        end, written = run(server, layout, f"{program(tmp_path, SOCKETS)} {folder}")
        with pytest.raises(BlockingIOError):
            places[f"\0{folder}"].accept()
        with pytest.raises(BlockingIOError):
            places[f"\0{folder}/datagrams"].recv(9)
    connects = ["connect EPERM", "connect done", "connect ECONNREFUSED", "connect ECONNREFUSED"]
    sent = ["sendto EPERM", "sendmsg EPERM", "named ECONNREFUSED", "rename done", "link done"]
    assert written.splitlines() == connects + sent
    named = (f"@{folder}", f"@{folder}/datagrams", f"{folder}/named", f"{folder}/datagrams")
    assert set(end.connections) == {f"unix {one}" for one in named}


@pytest.mark.skipif(not ROOT, reason="only root may mark what it sends")
def test_nothing_is_done_for_a_program_that_it_has_no_right_to(
    server: SandboxServer, layout: Layout, tmp_path: Path
) -> None:
    command = program(
        tmp_path,
        """
import array, socket
mark = [(socket.SOL_SOCKET, socket.SO_MARK, array.array("i", [9]))]
try:
    socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], mark, 0, ("127.0.0.1", 9))
except OSError as error:
    print(error.strerror)
""",
    )
    assert run(server, layout, command)[1] == "Operation not permitted\n"


WITHOUT_LANDLOCK = """
import ctypes, os, sys
from pathlib import Path
from hearth.observe._bpf import ALLOW, ERRNO, RETURN, SECCOMP, number_of_call, packed, when
from hearth.observe._linux import no_new_privileges, system_call
from hearth.observe._sandbox import Layout, SandboxServer
from tests.unit.observe.test_sandbox import run
import struct
machine = os.uname().machine
filtered = [*number_of_call(machine, ALLOW), *when(444, [(RETURN, 0, 0, ERRNO | 38)]), (RETURN, 0, 0, ALLOW)]
code = packed(filtered)
held = ctypes.create_string_buffer(code, len(code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(filtered), ctypes.addressof(held)), 16)
no_new_privileges()
system_call("seccomp", SECCOMP[machine], 1, 0, program)
with SandboxServer(preload=["hearth.observe._command"]) as server:
    end, written = run(server, Layout(state=Path(sys.argv[1]), layer="0", network=True), sys.argv[2])
print(written, end="")
print(*end.connections)
"""


def test_without_landlock_no_abstract_socket_is_reached_at_all(tmp_path: Path) -> None:
    """Not the sandbox's own either: nobody could tell which one it is when the call goes on. TCP is as with it."""
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket() as service:
        abstract.bind(f"\0{tmp_path}")
        abstract.listen()
        abstract.setblocking(False)
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        text = f"""
import errno, socket
own = socket.socket(socket.AF_UNIX)
own.bind("\\0{tmp_path}/own")
own.listen()
for name in ("\\0{tmp_path}", "\\0{tmp_path}/own"):
    print(errno.errorcode[socket.socket(socket.AF_UNIX).connect_ex(name)])
print(socket.socket().connect_ex(("127.0.0.1", {port})))
"""
        argv = [sys.executable, "-c", WITHOUT_LANDLOCK, str(tmp_path / "state"), program(tmp_path, text)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
        with pytest.raises(BlockingIOError):
            abstract.accept()
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["EPERM", "EPERM", "0", f"tcp 127.0.0.1:{port} unix @{tmp_path}"]
