"""What a step on the host does to processes, memory and keys of others is told; what it does to its own is not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.observe import host_observer_why_not
from hearth.observe._in_place_filter import CALLS
from tests.fault.test_in_place_complete import run_observed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.observe import Observed

REASON = host_observer_why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
needs_root = pytest.mark.skipif(
    not ROOT, reason="an ordinary user may not take descriptors of processes beside its own"
)
NUMBERS = CALLS.get(os.uname().machine, {}) if hasattr(os, "uname") else {}
BEGIN = f"""
import ctypes, os, resource, socket, subprocess, sys
NUMBERS = {NUMBERS!r}
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    return libc.syscall(NUMBERS[name], *[ctypes.c_long(one) if isinstance(one, int) else one for one in arguments])
def pages(how):
    page = ctypes.create_string_buffer(4096)
    return (ctypes.c_void_p * 1)(ctypes.addressof(page)), how
"""
IPC_CREAT, IPC_RMID, IPC_STAT, IPC_SET = 0o1000, 0, 2, 1


def run(tree: Path, code: str) -> Observed:
    """Run a Python program in a folder; return what was observed of it."""
    ended, errors, seen = run_observed(f"'{sys.executable}' -I -S - <<'END'\n{BEGIN}{code}\nEND", tree)
    assert (ended, errors) == (0, b"")
    return seen


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not the step's: 5 is open for writing there, 6 for reading, 7 is a pipe."""
    (tmp_path / "theirs").write_text("before\n")
    script = "exec 5>>theirs 6<theirs 7>&1; echo; exec sleep 100"
    process = subprocess.Popen(["sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    while b"sleep" not in (tmp_path / f"/proc/{process.pid}/comm").read_bytes():
        pass
    yield process
    process.kill()
    process.communicate()


@needs_root
def test_a_descriptor_of_another_process_is_a_file_that_is_written_or_is_said(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    seen = run(
        tmp_path,
        f"""
process = os.pidfd_open({other.pid})
os.write(call("pidfd_getfd", process, 5, 0), b"by the step")
assert call("pidfd_getfd", process, 6, 0) >= 0
assert call("pidfd_getfd", process, 99, 0) < 0
child = subprocess.Popen(["sleep", "9"])
assert call("pidfd_getfd", os.pidfd_open(child.pid), 2, 0) >= 0
child.kill()
""",
    )
    assert [change.path for change in seen.changes] == [str(tmp_path / "theirs")]
    assert (seen.actions, seen.unseen) == ((), ())
    seen = run(tmp_path, f'assert call("pidfd_getfd", os.pidfd_open({other.pid}), 7, 0) >= 0')
    assert seen.changes == ()
    said = f"it took a descriptor of sleep ({other.pid}): what it did with that was not observed"
    assert seen.unseen == (said,)


ON_A_PROCESS = """
limits = ctypes.create_string_buffer(16)
assert call("prlimit64", PID, resource.RLIMIT_NOFILE, 0, limits) == 0
for change in range(CHANGES):
    assert call("prlimit64", PID, resource.RLIMIT_NOFILE, limits, 0) == 0
    os.setpriority(os.PRIO_PROCESS, PID, 19)
    assert call("ioprio_set", 1, PID, 3 << 13) == 0
    os.sched_setaffinity(PID, os.sched_getaffinity(PID))
    os.sched_setscheduler(PID, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setparam(PID, os.sched_param(0))
    call("sched_setattr", PID, 0, 0)
    page = (ctypes.c_void_p * 1)()
    status = (ctypes.c_int * 1)()
    call("move_pages", PID, 0, page, 0, status, 0)
    call("move_pages", PID, 0, page, status, status, 0)
    call("migrate_pages", PID, 0, 0, 0)
    call("process_madvise", os.pidfd_open(PID or os.getpid()), 0, 0, 20, 0)
    call("process_mrelease", os.pidfd_open(PID or os.getpid()), 1)
"""


def test_calls_on_other_processes_are_told_and_those_on_its_own_are_not(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    begin = "child = subprocess.Popen(['sleep', '99'])\n"
    for target in ("0", "os.getpid()", "child.pid"):
        seen = run(tmp_path, f"{begin}{ON_A_PROCESS.replace('PID', target).replace('CHANGES', '1')}\nchild.kill()")
        assert (seen.actions, seen.unseen) == ((), ())
    seen = run(tmp_path, ON_A_PROCESS.replace("PID", str(other.pid)).replace("CHANGES", "0"))
    assert seen.actions == ()  # it only asked
    seen = run(tmp_path, ON_A_PROCESS.replace("PID", str(other.pid)).replace("CHANGES", "1"))
    assert seen.actions == tuple(
        f"{name} sleep ({other.pid})"
        for name in sorted(
            [
                *("ioprio_set", "migrate_pages", "move_pages", "prlimit64", "process_madvise", "process_mrelease"),
                *("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "setpriority"),
            ]
        )
    )
    assert seen.unseen == ()


def test_a_priority_of_a_group_or_a_user_is_told(tmp_path: Path) -> None:
    seen = run(
        tmp_path,
        f"""
child = subprocess.Popen(["sleep", "99"], process_group=0)
os.setpriority(os.PRIO_PGRP, child.pid, 19)
child.kill()
for which, who in ((1, {2**22 + 1}), (2, {2**31 - 2})):  # nobody
    assert libc.setpriority(which, who, 19) < 0
""",
    )
    assert seen.actions == (f"setpriority of the group {2**22 + 1}", f"setpriority of the user {2**31 - 2}")


ON_IPC = """
libc.shmat.restype = ctypes.c_void_p
assert libc.shmat(SHM, None, 0o10000) != 2**64 - 1
for change in range(CHANGES):
    place = libc.shmat(SHM, None, 0)
    assert place != 2**64 - 1
    ctypes.memmove(place, b"by the step", 11)
    held = ctypes.create_string_buffer(256)
    assert libc.shmctl(SHM, 2, held) == libc.shmctl(SHM, 1, held) == 0
    assert libc.msgctl(MSG, 2, held) == libc.msgctl(MSG, 1, held) == 0
    message = (ctypes.c_long * 2)(1, 2)
    assert libc.msgsnd(MSG, message, 8, 0) == 0
    assert libc.msgrcv(MSG, message, 8, 0, 0) == 8
    operation = (ctypes.c_short * 3)(0, 1, 0)
    assert libc.semop(SEM, operation, 1) == 0
    assert libc.semctl(SEM, 0, 16, 0) == 0
    assert libc.semctl(SEM, 0, 12, 0) == 0  # GETVAL
"""


def test_memory_semaphores_and_queues_of_others_are_told_and_its_own_are_not(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    shm, sem, msg = libc.shmget(0, 4096, 0o600), libc.semget(0, 1, 0o600), libc.msgget(0, 0o600)
    theirs = ON_IPC.replace("SHM", str(shm)).replace("SEM", str(sem)).replace("MSG", str(msg))
    try:
        assert run(tmp_path, theirs.replace("CHANGES", "0")).actions == ()
        seen = run(tmp_path, theirs.replace("CHANGES", "1"))
        begin = "SHM, SEM, MSG = libc.shmget(0, 4096, 0o600), libc.semget(0, 1, 0o600), libc.msgget(0, 0o600)\n"
        end = "assert libc.shmctl(SHM, 0, 0) == libc.semctl(SEM, 0, 0) == libc.msgctl(MSG, 0, 0) == 0"
        own = run(tmp_path, begin + ON_IPC.replace("CHANGES", "1") + end)
    finally:
        libc.shmctl(shm, IPC_RMID, None)
        libc.semctl(sem, 0, IPC_RMID)
        libc.msgctl(msg, IPC_RMID, None)
    assert set(seen.actions) - {f"semop {sem}", f"semtimedop {sem}"} == {
        *(f"msgctl IPC_SET {msg}", f"msgrcv {msg}", f"msgsnd {msg}"),
        *(f"semctl SETVAL {sem}", f"shmat {shm}", f"shmctl IPC_SET {shm}"),
    }
    assert len(seen.actions) == 7
    assert own.actions == ("msgget", "semget", "shmget")  # that they were made: what is not removed stays
    assert (seen.unseen, own.unseen) == ((), ())


def test_keys_of_others_and_what_acts_on_the_machine_are_told(tmp_path: Path) -> None:
    """Each of these calls fails, or asks: nothing of this machine is changed."""
    (tmp_path / "file").touch()
    seen = run(
        tmp_path,
        """
import fcntl
add = lambda keyring: call("add_key", b"no-such-type", b"a key", b"x", 1, keyring)
assert add(-1) < 0 and add(-2) < 0  # the thread's own keyring, the process' own
assert add(-4) < 0  # the user's
assert call("request_key", b"no-such-type", b"sought", 0, 0) < 0
assert call("request_key", b"no-such-type", b"to be made", b"x", 0) < 0
assert call("keyctl", 6, 2**31 - 9, 0, 0) < 0  # KEYCTL_DESCRIBE
assert call("keyctl", 1, 0) > 0  # KEYCTL_JOIN_SESSION_KEYRING: a new one of its own
assert call("keyctl", 3, 2**31 - 9) < 0  # KEYCTL_REVOKE
call("syslog", 10, 0, 0)  # how much there is
assert call("syslog", 8, 0, 99) < 0  # there is no such level
if "iopl" in NUMBERS:
    call("iopl", 0)
    assert call("ioperm", 1 << 20, 1, 0) < 0
    assert call("iopl", 9) < 0
file = os.open("file", os.O_RDONLY)
call("quotactl_fd", file, 0x800007 << 8, 0, 0)
call("quotactl_fd", file, 0x800008 << 8, 0, 0)
attributes = ctypes.create_string_buffer(24)
call("file_setattr", -100, b"missing/file", attributes, 24, 0)
call("file_setattr", -100, b"file", attributes, 8, 0)  # too short
def request(descriptor, number, argument=b""):
    try:
        fcntl.ioctl(descriptor, number, argument)
    except OSError:
        pass
request(file, 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
request(file, 0x40086602, (1 << 31).to_bytes(8, "little"))  # FS_IOC_SETFLAGS: of a flag that nobody may set
request(os.open("/dev/null", os.O_RDONLY), 0xC0045877)  # FIFREEZE
network = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
interface = b"no-such0".ljust(40, bytes(1))
for number in (0x8913, 0x8914, 0x89A2):  # SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCBRADDIF
    request(network, number, interface)
for command in (3, 2):  # ETHTOOL_GDRVINFO, ETHTOOL_SSET
    word = ctypes.c_uint(command)
    request(network, 0x8946, b"no-such0".ljust(16, bytes(1)) + ctypes.addressof(word).to_bytes(24, "little"))
""",
    )
    assert set(seen.actions) - {"iopl 9"} == {
        "add_key no-such-type a key",
        f"file_setattr {tmp_path}/file",
        f"ioctl FS_IOC_SETFLAGS {tmp_path}/file",
        "ioctl FIFREEZE /dev/null",
        "ioctl SIOCBRADDIF no-such0",
        "ioctl SIOCETHTOOL no-such0",
        "ioctl SIOCSIFFLAGS no-such0",
        f"keyctl REVOKE {2**31 - 9}",
        f"quotactl_fd {tmp_path}/file",
        "request_key no-such-type to be made",
        "syslog CONSOLE_LEVEL",
    }
    assert ("iopl 9" in seen.actions) == ("iopl" in NUMBERS)
    assert (seen.changes, seen.unseen) == ((), ())


@needs_root
def test_numbers_of_other_namespaces_are_said(tmp_path: Path) -> None:
    code = """
assert libc.unshare(0x8000000) == 0  # CLONE_NEWIPC
held = libc.shmget(0, 4096, 0o600)
assert libc.shmctl(held, 0, 0) == 0
assert libc.unshare(0x20000000) == 0  # CLONE_NEWPID
if os.fork() == 0:
    os.setpriority(os.PRIO_PROCESS, 1, 19)  # itself
    os._exit(0)
os.wait()
"""
    seen = run(tmp_path, code)
    assert seen.actions == ("shmget",)
    assert len(seen.unseen) == 2
    assert any("System V IPC of a namespace" in reason for reason in seen.unseen)
    assert any("numbers of a process namespace" in reason for reason in seen.unseen)
