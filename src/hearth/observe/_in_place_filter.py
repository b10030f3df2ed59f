"""Which system calls of a step on the host are looked at: a seccomp filter that lets every call go on. Linux.

Sources: seccomp(2); seccomp_unotify(2); open(2) for the flags; the numbers are those of the kernel's system call
tables. What changes nothing (reading, writing to what is open already, waiting) is not looked at, and costs nothing.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from hearth.observe._bpf import (
    ALLOW,
    ANY_BIT,
    EQUAL,
    NOTIFY,
    RETURN,
    SECCOMP,
    argument,
    number_of_call,
    packed,
    when,
    with_an_address,
)
from hearth.observe._in_place_ioctls import IOCTLS
from hearth.observe._seccomp import WATCHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.observe._bpf import Instruction

__all__ = ["CALLS", "MAKES_OR_WRITES", "OPENS", "filter_of_this_machine", "program"]

CALLS = {
    "x86_64": {
        # files
        "open": 2, "creat": 85, "openat": 257, "openat2": 437, "open_by_handle_at": 304, "truncate": 76,
        "ftruncate": 77, "unlink": 87, "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83,
        "mkdirat": 258, "rmdir": 84, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "mknod": 133,
        "mknodat": 259, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93,
        "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
        "lremovexattr": 198, "fremovexattr": 199, "setxattrat": 463, "removexattrat": 466, "utime": 132, "utimes": 235,
        "futimesat": 261, "utimensat": 280, "bind": 49,
        # programs and connections
        **WATCHED["x86_64"],
        # other processes
        "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
        "pidfd_send_signal": 424, "ptrace": 101, "process_vm_writev": 311,
        "pidfd_getfd": 438, "prlimit64": 302, "setpriority": 141, "ioprio_set": 251, "sched_setparam": 142,
        "sched_setscheduler": 144, "sched_setaffinity": 203, "sched_setattr": 314, "move_pages": 279,
        "migrate_pages": 256, "process_madvise": 440, "process_mrelease": 448,
        # memory, messages and keys of others
        "shmat": 30, "shmctl": 31, "semop": 65, "semtimedop": 220, "semctl": 66, "msgsnd": 69, "msgrcv": 70,
        "msgctl": 71, "add_key": 248, "request_key": 249, "keyctl": 250,
        # the machine
        "ioctl": 16, "syslog": 103, "iopl": 172, "ioperm": 173, "quotactl_fd": 443, "file_setattr": 469,
        "mount": 165, "umount2": 166, "move_mount": 429, "fspick": 433, "mount_setattr": 442, "pivot_root": 155,
        "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "init_module": 175,
        "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "settimeofday": 164,
        "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305, "acct": 163, "quotactl": 179, "bpf": 321,
        "io_uring_setup": 425, "mq_open": 240, "mq_unlink": 241, "msgget": 68, "semget": 64, "shmget": 29,
        # its own user and groups
        "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116, "setresuid": 117,
        "setresgid": 119,
    },
    "aarch64": {
        "openat": 56, "openat2": 437, "open_by_handle_at": 265, "truncate": 45, "ftruncate": 46, "unlinkat": 35,
        "renameat": 38, "renameat2": 276, "mkdirat": 34, "linkat": 37, "symlinkat": 36, "mknodat": 33, "fchmod": 52,
        "fchmodat": 53, "fchmodat2": 452, "fchown": 55, "fchownat": 54, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
        "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "setxattrat": 463, "removexattrat": 466,
        "utimensat": 88, "bind": 200,
        **WATCHED["aarch64"],
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
        "pidfd_send_signal": 424, "ptrace": 117, "process_vm_writev": 271,
        "pidfd_getfd": 438, "prlimit64": 261, "setpriority": 140, "ioprio_set": 30, "sched_setparam": 118,
        "sched_setscheduler": 119, "sched_setaffinity": 122, "sched_setattr": 274, "move_pages": 239,
        "migrate_pages": 238, "process_madvise": 440, "process_mrelease": 448,
        "shmat": 196, "shmctl": 195, "semop": 193, "semtimedop": 192, "semctl": 191, "msgsnd": 189, "msgrcv": 188,
        "msgctl": 187, "add_key": 217, "request_key": 218, "keyctl": 219,
        "ioctl": 29, "syslog": 116, "quotactl_fd": 443, "file_setattr": 469,
        "mount": 40, "umount2": 39, "move_mount": 429, "fspick": 433, "mount_setattr": 442, "pivot_root": 41,
        "swapon": 224, "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162, "init_module": 105,
        "finit_module": 273, "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294, "settimeofday": 170,
        "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266, "acct": 89, "quotactl": 60, "bpf": 280,
        "io_uring_setup": 425, "mq_open": 180, "mq_unlink": 181, "msgget": 186, "semget": 190, "shmget": 194,
        "setuid": 146, "setgid": 144, "setreuid": 145, "setregid": 143, "setgroups": 159, "setresuid": 147,
        "setresgid": 149,
    },
}  # fmt: skip
OPENS = {"open": 1, "openat": 2, "open_by_handle_at": 2, "mq_open": 1}
"""Which argument has the flags, of the calls that open files."""
MAKES_OR_WRITES = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, the same on both machines
_MAKES_AT = {"msgget": 1, "semget": 2, "shmget": 2}
_MAKES, _PRIVATE = 0o1000, 0  # IPC_CREAT; IPC_PRIVATE, the key of what is always made
_READ_ONLY = 0o10000  # SHM_RDONLY
_ONESELF = 0  # as the number of a process
_OF_PROCESS = (
    "prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr", "move_pages",
    "migrate_pages",
)  # fmt: skip
_SIGNAL_AT = {
    "kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2, "pidfd_send_signal": 1,
}  # fmt: skip
_ATTACH, _SEIZE = 16, 0x4206  # of ptrace(2): a debugger's other calls change what it has already
_TO_NOBODY, _URGENT = 0, 23  # asks whether there is such a process; and what programs in Go send their own threads


def filter_of_this_machine() -> tuple[int, bytes]:
    """Return the number of seccomp(2) here, and the filter's bytes; OSError where this machine is not known."""
    machine = os.uname().machine
    if machine not in CALLS:
        raise OSError(errno.ENOSYS, f"no filter is known for the architecture {machine}")
    return SECCOMP[machine], packed(program(machine))


