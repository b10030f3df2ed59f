"""What a process that is started here inherits from this one. Linux."""

from __future__ import annotations

import os

__all__ = ["inherited"]

_STATUS = frozenset(
    {
        b"Umask", b"Uid", b"Gid", b"Groups", b"CapInh", b"CapPrm", b"CapBnd", b"CapAmb", b"NoNewPrivs", b"Seccomp",
        b"Seccomp_filters", b"Cpus_allowed", b"Mems_allowed",
    }
)  # fmt: skip
_SPACES = tuple(
    f"/proc/thread-self/ns/{name}" for name in ("cgroup", "ipc", "mnt", "net", "pid_for_children", "user", "uts")
)


def inherited() -> tuple[object, ...]:
    """Return something that compares equal as long as a new process would inherit the same from the calling thread.

    That is: users and groups, capabilities, umask, limits, the cgroup, namespaces, processors, priority, and the root
    folder; not the environment and the current folder, which are said with each command. OSError without /proc.
    """
    root = os.stat("/")  # noqa: PTH116 - done before every command: pathlib would take twice the time of all this
    return (
        [line for line in _content("status").split(b"\n") if line.partition(b":")[0] in _STATUS],
        _content("limits"),
        _content("cgroup"),
        [os.readlink(space) for space in _SPACES],  # noqa: PTH115 - as above
        os.getpriority(os.PRIO_PROCESS, 0),
        (root.st_dev, root.st_ino),
    )


def _content(name: str) -> bytes:
    file = os.open(f"/proc/thread-self/{name}", os.O_RDONLY)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)
