"""Ways out of a sandbox, as a program: each is tried, and what became of it is printed as JSON.

    _escapes.py try ARGUMENTS     the ways, in the process that runs this; ARGUMENTS is JSON
    _escapes.py host FOLDER       a sandbox over a prepared folder in which that is run, and how it ended

The clock is only ever set to the time that it has, a setting to the value that it has, and no process is signalled but
the one that the test started: where a way is open, this machine stays as it was.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import pty
import signal
import socket
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS: dict[str, Callable[[dict[str, Any]], None]] = {}
# What is open to a bare program, and harmless: these show that the tries are real ones.
OPEN_OUTSIDE = (
    "abstract_socket",
    "host_fifo",
    "host_port",
    "host_socket",
    "hidden_file",
    "hidden_folder",
    "memory_of_host_process",
    "signal_to_host_process",
    "state_folder",
)
NUMBERS = {"x86_64": 0, "aarch64": 1}
CALLS = {
    "add_key": (248, 217), "bpf": (321, 280), "clone3": (435, 435), "delete_module": (176, 106), "fsopen": (430, 430),
    "init_module": (175, 105), "io_uring_setup": (425, 425), "kexec_load": (246, 104), "keyctl": (250, 219),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "perf_event_open": (298, 241), "pivot_root": (155, 41), "quotactl": (179, 60), "request_key": (249, 218),
    "settimeofday": (164, 170), "swapoff": (168, 225), "syslog": (103, 116), "userfaultfd": (323, 282),
}  # fmt: skip
DAEMON = "hearth-escape-daemon"
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_REMOUNT_READ_ONLY = 32 | 1
_SHORT = 100


def way(function: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Take a function among the ways; it returns when the way is open, and raises OSError when it is not."""
    WAYS[function.__name__] = function
    return function


def closed(why: str) -> OSError:
    return OSError(errno.EPERM, why)


def called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    called(libc().syscall(CALLS[name][NUMBERS[os.uname().machine]], *arguments))


def write_back(path: str) -> None:
    """Write to a setting what stands in it."""
    value = Path(path).read_bytes()
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, value)
    finally:
        os.close(descriptor)


def open_to_write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))


# --- the machine


@way
def set_clock(_: dict[str, Any]) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time())


@way
def set_time_of_day(_: dict[str, Any]) -> None:
    now = time.time()
    call("settimeofday", (ctypes.c_long * 2)(int(now), int(now % 1 * 1e6)), None)


@way
def adjust_clock(_: dict[str, Any]) -> None:
    called(libc().adjtimex(ctypes.create_string_buffer(struct.pack("I", 0x8000) + bytes(300))))  # sets the same tick


@way
def sysctl(_: dict[str, Any]) -> None:
    write_back("/proc/sys/vm/swappiness")


@way
def core_pattern(_: dict[str, Any]) -> None:
    write_back("/proc/sys/kernel/core_pattern")


@way
def host_name(_: dict[str, Any]) -> None:
    socket.sethostname(socket.gethostname())


@way
def sysrq(_: dict[str, Any]) -> None:
    Path("/proc/sysrq-trigger").write_text("h")


@way
def settings_in_proc(_: dict[str, Any]) -> None:
    """Nothing that is not about processes can be opened for writing."""
    opened = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() or entry.is_symlink():
            continue
        for folder, _folders, files in [("/proc", [], [entry.name])] if entry.is_file() else os.walk(entry.path):
            for path in (Path(folder, name) for name in files):
                with suppress(OSError):
                    if path.lstat().st_mode & 0o222:
                        open_to_write(str(path))
                        opened.append(path)
    if all(path.stat().st_rdev == os.makedev(1, 3) for path in opened):  # what is covered is /dev/null
        raise closed("none")


