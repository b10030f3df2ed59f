"""What a sandboxed program may not call, and what is looked at when it is called: a seccomp filter. Linux.

Sources: seccomp(2), filter mode; seccomp_unotify(2); the numbers are those of the kernel's system call tables.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from hearth.observe._bpf import (
    ALLOW,
    ANY_BIT,
    ARCHITECTURES,
    EQUAL,
    ERRNO,
    KILL_PROCESS,
    NOTIFY,
    RETURN,
    SECCOMP,
    argument,
    number_of_call,
    packed,
    when,
    with_an_address,
)
from hearth.observe._linux import system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.observe._bpf import Instruction

__all__ = ["WATCHED", "install_filter"]

_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_INIT = 1  # which looks at what a step leaves behind, and needs its limits for that
# A user or network namespace of its own gives a program every capability in it, and with them far more of the kernel.
_NEW_NAMESPACES = 0x10000000 | 0x40000000
# Other families (vsock, Bluetooth …) are not divided by network namespaces: unix, inet, inet6, netlink, packet, alg.
_FAMILIES = (1, 2, 10, 16, 17, 38)
# What acts on the machine rather than on files, or would go past what is observed.
_REFUSED = {
    "x86_64": {
        "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227,
        "delete_module": 176, "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
        "init_module": 175, "ioperm": 173, "iopl": 172, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250,
        "mount": 165, "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "open_tree": 428, "open_tree_attr": 467, "perf_event_open": 298, "pivot_root": 155, "quotactl": 179,
        "quotactl_fd": 443, "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170, "setns": 308,
        "settimeofday": 164, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "userfaultfd": 323,
        "vhangup": 153,
    },
    "aarch64": {
        "acct": 89, "add_key": 217, "adjtimex": 171, "bpf": 280, "clock_adjtime": 266, "clock_settime": 112,
        "delete_module": 106, "finit_module": 273, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
        "init_module": 105, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "mount": 40,
        "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": 264, "open_by_handle_at": 265, "open_tree": 428,
        "open_tree_attr": 467, "perf_event_open": 241, "pivot_root": 41, "quotactl": 60, "quotactl_fd": 443,
        "reboot": 142, "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268, "settimeofday": 170,
        "swapoff": 225, "swapon": 224, "syslog": 116, "umount2": 39, "userfaultfd": 282, "vhangup": 58,
    },
}  # fmt: skip
# What is looked at; the number of the call tells which one it was.
WATCHED = {
    "x86_64": {"execve": 59, "execveat": 322, "connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307},
    "aarch64": {"execve": 221, "execveat": 281, "connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269},
}
_OTHERS = {
    "x86_64": {"clone": 56, "ioctl": 16, "prlimit64": 302, "socket": 41, "unshare": 272},
    "aarch64": {"clone": 220, "ioctl": 29, "prlimit64": 261, "socket": 198, "unshare": 97},
}
# io_uring_setup, _enter, _register: a ring would do file work that no filter sees. clone3 keeps its flags in memory,
# which no filter reads either; the C library takes clone then.
_MISSING = (425, 426, 427, 435)


def install_filter(*, network: bool, watch: bool) -> int:
    """Install the filter for this process and all that come of it; NO_NEW_PRIVS must be set. OSError.

    `network` allows every family of sockets. With `watch` it returns the descriptor of the listener that has to answer
    each call of `WATCHED`, else -1.
    """
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise OSError(_ENOSYS, f"no filter is known for the architecture {machine}", "seccomp")
    instructions = list(_program(machine, network=network, watch=watch))
    code = packed(instructions)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(held))
    pointer = ctypes.create_string_buffer(program, len(program))
    if not watch:
        system_call("seccomp", SECCOMP[machine], _SET_MODE_FILTER, 0, pointer)
        return -1
    try:  # a signal that comes while the call is looked at does not make the program call a second time (Linux 5.19)
        return system_call("seccomp", SECCOMP[machine], _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, pointer)
    except OSError:
        return system_call("seccomp", SECCOMP[machine], _SET_MODE_FILTER, _NEW_LISTENER, pointer)


def _program(machine: str, *, network: bool, watch: bool) -> Iterator[Instruction]:
    """Yield (code, jump if true, jump if false, constant)."""
    yield from number_of_call(machine, KILL_PROCESS)
    for number in sorted(_REFUSED[machine].values()):
        yield from when(number, [(RETURN, 0, 0, ERRNO | _EPERM)])
    for number in _MISSING:
        yield from when(number, [(RETURN, 0, 0, ERRNO | _ENOSYS)])
    others = _OTHERS[machine]
    yield from when(others["ioctl"], _unless_one_of(1, (_TIOCSTI, _TIOCLINUX), ERRNO | _EPERM, ALLOW))
    yield from when(others["prlimit64"], _unless_one_of(0, (_INIT,), ERRNO | _EPERM, ALLOW))
    for name in ("clone", "unshare"):
        bits = [(ANY_BIT, 0, 1, _NEW_NAMESPACES), (RETURN, 0, 0, ERRNO | _EPERM), (RETURN, 0, 0, ALLOW)]
        yield from when(others[name], [argument(0), *bits])
    if not network:
        yield from when(others["socket"], _unless_one_of(0, _FAMILIES, ALLOW, ERRNO | _EAFNOSUPPORT))
    if watch:
        for name, number in WATCHED[machine].items():
            yield from when(number, with_an_address() if name == "sendto" else [(RETURN, 0, 0, NOTIFY)])
    yield RETURN, 0, 0, ALLOW


def _unless_one_of(place: int, values: tuple[int, ...], then: int, otherwise: int) -> list[Instruction]:
    body = [argument(place)]
    for value in values:
        body += [(EQUAL, 0, 1, value), (RETURN, 0, 0, then)]
    return [*body, (RETURN, 0, 0, otherwise)]
