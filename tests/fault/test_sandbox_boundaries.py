"""Boundaries: less known ways out of a sandbox are closed or told, each in one of its own; the host is as it was."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.observe._change import ChangeKind
from hearth.observe._layer import read_layer
from hearth.observe._sandbox import Layout, SandboxEnd, SandboxServer
from hearth.observe._tiers import probe
from hearth.observe._tree import tree_digest
from tests import ordinary
from tests.fault._boundaries import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
TIER = probe()
pytestmark = pytest.mark.skipif(TIER.name == "fallback", reason=f"no sandbox can be made: {TIER.capabilities[0][2]}")

SECRET = "a-secret-of-hearth-5b0c"
SYSCTLS = ("kernel/hostname", "kernel/core_pattern", "vm/swappiness", "net/ipv4/ip_forward")
IPC_PRIVATE, IPC_CREAT, IPC_RMID = 0, 0o1000, 0
OTHERWISE = {  # all else is refused as not permitted (EPERM); an ordinary user meets the files' own modes first
    "sys": {"EROFS", "EACCES", "ENOENT"},
    "cgroup-join": {"EROFS", "EACCES", "ENOENT"},
    "io_uring_enter": {"ENOSYS"},
    "io_uring_register": {"ENOSYS"},
    "oom-score": {"EACCES"},
    "move-hidden": {"EBUSY"},
    "move-above-hidden": {"EXDEV"},
    "shared-memory": {"EINVAL"},
}
# What depends on who tries it.
BY_USER = {
    "cgroup-join", "immutable", "limits", "loopback-flags", "mknod-dev", "move-above-hidden", "move-hidden",
    "oom-score", "pidfd_getfd", "process_vm_writev", "real-time", "shared-memory", "sys", "trusted-xattr",
    "unshare-and-uncover",
}  # fmt: skip
# What has a test of its own.
NOT_REFUSED = {
    "abstract-socket", "descriptors", "devices", "int-0x80", "kill-all", "namespaces", "own-root", "set-user-id",
    "limits-of-init", "status", "user-xattr",
}  # fmt: skip
REFUSED = sorted(set(ATTEMPTS) - NOT_REFUSED - (set() if os.uname().machine == "x86_64" else {"iopl"}))


@dataclass
class Host:
    """What the attempts are made against, and where their layers go."""

    server: SandboxServer
    folder: Path
    state: Path
    given: dict[str, Any]
    victim: subprocess.Popen[bytes]
    listeners: tuple[socket.socket, ...]
    layers: int = 0

    def look(self) -> dict[str, Any]:
        """Return what an escape would change."""
        return {
            "files": [tree_digest(self.folder / name) for name in ("canary", "above")],
            "sysctls": {name: Path("/proc/sys", name).read_bytes() for name in SYSCTLS},
            "clock": round(time.time() - time.monotonic(), 1),
            "host": socket.gethostname(),
            "victim": self.victim.poll(),
            "null": oct(Path(os.devnull).stat().st_mode),
            "mounts": [one for one in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.folder) in one],
            "callers": [select.select([one], [], [], 0)[0] for one in self.listeners],
        }

    def attempt(self, name: str, *, network: bool = False, linger: float = 0.2) -> tuple[dict[str, Any], SandboxEnd]:
        """Have an attempt made in a sandbox of its own; return what came of it."""
        read_end, write_end = os.pipe()
        outer, inner = pty.openpty()
        layer, self.layers = str(self.layers), self.layers + 1
        hidden = (Path(self.given["hidden"]), Path(self.given["hidden_file"]))
        try:
            process = self.server.start(
                Layout(state=self.state, layer=layer, network=network, hidden=hidden),
                "tests.fault._boundaries:attempt",
                json.dumps({**self.given, "attempt": name}).encode(),
                descriptors=[write_end, inner],
                linger=linger,
            )
        finally:
            for one in (write_end, outer, inner):
                os.close(one)
        end = process.wait(30)
        with os.fdopen(read_end, "rb") as answer:
            content = answer.read()
        assert end.problem == ""
        return (json.loads(content) if content else {"died": end.code}), end


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="escape-") as name:
        yield from _host(Path(name).resolve())


def _host(folder: Path) -> Iterator[Host]:
    canary = folder / "canary" / "file"
    hidden = folder / "above" / "hidden"
    for one in (canary.parent, hidden, folder / "state"):
        one.mkdir(parents=True)
    canary.write_text("as it was")
    (hidden / "file").write_text(SECRET)
    (folder / "hidden-file").write_text(SECRET)
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(IPC_PRIVATE, 4096, 0o600 | IPC_CREAT)
    disk = next((one for one in Path("/dev").iterdir() if stat.S_ISBLK(one.stat().st_mode)), Path("/dev/there-is-none"))
    group = next(Path("/sys/fs/cgroup").glob("**/cgroup.procs"), Path("/sys/fs/cgroup/cgroup.procs")).parent
    abstract = f"hearth-escape-{os.getpid()}"
    os.environ["ESCAPE_SECRET"] = SECRET
    try:
        with (
            subprocess.Popen(["sleep", "600"]) as victim,
            socket.socket(socket.AF_UNIX) as listener,
            socket.socket(socket.AF_UNIX) as named,
            SandboxServer(preload=["tests.fault._boundaries"]) as server,
        ):
            listener.bind("\0" + abstract)
            named.bind(str(folder / "socket"))
            listener.listen()
            named.listen()
            given = {
                "canary": str(canary), "folder": str(canary.parent), "state": str(folder / "state"),
                "hidden": str(hidden), "hidden_file": str(folder / "hidden-file"), "victim": victim.pid,
                "abstract": abstract, "segment": segment, "marker": SECRET[::-1],
                "disk_path": str(disk), "disk": disk.stat().st_rdev if disk.exists() else os.makedev(8, 0),
                "cgroup": str(group),
                "namespace": os.readlink("/proc/self/ns/pid"),  # noqa: PTH115 - no path
            }  # fmt: skip
            try:
                yield Host(server, folder, folder / "state", given, victim, (listener, named))
            finally:
                victim.kill()
    finally:
        del os.environ["ESCAPE_SECRET"]
        libc.shmctl(segment, IPC_RMID, None)


@pytest.fixture(autouse=True)
def unharmed(host: Host) -> Iterator[None]:
    """Whatever a test tries, the host is afterwards what it was."""
    before = host.look()
    yield
    after = host.look()
    assert abs(after.pop("clock") - before.pop("clock")) < 0.5
    assert after == before


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, host: Host) -> None:
    outcome, end = host.attempt(name)
    assert outcome.get("refused") in OTHERWISE.get(name, {"EPERM"}), outcome
    assert (end.code, end.left, end.unseen) == (0, (), ())


def test_writes_through_another_name_of_the_root_stay_in_the_layer(host: Host) -> None:
    layer = str(host.layers)
    assert host.attempt("own-root")[0] == {"value": None}
    changes = read_layer(host.state, layer).changes
    assert [(one.path, one.kind) for one in changes] == [(host.given["canary"], ChangeKind.MODIFIED)]
    assert Path(host.given["canary"]).read_text() == "as it was"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of 32-bit programs are those of x86-64")
def test_a_call_by_the_numbers_of_32_bit_programs_kills(host: Host) -> None:
    outcome, _ = host.attempt("int-0x80")
    assert outcome in ({"died": -signal.SIGSYS}, {"died": -signal.SIGSEGV})  # the kernel may have no such numbers


def test_each_namespace_is_its_own(host: Host) -> None:
    inside = host.attempt("namespaces")[0]["value"]
    assert {name for name, told in inside.items() if told == os.readlink(f"/proc/self/ns/{name}")} == set()  # noqa: PTH115
    inside = host.attempt("namespaces", network=True)[0]["value"]
    same = {name for name, told in inside.items() if told == os.readlink(f"/proc/self/ns/{name}")}  # noqa: PTH115
    assert same == {"net"}


def test_there_are_only_harmless_devices(host: Host) -> None:
    harmless = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert host.attempt("devices")[0] == {"value": harmless.split()}


def test_a_mark_of_overlayfs_hides_no_file_of_the_host(host: Host) -> None:
    """A program may set `user.overlay.opaque`; to the overlay of an ordinary user that must not be its own mark."""
    layer = str(host.layers)
    outcome, _ = host.attempt("user-xattr")
    assert outcome in ({"value": None}, {"refused": "EPERM"}, {"refused": "EOPNOTSUPP"})
    told = read_layer(host.state, layer).changes
    assert [one for one in told if one.path != host.given["folder"] or one.kind is not ChangeKind.METADATA] == []


def test_nothing_outside_can_be_killed(host: Host) -> None:
    outcome, end = host.attempt("kill-all")
    assert outcome == {"value": [errno.ESRCH, errno.ESRCH]}  # nobody else is there, and the victim has no number
    assert end.code == 0
    assert host.victim.poll() is None


def test_no_descriptor_is_inherited_but_those_passed(host: Host) -> None:
    """HEARTH's own stderr may be a file; who has it open can open it anew for writing."""
    opened = host.attempt("descriptors")[0]["value"]
    assert [one.split()[1].partition(":")[0] for one in opened[:3]] == ["/dev/null"] * 3
    assert [one.split()[1].partition("[")[0] for one in opened[3:4]] == ["pipe:"]
    assert [one.split()[1].rpartition("/")[0] for one in opened[4:]] == ["/dev/pts"]