@way
def settings_in_sys(_: dict[str, Any]) -> None:
    for path in ("/sys/power/state", "/sys/kernel/uevent_helper", "/sys/kernel/profiling", "/sys/module/printk/uevent"):
        if Path(path).exists():
            open_to_write(path)
    raise closed("none is there")


@way
def control_group(_: dict[str, Any]) -> None:
    folders = [folder for folder, _, files in os.walk("/sys/fs/cgroup") if "cgroup.procs" in files]
    if not folders:
        raise closed("there are none")
    new = Path(folders[0], "hearth-escape")
    new.mkdir()
    new.rmdir()


@way
def make_device(given: dict[str, Any]) -> None:
    number = next((path.read_text() for path in Path("/sys/class/block").glob("*/dev")), "8:0")
    major, minor = map(int, number.split(":"))
    os.mknod(f"{given['canary']}/disk", stat.S_IFBLK | 0o600, os.makedev(major, minor))


@way
def open_disk(_: dict[str, Any]) -> None:
    for disk in Path("/sys/class/block").iterdir():
        with suppress(FileNotFoundError):
            os.close(os.open(f"/dev/{disk.name}", os.O_RDONLY))
            return
    raise closed("none is there")


@way
def open_kernel_log(_: dict[str, Any]) -> None:
    open_to_write("/dev/kmsg")


@way
def mode_of_a_device(_: dict[str, Any]) -> None:
    null = Path("/dev/null")
    null.chmod(stat.S_IMODE(null.stat().st_mode))


@way
def owner_of_a_device(_: dict[str, Any]) -> None:
    os.chown("/dev/zero", Path("/dev/zero").stat().st_uid, -1)


@way
def control_block(_: dict[str, Any]) -> None:
    call("swapoff", b"/nonexistent")


@way
def kernel_messages(_: dict[str, Any]) -> None:
    call("syslog", 3, ctypes.create_string_buffer(16), 16)


@way
def vsock(_: dict[str, Any]) -> None:
    socket.socket(40, socket.SOCK_STREAM).close()


@way
def raw_packets(_: dict[str, Any]) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def refused_call(name: str, *arguments: object) -> None:
    def try_it(_: dict[str, Any]) -> None:
        call(name, *arguments)

    WAYS[f"call_{name}"] = try_it


refused_call("add_key", b"user", b"hearth", b"x", 1, -3)
refused_call("bpf", 0, ctypes.create_string_buffer(128), 72)
refused_call("delete_module", b"hearth_none", 0)
refused_call("fsopen", b"tmpfs", 0)
refused_call("init_module", b"", 0, b"")
refused_call("io_uring_setup", 1, ctypes.create_string_buffer(256))
refused_call("kexec_load", 0, 0, None, 0)
refused_call("keyctl", 0, -3, 1)
refused_call("open_tree", -100, b"/", 1)
refused_call("perf_event_open", ctypes.create_string_buffer(struct.pack("II", 1, 128) + bytes(120)), 0, -1, -1, 0)
refused_call("quotactl", 0, None, 0, None)
refused_call("request_key", b"user", b"hearth", None, -3)
refused_call("userfaultfd", 1)


# --- mounts, namespaces, the root


@way
def remount(_: dict[str, Any]) -> None:
    called(libc().mount(None, b"/dev", None, ctypes.c_ulong(_REMOUNT_READ_ONLY), None))


@way
def unmount(given: dict[str, Any]) -> None:
    called(libc().umount2(os.fsencode(given["hidden"]), 2))


@way
def own_user_namespace(_: dict[str, Any]) -> None:
    called(libc().unshare(_NEWUSER))


@way
def own_network_namespace(_: dict[str, Any]) -> None:
    called(libc().unshare(_NEWUSER | _NEWNET))


@way
def clone_into_a_user_namespace(_: dict[str, Any]) -> None:
    # struct clone_args: the flags, then what stays zero
    pid = libc().syscall(CALLS["clone3"][0], struct.pack("Q10Q", _NEWUSER, *[0] * 3, signal.SIGCHLD, *[0] * 6), 88)
    if pid == 0:
        os._exit(0)
    called(pid)
    os.waitpid(pid, 0)


