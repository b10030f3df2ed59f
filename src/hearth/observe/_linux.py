"""The system calls of a sandbox that Python does not offer. Linux; loads nothing until it is called."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Any

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "bind_read_only",
    "copy_of_descriptor",
    "drop_capabilities",
    "mount",
    "network_capabilities_off",
    "no_new_privileges",
    "parent_death_signal",
    "pidfd_getfd",
    "pivot_to",
    "read_only_tree",
    "set_dumpable",
    "signed",
    "system_call",
    "unshare",
]

# Flags of clone(2) and mount(2).
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_MNT_DETACH = 2
_MOST_DATA = 4096  # bytes, with the zero byte at the end
_AT_RECURSIVE = 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522  # capset(2), version 3
_NETWORK_CAPABILITIES = 0b1111 << 10  # CAP_NET_BIND_SERVICE, _BROADCAST, _ADMIN, _RAW
_OF_THE_THREAD = os.O_EXCL  # PIDFD_THREAD, Linux 6.9
# Numbers that are the same on every architecture since Linux 5; the others stand by architecture.
_MOUNT_SETATTR, _PIDFD_GETFD = 442, 438
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capget": 125, "capset": 126},
    "aarch64": {"pivot_root": 41, "capget": 90, "capset": 91},
}


def signed(value: int) -> int:
    """Return the number that the kernel reads in an argument where it wants an int: a descriptor, a process."""
    return ctypes.c_int32(value).value


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def system_call(name: str, number: int, *arguments: Any) -> int:
    """Call by number; OSError with `name` where it fails."""
    return _done(int(_libc().syscall(number, *arguments)), name)


def _number(name: str) -> int:
    numbers = _NUMBERS.get(os.uname().machine, {})
    if name not in numbers:
        raise OSError(errno.ENOSYS, f"{name} is not known for the architecture {os.uname().machine}", name)
    return numbers[name]


def unshare(flags: int) -> None:
    """Leave the namespaces of these flags (unshare(2))."""
    _done(_libc().unshare(flags), f"unshare {flags:#x}")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    """Mount something (mount(2)); a path is relative to the current folder as usual."""
    if len(os.fsencode(data)) >= _MOST_DATA:  # the kernel would cut it off, and mount something else
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), f"mount {kind} on {target}: options too long")
    done = _libc().mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    _done(done, f"mount {kind or ''} {source or ''} on {target}".replace("  ", " "))


def read_only_tree(path: str) -> None:
    """Make a mount and all below it read-only, without set-uid programs and devices (mount_setattr(2), Linux 5.12)."""
    _set_attributes(path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, _AT_RECURSIVE)


def bind_read_only(source: str, target: str) -> None:
    """Show one file or device at a second place. A device can be written there, but its mode and owner stay."""
    mount(source, target, None, MS_BIND)
    _set_attributes(target, _ATTR_RDONLY, 0)


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    held = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(held))
    place = (ctypes.c_int(-100), os.fsencode(path), ctypes.c_uint(flags))
    system_call(f"mount_setattr {path}", _MOUNT_SETATTR, *place, ctypes.byref(held), size)


def pivot_to(root: str) -> None:
    """Make `root`, a mount, the root of this mount namespace, and let go of the old one (pivot_root(2), "Notes")."""
    os.chdir(root)
    system_call("pivot_root", _number("pivot_root"), b".", b".")
    _done(_libc().umount2(b".", _MNT_DETACH), "umount2 of the old root")
    os.chdir("/")


def parent_death_signal(number: int) -> None:
    """Have the kernel send a signal when the parent dies."""
    _done(_libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def set_dumpable(value: bool) -> None:
    """Let others of this user read this process' memory and descriptors through /proc, or not (PR_SET_DUMPABLE)."""
    _done(_libc().prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(value), 0, 0, 0), "prctl PR_SET_DUMPABLE")


def pidfd_getfd(process: int, descriptor: int) -> int:
    """Return a copy of another process' descriptor (pidfd_getfd(2), Linux 5.6)."""
    return system_call("pidfd_getfd", _PIDFD_GETFD, process, descriptor, 0)


def copy_of_descriptor(proc: int, thread: int, descriptor: int) -> int:
    """Return a copy of a descriptor of a thread, which may not be its process' first one; `proc` is its /proc."""
    try:
        process = os.pidfd_open(thread, _OF_THE_THREAD)
    except OSError:
        with os.fdopen(os.open(f"{thread}/status", os.O_RDONLY, dir_fd=proc), errors="replace") as lines:
            process = os.pidfd_open(next(int(line.split()[1]) for line in lines if line.startswith("Tgid:")))
    try:
        return pidfd_getfd(process, descriptor)
    finally:
        os.close(process)


def no_new_privileges() -> None:
    """Let no program gain privileges by set-uid, set-gid or capabilities from here on."""
    _done(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS")


def drop_capabilities() -> None:
    """Give up every capability, for good."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # beyond the last one that this kernel knows
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    system_call("capset", _number("capset"), ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def network_capabilities_off() -> None:
    """Do without the rights over networks, in what this process does from here on."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; and the same of the higher ones
    system_call("capget", _number("capget"), ctypes.byref(header), ctypes.byref(held))
    held[0] &= ~_NETWORK_CAPABILITIES
    system_call("capset", _number("capset"), ctypes.byref(header), ctypes.byref(held))
