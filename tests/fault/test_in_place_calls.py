"""What is observed of a step on the host besides plain changes of files, and what is said of what cannot be."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hearth.observe import ChangeKind, host_observer_why_not
from tests import ordinary
from tests.fault.test_in_place_complete import run_observed

REASON = host_observer_why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may do this")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def python(code: str) -> str:
    return f"'{sys.executable}' -I -S - <<'END'\n{code}\nEND"


def test_programs_are_told_and_what_is_no_file_of_anybody_is_not(tmp_path: Path) -> None:
    code, errors, seen = run_observed(
        "echo x > /dev/null; echo y > /dev/stderr; ls > /dev/null; echo > /proc/self/comm; exec 3> /proc/self/fd/2",
        tmp_path,
    )
    assert (code, errors) == (0, b"y\n")
    assert (seen.changes, seen.actions, seen.connections, seen.unseen) == ((), (), (), ())
    assert seen.programs[0] == "ls"
    assert len(seen.programs) == 2


def test_a_signal_to_a_process_of_others_is_told_and_one_to_its_own_is_not(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "100"])
    try:
        script = f"sleep 50 & kill $!; wait $! || true; kill -0 {other.pid}; kill -TERM {other.pid}; kill -9 $$"
        code, errors, seen = run_observed(script, tmp_path)
        assert (code, errors) == (-9, b"Terminated\n")
        assert seen.actions == (f"kill SIGTERM to sleep ({other.pid})",)
        assert other.wait(10) == -signal.SIGTERM
    finally:
        other.kill()
        other.wait(10)


def test_connections_to_the_hosts_services_are_told_and_those_among_itself_are_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.create_server(("127.0.0.1", 0)) as server:
        listening.bind(str(tmp_path / "service"))
        listening.listen()
        port = server.getsockname()[1]
        code, errors, seen = run_observed(
            python(
                f"""
import socket
socket.create_connection(("127.0.0.1", {port}))
socket.socket(socket.AF_UNIX).connect("service")
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname())
mine = socket.socket(socket.AF_UNIX)
mine.bind("mine")
mine.listen()
socket.socket(socket.AF_UNIX).connect("mine")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 53))
"""
            ),
            tmp_path,
        )
    assert (code, errors) == (0, b"")
    wanted = (f"tcp 127.0.0.1:{port}", "udp 192.0.2.1:53", f"unix {tmp_path / 'service'}")
    assert seen.connections == wanted
    assert [(change.path, change.kind) for change in seen.changes] == [(str(tmp_path / "mine"), ChangeKind.CREATED)]


@needs_root
def test_what_acts_on_the_machine_or_on_who_one_is_is_told(tmp_path: Path) -> None:
    (tmp_path / "point").mkdir()
    name = Path("/proc/sys/kernel/hostname").read_text().strip()
    code, errors, seen = run_observed(
        python(
            f"""
import ctypes, os, socket
socket.sethostname({name!r})  # what it is
assert ctypes.CDLL(None).umount2(b"point", 0) != 0
open("/proc/sys/kernel/hostname", "r+").close()
os.setresuid(-1, -1, 0)
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
"""
        ),
        tmp_path,
    )
    assert (code, errors) == (0, b"")
    assert seen.actions == (
        f"sethostname {name}",
        "setresgid 65534",
        "setresuid 65534",
        "umount2 point",
        "write /proc/sys/kernel/hostname",
    )


@needs_root
def test_below_another_root_the_paths_are_those_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "jail/in").mkdir(parents=True)
    (tmp_path / "jail/in/file").write_text("one\n")
    (tmp_path / "jail/link").symlink_to("/in/file")
    code, errors, seen = run_observed(
        python(
            """
