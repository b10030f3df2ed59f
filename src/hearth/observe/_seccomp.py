"""The system calls that a sandboxed program may not make, as a seccomp filter (seccomp(2), filter mode). Linux."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from hearth.observe._linux import system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["install_filter"]

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_SET_MODE_FILTER = 1
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = 1, 38
_X32 = 0x40000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# What acts on the machine rather than on files, or would go past what is observed.
_REFUSED = {
    "x86_64": {
        "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227,
        "delete_module": 176, "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
        "init_module": 175, "ioperm": 173, "iopl": 172, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250,
        "mount": 165, "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "open_tree": 428, "perf_event_open": 298, "pivot_root": 155, "quotactl": 179, "quotactl_fd": 443, "reboot": 169,
        "request_key": 249, "setdomainname": 171, "sethostname": 170, "setns": 308, "settimeofday": 164,
        "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "userfaultfd": 323, "vhangup": 153,
    },
    "aarch64": {
        "acct": 89, "add_key": 217, "adjtimex": 171, "bpf": 280, "clock_adjtime": 266, "clock_settime": 112,
        "delete_module": 106, "finit_module": 273, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
        "init_module": 105, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "mount": 40,
        "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": 264, "open_by_handle_at": 265, "open_tree": 428,
        "perf_event_open": 241, "pivot_root": 41, "quotactl": 60, "quotactl_fd": 443, "reboot": 142, "request_key": 218,
        "setdomainname": 162, "sethostname": 161, "setns": 268, "settimeofday": 170, "swapoff": 225, "swapon": 224,
        "syslog": 116, "umount2": 39, "userfaultfd": 282, "vhangup": 58,
    },
}  # fmt: skip
_IO_URING = (425, 426, 427)  # setup, enter, register; a ring would do file work that no filter sees
_IOCTL = {"x86_64": 16, "aarch64": 29}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


def install_filter() -> None:
    """Install the filter for this process and all that come of it; NO_NEW_PRIVS must be set. OSError."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(_ENOSYS, f"no filter is known for the architecture {machine}", "seccomp")
    instructions = list(_program(machine))
    code = b"".join(struct.pack("HBBI", *one) for one in instructions)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(held))
    system_call("seccomp", _SECCOMP[machine], _SET_MODE_FILTER, 0, ctypes.create_string_buffer(program, len(program)))


def _program(machine: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (code, jump if true, jump if false, constant); the offsets are those of struct seccomp_data."""
    yield _LOAD, 0, 0, 4  # arch: another ABI numbers its calls in another way
    yield _EQUAL, 1, 0, _ARCHITECTURES[machine]
    yield _RETURN, 0, 0, _KILL_PROCESS
    yield _LOAD, 0, 0, 0  # nr
    if machine == "x86_64":
        yield _AT_LEAST, 0, 1, _X32
        yield _RETURN, 0, 0, _KILL_PROCESS
    for number in sorted(_REFUSED[machine].values()):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERRNO | _EPERM
    for number in _IO_URING:
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERRNO | _ENOSYS
    yield _EQUAL, 0, 5, _IOCTL[machine]
    yield _LOAD, 0, 0, 16 + 8  # the low half of the second argument
    yield _EQUAL, 1, 0, _TIOCSTI
    yield _EQUAL, 0, 1, _TIOCLINUX
    yield _RETURN, 0, 0, _ERRNO | _EPERM
    yield _LOAD, 0, 0, 0
    yield _RETURN, 0, 0, _ALLOW
