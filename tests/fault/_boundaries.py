"""Less known ways to act on the host out of a sandbox: the work that test_sandbox_boundaries.py has done there.

What could do harm is tried only with what changes nothing: a value that stands there already, a restart with
numbers that no kernel takes, a file that is not there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ATTEMPTS", "attempt", "fail"]

Given = dict[str, Any]
_CALLS = {  # on x86-64, and on arm64 (linux/unistd.h)
    "acct": (163, 89), "clock_adjtime": (305, 266), "finit_module": (313, 273), "fsmount": (432, 432),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "iopl": (172, -1), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_vm_writev": (311, 271), "quotactl_fd": (443, 443), "reboot": (169, 142), "setdomainname": (171, 162),
    "sethostname": (170, 161), "setns": (308, 268), "swapon": (167, 224), "umount2": (166, 39),
    "unshare": (272, 97),
}  # fmt: skip
_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
_REMOUNT, _BIND, _DETACH = 32, 4096, 2
_HERE = -100
_TIOCSTI, _TIOCLINUX, _FS_IOC_SETFLAGS, _IMMUTABLE = 0x5412, 0x541C, 0x40086602, 0x10


def call(name: str, *arguments: Any) -> int:
    """Make a system call by its number: no library stands between. OSError."""
    number = _CALLS[name][0 if os.uname().machine == "x86_64" else 1]
    libc = ctypes.CDLL(None, use_errno=True)
    passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *passed))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _write_back(path: str) -> None:
    """Write into one of the kernel's files what stands there."""
    _write(path, Path(path).read_bytes())


def _own_root(given: Given) -> None:
    _write("/proc/self/root" + given["canary"], b"overwritten")


def _foreign_abi(number: int) -> None:
    """Call by the numbers of 32-bit programs (x86-64): `mov eax, number; int 0x80; ret`."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8" + struct.pack("=I", number) + b"\xcd\x80\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def _connect(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(address)
        ours.sendall(b"from the sandbox")


def _select_console(given: Given) -> None:
    fcntl.ioctl(given["descriptors"][1], _TIOCLINUX, b"\x06")


def _immutable(given: Given) -> None:
    with Path(given["canary"]).open("rb") as file:
        fcntl.ioctl(file, _FS_IOC_SETFLAGS, struct.pack("=l", _IMMUTABLE))


def _shared_memory(given: Given) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    if libc.shmat(given["segment"], None, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")


def _limits_of_init(_: Given) -> None:
    ctypes.CDLL(None, use_errno=True).shmget(4711, 4096, 0o1600)  # IPC_CREAT
    resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))


def _descriptors(_: Given) -> list[str]:
    """Where each open descriptor leads."""
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):  # noqa: PTH208 - numbers
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")  # noqa: PTH115 - as above
        except OSError:
            continue  # the listing's own
    return found


def _kill_all(given: Given) -> list[int]:
    """Kill whatever can be: all at once, the init, and the number of a process of the host."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    refused = []
    for pid, number in (
        (-1, signal.SIGTERM),
        (1, signal.SIGKILL),
        (1, signal.SIGSTOP),
        (given["victim"], signal.SIGKILL),
    ):
        try:
            os.kill(pid, number)
        except OSError as error:
            refused.append(error.errno or 0)
    return refused


def _set_user_id(_: Given) -> str:
    """Run a copy of `id` that belongs to another user and changes to it."""
    copy = Path("/tmp/set-user-id")
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(copy, 1, 1)
    copy.chmod(0o6755)
    return subprocess.run([copy, "-u"], check=True, capture_output=True, text=True).stdout.strip()


def _status(_: Given) -> str:
    """What holds for this process and for all that it starts."""
    words = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return f"NoNewPrivs {words['NoNewPrivs']}, Seccomp {words['Seccomp']}"


def _namespaces(_: Given) -> dict[str, str]:
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "ipc", "uts", "net", "user")}  # noqa: PTH115


def _unshared(given: Given) -> None:
    """Uncover what is hidden from within mounts of one's own."""
    call("unshare", _NEW_MOUNTS)
    call("umount2", given["hidden"].encode(), _DETACH)


def _raise_priority(_: Given) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _raise_limit(_: Given) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
    except ValueError as error:
        raise OSError(errno.EPERM, str(error)) from error