import os
os.chroot("jail")
open("/link", "a").write("two")
os.chdir("/in")
open("new", "w").close()
open("/../../made", "w").close()
"""
        ),
        tmp_path,
    )
    assert (code, errors) == (0, b"")
    found = {change.path.removeprefix(f"{tmp_path}/jail/"): str(change.kind) for change in seen.changes}
    assert found == {"in/file": "modified", "in/new": "created", "made": "created"}
    assert seen.unseen == ()


@needs_root
def test_a_mount_namespace_of_its_own_is_said(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    code, _, seen = run_observed("unshare -m sh -c 'echo x > file'", tmp_path)
    assert code == 0
    assert any("mount namespace" in reason for reason in seen.unseen)


def test_other_names_of_a_file_that_lie_elsewhere_are_found_or_said_to_be_missing(tmp_path: Path) -> None:
    tree, other = tmp_path / "tree", tmp_path / "other"
    for folder in (tree, other):
        folder.mkdir()
    (tree / "one").write_text("old")
    os.link(tree / "one", other / "two")
    _, _, seen = run_observed("echo new > one", tree)
    assert [change.path for change in seen.changes] == [str(tree / "one")]
    assert seen.unseen == (f"{tree}/one was written, and 1 other names of the same file were not found",)
    _, _, seen = run_observed("echo newer > one", tree, search=[str(other)])
    assert [change.path for change in seen.changes] == [str(other / "two"), str(tree / "one")]
    assert seen.changes[0].before == seen.changes[1].before
    assert seen.unseen == ()
    _, _, seen = run_observed("rm one", tree)  # which changes nothing of the other
    assert (len(seen.changes), seen.unseen) == (1, ())


def test_a_named_pipe_and_a_ring_are_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    _, _, seen = run_observed("cat pipe > /dev/null & echo x > pipe; wait", tmp_path)
    assert seen.changes == ()
    assert seen.unseen == (
        f"{tmp_path}/pipe is a named pipe: what was written to it, and who read it, was not observed",
    )
    _, _, seen = run_observed(python("import ctypes\nctypes.CDLL(None).syscall(425, 1, bytes(120))"), tmp_path)
    assert len(seen.unseen) == 1
    assert "io_uring" in seen.unseen[0]


RACER = r"""
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
static char name[64];
static volatile int over;
static void *flip(void *none) {
    while (!over) { name[0] = 'a'; name[0] = 'b'; }
    return none;
}
int main(void) {
    pthread_t thread;
    strcpy(name, "a-file");
    pthread_create(&thread, 0, flip, 0);
    for (int i = 0; i < 300; i++) { int fd = open(name, O_CREAT | O_WRONLY, 0600); if (fd >= 0) close(fd); }
    over = 1;
    pthread_join(thread, 0);
    return 0;
}
"""


@needs_gcc
def test_a_program_that_changes_its_arguments_meanwhile_is_named(tmp_path: Path) -> None:
    (tmp_path / "racer.c").write_text(RACER)
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "racer", tmp_path / "racer.c"], check=True)
    for _ in range(50):  # it takes both threads on processors at a time: on a busy machine not each time
        code, _, seen = run_observed("./racer", tmp_path)
        assert code == 0
        if seen.unseen:
            break
    assert seen.unseen in {
        (f"racer changed the arguments of {call} while they were looked at",) for call in ("open", "openat")
    }


def test_a_large_file_is_told_by_its_time_and_said_not_to_be_compared(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(300 << 20)
    os.utime(tmp_path / "large", (1, 1))
    _, _, seen = run_observed("printf x | dd of=large conv=notrunc status=none", tmp_path)
    assert [(change.kind, change.after.sha256 if change.after else "") for change in seen.changes] == [
        (ChangeKind.TOUCHED, None)
    ]
    assert seen.unseen == (f"{tmp_path}/large was opened for writing, and is too large to be compared by its content",)


def test_what_is_left_running_is_said(tmp_path: Path) -> None:
    began = time.monotonic()
    script = "sh -c 'sleep 3; echo x > late' > /dev/null 2>&1 & echo now > now"
    _, _, seen = run_observed(script, tmp_path)
    assert time.monotonic() - began < 3
    assert [change.path for change in seen.changes] == [str(tmp_path / "now")]
    assert seen.unseen == ("processes of it were left, and may change more",)
    time.sleep(max(0.0, 3.5 - (time.monotonic() - began)))  # it ends by itself; its calls fail now


def test_a_command_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    from hearth.observe import HostObserver

    for argv, error in ((["no-such-command"], FileNotFoundError), (["/"], PermissionError)):
        observer = HostObserver(yielding=True)
        words, number = observer.launch()
        process = subprocess.Popen(words, cwd=tmp_path, env={}, pass_fds=(number,))
        try:
            with pytest.raises(error):
                observer.begin(process.pid, argv, {"PATH": os.defpath}, supervised=False)
            assert process.wait(10) == 127
        finally:
            process.kill()
            observer.close()


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_set_uid_programs_are_powerless_for_an_ordinary_user(repository: Path) -> None:
    code = f"""
import sys
sys.path[:0] = [{str(repository)!r}, {str(repository / "src")!r}]
from pathlib import Path
from tests.fault.test_in_place_complete import run_observed
code, errors, seen = run_observed("grep NoNewPrivs /proc/self/status > told", Path(sys.argv[1]))
print(code, Path(sys.argv[1], "told").read_text().split(), seen.unseen)
"""
    folder = Path("/tmp") / f"observed-{os.getpid()}"
    folder.mkdir()
    try:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        ended = ordinary.run_as_nobody([sys.executable, "-c", code, str(folder)], HOME=str(folder))
    finally:
        shutil.rmtree(folder)
    assert ended.stdout == "0 ['NoNewPrivs:', '1'] ()\n", ended.stderr