def test_what_a_work_fails_with_is_said_on_one_line_and_escaped(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from hearth.observe._sandbox import Layout, SandboxServer
with SandboxServer() as server:
    layout = Layout(state=Path({str(tmp_path)!r}), layer="0")
    end = server.start(layout, "tests.fault._boundaries:fail", b"clear: \\x1b[2J\\n").wait(10)
raise SystemExit(end.code)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr == "hearth: the work in a sandbox failed: 'ValueError: clear: \\x1b[2J\\n'\n"


def test_no_program_changes_its_user(host: Host) -> None:
    assert host.attempt("set-user-id")[0] == ({"value": "0"} if ROOT else {"refused": "EINVAL"})
    assert host.attempt("status")[0] == {"value": "NoNewPrivs 1, Seccomp 2"}


def test_with_the_network_of_the_host_its_abstract_sockets_are_out_of_reach(host: Host) -> None:
    """Of whatever listens there (D-Bus, X11, container runtimes), only what was tried is told."""
    outcome, end = host.attempt("abstract-socket", network=True)
    assert outcome == {"refused": "EPERM"}
    assert end.connections == (f"unix @{host.given['abstract']}",)
    host.listeners[0].settimeout(0)
    with pytest.raises(BlockingIOError):
        host.listeners[0].accept()


def test_what_is_left_behind_cannot_be_hidden_by_the_limits_of_the_init(host: Host) -> None:
    """It would have no descriptors left to look for it."""
    outcome, end = host.attempt("limits-of-init")
    assert outcome == {"refused": "EPERM"}
    assert "System V shared memory were left in the sandbox" in end.unseen


def test_the_network_of_the_host_cannot_be_changed(host: Host) -> None:
    assert host.attempt("loopback-flags", network=True)[0] == {"refused": "EPERM"}


def run_as_nobody(repository: Path, *options: str) -> int:
    """Run these tests as an ordinary user; return how many passed."""
    with tempfile.TemporaryDirectory(prefix="escape-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        where = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/base", f"--rootdir={repository}"]
        argv = [sys.executable, "-m", "pytest", *where, *options, __file__]
        ended = ordinary.run_as_nobody(argv, HOME=folder, TMPDIR=folder)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return int(ended.stdout.strip().splitlines()[-1].split()[0])


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_gets_no_further(repository: Path) -> None:
    """With what depends on who tries it; the filter of system calls decides about the others before that."""
    here = Path(__file__).relative_to(repository)
    deselected = [f"--deselect={here}::test_refused[{name}]" for name in REFUSED if name not in BY_USER]
    assert len(deselected) + len(BY_USER) == len(REFUSED)
    assert len(BY_USER) < run_as_nobody(repository, *deselected) < len(REFUSED)


@pytest.mark.soak
@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_gets_no_further_in_any_way(repository: Path) -> None:
    assert run_as_nobody(repository) > len(REFUSED)