@way
def enter_namespaces_of_init(_: dict[str, Any]) -> None:
    for name in ("mnt", "pid", "net", "user", "uts", "ipc"):
        with suppress(PermissionError):
            descriptor = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
            called(libc().setns(descriptor, 0))
            return
    raise closed("none")


@way
def chroot_escape(given: dict[str, Any]) -> None:
    """The classic one: a root below the descriptor that is held, and then up from there."""
    inner = f"{given['canary']}/inner"
    Path(inner).mkdir()
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    before = os.fstat(root)
    os.chroot(inner)
    os.fchdir(root)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    after = Path("/").stat()
    if (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino):
        raise closed("it is the sandbox's own root")


@way
def root_of_init(given: dict[str, Any]) -> None:
    Path(f"/proc/1/root{given['canary']}/through-init").write_text("x")


@way
def memory_of_init(_: dict[str, Any]) -> None:
    os.close(os.open("/proc/1/mem", os.O_RDONLY))


@way
def environment_of_init(_: dict[str, Any]) -> None:
    Path("/proc/1/environ").read_bytes()


@way
def descriptors_of_init(_: dict[str, Any]) -> None:
    for name in range(64):
        with suppress(FileNotFoundError):
            Path(f"/proc/1/fd/{name}").readlink()


@way
def trusted_attribute(given: dict[str, Any]) -> None:
    os.setxattr(f"{given['canary']}/a", "trusted.overlay.opaque", b"y")


@way
def whiteout(given: dict[str, Any]) -> None:
    os.mknod(f"{given['canary']}/whiteout", stat.S_IFCHR, 0)