def _loopback_flags(_: Given) -> None:
    """Set the flags of `lo` as they are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, fcntl.ioctl(one, 0x8913, struct.pack("16sH22x", b"lo", 0)))


def _get_init_descriptor(_: Given) -> None:
    process = os.pidfd_open(1)
    for number in range(3, 20):
        try:
            call("pidfd_getfd", process, number, 0)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        else:
            return
    raise OSError(errno.EBADF, "it has none")


def _handle(given: Given) -> None:
    held = ctypes.create_string_buffer(struct.pack("=Ii", 8, 1) + struct.pack("=II", 2, 0) + bytes(120))
    place = os.open(given["canary"], os.O_RDONLY)
    os.close(call("open_by_handle_at", place, ctypes.byref(held), os.O_RDONLY))


ATTEMPTS: dict[str, Callable[[Given], Any]] = {
    # --- the machine's clock, kernel and power
    "clock_adjtime": lambda _: call("clock_adjtime", 0, ctypes.byref(ctypes.create_string_buffer(256))),
    "reboot": lambda _: call("reboot", 0, 0, 0, None),
    "finit_module": lambda _: call("finit_module", -1, b"", 0),
    "acct": lambda _: call("acct", b"/there-is-no-such-file"),
    "swapon": lambda _: call("swapon", b"/there-is-no-such-file", 0),
    "quotactl_fd": lambda _: call("quotactl_fd", -1, 0, 0, None),
    "io_uring_enter": lambda _: call("io_uring_enter", -1, 0, 0, 0, None, 0),
    "io_uring_register": lambda _: call("io_uring_register", -1, 0, None, 0),
    "sethostname": lambda _: call("sethostname", b"other", 5),
    "setdomainname": lambda _: call("setdomainname", b"other", 5),
    "iopl": lambda _: call("iopl", 3),
    "int-0x80": lambda _: _foreign_abi(20),
    "real-time": _raise_priority,
    "limits": _raise_limit,
    "oom-score": lambda _: _write("/proc/self/oom_score_adj", b"-1000"),
    # --- the kernel's files and devices
    "sys": lambda _: _write_back("/sys/kernel/mm/transparent_hugepage/enabled"),
    "cgroup-join": lambda given: _write(f"{given['cgroup']}/cgroup.procs", b"0"),
    "mknod-dev": lambda given: os.mknod("/dev/disk", 0o60666, given["disk"]),
    "devices": lambda _: sorted(os.listdir("/dev")),  # noqa: PTH208 - texts
    # --- mounts, namespaces and files
    "namespaces": _namespaces,
    "mount-proc": lambda _: call("mount", b"proc", b"/tmp", b"proc", 0, None),
    "pivot_root": lambda _: call("pivot_root", b".", b"."),
    "move_mount": lambda given: call("move_mount", _HERE, given["hidden"].encode(), _HERE, b"/tmp", 0),
    "fsmount": lambda _: call("fsmount", -1, 0, 0),
    "mount_setattr": lambda given: call(
        "mount_setattr", _HERE, given["state"].encode(), 0, ctypes.byref((ctypes.c_uint64 * 4)(0, 1, 0, 0)), 32
    ),
    "name_to_handle_at": lambda _: call("name_to_handle_at", _HERE, b"/", None, None, 0),
    "open_by_handle_at": _handle,
    "unshare-and-uncover": _unshared,
    "setns": lambda _: call("setns", os.open("/proc/self/ns/mnt", os.O_RDONLY), 0),
    "own-root": _own_root,
    "move-hidden": lambda given: Path(given["hidden"]).rename("/tmp/moved"),
    "move-above-hidden": lambda given: os.listdir(Path(given["hidden"]).parent.rename("/tmp/moved") / "hidden"),  # noqa: PTH208
    "trusted-xattr": lambda given: os.setxattr(given["folder"], "trusted.overlay.opaque", b"y"),
    "user-xattr": lambda given: os.setxattr(given["folder"], "user.overlay.opaque", b"y"),
    "immutable": _immutable,
    # --- processes
    "kill-all": _kill_all,
    "process_vm_writev": lambda _: call(
        "process_vm_writev",
        1,
        ctypes.byref((ctypes.c_long * 2)(4096, 1)),
        1,
        ctypes.byref((ctypes.c_long * 2)(4096, 1)),
        1,
        0,
    ),
    "pidfd_getfd": _get_init_descriptor,
    "descriptors": _descriptors,
    "set-user-id": _set_user_id,
    "status": _status,
    # --- ways to others
    "abstract-socket": lambda given: _connect("\0" + given["abstract"]),
    "shared-memory": _shared_memory,
    "loopback-flags": _loopback_flags,
    "tioclinux": _select_console,
    "limits-of-init": _limits_of_init,
}


def attempt(payload: bytes, descriptors: list[int]) -> int:
    """Make the attempt that the payload names; write to the first descriptor what came of it, as JSON."""
    given = {**json.loads(payload), "descriptors": descriptors}
    if os.readlink("/proc/self/ns/pid") == given["namespace"]:  # noqa: PTH115 - no path
        return 1  # this is the host: nothing of all that may be tried
    try:
        value = ATTEMPTS[given["attempt"]](given)
        outcome = {"value": value if isinstance(value, (str, list, dict, type(None))) else "done"}
    except OSError as error:
        outcome = {"refused": errno.errorcode.get(error.errno or 0, str(error))}
    os.write(descriptors[0], json.dumps(outcome).encode())
    sys.stdout.flush()
    return 0


def fail(payload: bytes, _descriptors: list[int]) -> int:
    """Fail with a text of one's own, which may hold what moves a terminal."""
    raise ValueError(payload.decode())