def program(machine: str) -> Iterator[Instruction]:
    """Yield the filter. Calls of another architecture or ABI are all looked at: they are numbered in another way."""
    notify, allow = (RETURN, 0, 0, NOTIFY), (RETURN, 0, 0, ALLOW)
    yield from number_of_call(machine, NOTIFY)
    for name, number in CALLS[machine].items():
        if name in OPENS:
            bits = [(ANY_BIT, 0, 1, MAKES_OR_WRITES), notify, allow]
            yield from when(number, [argument(OPENS[name]), *bits])
        elif name in _MAKES_AT:
            makes = [argument(0), (EQUAL, 2, 0, _PRIVATE), argument(_MAKES_AT[name]), (ANY_BIT, 0, 1, _MAKES)]
            yield from when(number, [*makes, notify, allow])
        elif name == "shmat":
            yield from when(number, [argument(2), (ANY_BIT, 0, 1, _READ_ONLY), allow, notify])
        elif name in _OF_PROCESS:
            yield from when(number, [argument(0), (EQUAL, 0, 1, _ONESELF), allow, notify])
        elif name == "ioctl":
            requests = sorted(set(IOCTLS.values()))
            here = [(EQUAL, len(requests) - place, 0, one) for place, one in enumerate(requests)]
            yield from when(number, [argument(1), *here, allow, notify])
        elif name in _SIGNAL_AT:
            idle = [(EQUAL, 1, 0, _TO_NOBODY), (EQUAL, 0, 1, _URGENT), allow, notify]
            yield from when(number, [argument(_SIGNAL_AT[name]), *idle])
        elif name == "ptrace":
            begins = [(EQUAL, 1, 0, _ATTACH), (EQUAL, 0, 1, _SEIZE), notify, allow]
            yield from when(number, [argument(0), *begins])
        else:
            yield from when(number, with_an_address() if name == "sendto" else [notify])
    yield allow