@way
def become_root(_: dict[str, Any]) -> None:
    os.setuid(0)
    os.mknod("/dev/shm/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))


# --- processes and what they listen to


@way
def signal_to_host_process(given: dict[str, Any]) -> None:
    os.kill(given["process"], signal.SIGCONT)


@way
def memory_of_host_process(given: dict[str, Any]) -> None:
    os.close(os.open(f"/proc/{given['process']}/maps", os.O_RDONLY))


@way
def trace_host_process(given: dict[str, Any]) -> None:
    called(libc().ptrace(0x4206, given["process"], None, None))  # PTRACE_SEIZE


@way
def trace_init(_: dict[str, Any]) -> None:
    called(libc().ptrace(0x4206, 1, None, None))


@way
def limits_of_host_process(given: dict[str, Any]) -> None:
    import resource

    resource.prlimit(given["process"], resource.RLIMIT_NOFILE)


@way
def kill_init(_: dict[str, Any]) -> None:
    os.kill(1, signal.SIGKILL)
    time.sleep(0.05)
    raise closed("it goes on")  # this is what the kernel does for the init of a namespace


@way
def abstract_socket(given: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + given["abstract"])


@way
def host_socket(given: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(f"{given['canary']}/socket")


@way
def host_port(given: dict[str, Any]) -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", given["port"]))


@way
def host_fifo(given: dict[str, Any]) -> None:
    open_to_write(f"{given['canary']}/fifo")


@way
def terminal_input(_: dict[str, Any]) -> None:
    with suppress(OSError):
        os.setsid()
    fcntl.ioctl(0, 0x5412, b"x")  # TIOCSTI


@way
def own_terminal_input(_given: dict[str, Any]) -> None:
    _master, slave = pty.openpty()
    fcntl.ioctl(slave, 0x5412, b"x")


@way
def other_numbers_of_calls(_: dict[str, Any]) -> None:
    """The x32 numbers would go past a filter; a program that uses them is killed."""
    if os.uname().machine != "x86_64":
        raise closed("there are none")
    pid = os.fork()
    if pid == 0:
        libc().syscall(0x40000000 + 39)
        os._exit(0)
    if os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSYS:
        raise closed("killed")


@way
def inherited_descriptors(given: dict[str, Any]) -> None:
    found = set()
    for number in range(1024):
        with suppress(OSError):
            os.fstat(number)
            found.add(number)
    if found <= {0, 1, 2, given["answer"]}:
        raise closed("none beyond those that were passed")


@way
def passed_descriptors(given: dict[str, Any]) -> None:
    """A descriptor of the host's that comes over a socket would be a way out; there is nobody to send one."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(f"{given['canary']}/socket")
        one.recvmsg(1, socket.CMSG_SPACE(array.array("i").itemsize))


# --- what is hidden


@way
def state_folder(given: dict[str, Any]) -> None:
    new = Path(given["state"], "escape")
    new.mkdir()
    new.rmdir()


@way
def hidden_folder(given: dict[str, Any]) -> None:
    Path(f"{given['hidden']}/secret").read_text()


@way
def hidden_file(given: dict[str, Any]) -> None:
    if not Path(f"{given['hidden']}-file").read_text():
        raise closed("it is empty")


def tried(given: dict[str, Any]) -> dict[str, str]:
    """Try each of the ways that are asked for, in a process of its own; `open`, or how it is closed."""
    found = {}
    for name in given["ways"]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            answer = "open"
            try:
                WAYS[name]({**given, "answer": writing})
            except OSError as error:
                answer = f"closed: {error.strerror or error}"
            except BaseException as error:  # noqa: BLE001 - it is told
                answer = f"broken: {type(error).__name__}: {error}"
            os.write(writing, answer.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answered:
            found[name] = answered.read().decode() or "broken: it ended without a word"
        os.waitpid(pid, 0)
    return found


def leave_daemon() -> None:
    """Leave a process behind that is nobody's child, in a session of its own, with no descriptor of ours."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            os.execv(sys.executable, [DAEMON, "-c", "import time; time.sleep(60)"])  # noqa: S606 - ours
        os._exit(0)


def run_in_sandbox(folder: Path) -> dict[str, Any]:
    """Run the tries in a sandbox over the host; return what they found, and how it ended."""
    from hearth.observe._sandbox import Layout, SandboxServer

    given = json.loads((folder / "given.json").read_text())
    given["ways"] = sorted(WAYS)
    state = Path(given["state"])
    state.mkdir(mode=0o700, exist_ok=True)
    layout = Layout(
        state=state,
        layer="0",
        hidden=(Path(given["hidden"]), Path(given["hidden"] + "-file")),
        places=(folder,),
    )
    argv = [sys.executable, __file__, "try", json.dumps(given)]
    request = {"argv": argv, "cwd": given["canary"], "env": {"PATH": os.environ["PATH"]}, "targets": [0, 1, 2]}
    reading, writing = os.pipe()
    master, slave = pty.openpty()
    with SandboxServer() as server:
        process = server.start(
            layout,
            "hearth.observe._command:run_command",
            json.dumps(request).encode(),
            descriptors=[slave, writing, 2],
            linger=0.2,
        )
        os.close(writing)
        os.close(slave)
        with os.fdopen(reading, "rb") as output:
            printed = output.read()
        end = process.wait(60)
    os.set_blocking(master, False)
    typed = b""
    with suppress(OSError):
        typed = os.read(master, _SHORT)
    return {
        "ways": json.loads(printed or b"{}"),
        "code": end.code,
        "left": end.left,
        "problem": end.problem,
        "connections": end.connections,
        "unseen": end.unseen,
        "typed": typed.decode(),
    }


if __name__ == "__main__":
    if sys.argv[1] == "try":
        sys.stdout.write(json.dumps(tried(json.loads(sys.argv[2]))))
        sys.stdout.flush()
        leave_daemon()
    else:
        sys.stdout.write(json.dumps(run_in_sandbox(Path(sys.argv[2]))))
