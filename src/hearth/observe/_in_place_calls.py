"""What the arguments of a looked-at call mean: which of them name files, and which calls act on more than files."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACTIONS", "DESCRIPTORS", "EMPTY_PATH", "IDENTITIES", "NAMES", "SIGNALS", "Name"]

EMPTY_PATH = 0x1000  # AT_EMPTY_PATH
_NOFOLLOW, _FOLLOW = 0x100, 0x400  # AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW


@dataclass(frozen=True, slots=True)
class Name:
    """A name among a call's arguments, by their places: the name, the folder it starts at (-1: the current one).

    `flags` is the place of the flags (-1: none) of which `turns` changes `follow`: whether a link at the end is
    followed. `written` says that the call changes the file itself, not where its name leads.
    """

    path: int
    folder: int = -1
    follow: bool = False
    flags: int = -1
    turns: int = _NOFOLLOW
    written: bool = False

    def follows(self, arguments: list[int]) -> bool:
        """Whether the call follows a link at the end of this name."""
        return self.follow != bool(self.flags >= 0 and arguments[self.flags] & self.turns)


def _file(path: int, folder: int = -1, *, flags: int = -1, follow: bool = True) -> tuple[Name, ...]:
    return (Name(path, folder, follow=follow, flags=flags, written=True),)


# Calls that open are looked at by themselves, for their flags decide.
NAMES: dict[str, tuple[Name, ...]] = {
    "truncate": _file(0),
    "unlink": (Name(0),),
    "unlinkat": (Name(1, 0),),
    "rename": (Name(0), Name(1)),
    "renameat": (Name(1, 0), Name(3, 2)),
    "renameat2": (Name(1, 0), Name(3, 2)),
    "mkdir": (Name(0),),
    "mkdirat": (Name(1, 0),),
    "rmdir": (Name(0),),
    "link": (Name(0), Name(1)),
    "linkat": (Name(1, 0, flags=4, turns=_FOLLOW), Name(3, 2)),
    "symlink": (Name(1),),
    "symlinkat": (Name(2, 1),),
    "mknod": (Name(0),),
    "mknodat": (Name(1, 0),),
    "chmod": _file(0),
    "fchmodat": _file(1, 0),
    "fchmodat2": _file(1, 0, flags=3),
    "chown": _file(0),
    "lchown": _file(0, follow=False),
    "fchownat": _file(1, 0, flags=4),
    "setxattr": _file(0),
    "lsetxattr": _file(0, follow=False),
    "setxattrat": _file(1, 0, flags=2),
    "removexattr": _file(0),
    "lremovexattr": _file(0, follow=False),
    "removexattrat": _file(1, 0, flags=2),
    "utime": _file(0),
    "utimes": _file(0),
    "futimesat": _file(1, 0),
    "utimensat": _file(1, 0, flags=3),
}
DESCRIPTORS = ("ftruncate", "fchmod", "fchown", "fsetxattr", "fremovexattr")
"""Calls that change what their first argument has open."""

# What acts on the machine, and the place of the text that says on what (-1: none).
ACTIONS = {
    "mount": 1, "umount2": 0, "move_mount": 3, "fspick": 1, "mount_setattr": 1, "pivot_root": 0, "swapon": 0,
    "swapoff": 0, "reboot": -1, "sethostname": 0, "setdomainname": 0, "init_module": -1, "finit_module": -1,
    "delete_module": 0, "kexec_load": -1, "kexec_file_load": -1, "settimeofday": -1, "clock_settime": -1,
    "adjtimex": -1, "clock_adjtime": -1, "acct": 0, "quotactl": 1, "bpf": -1, "mq_open": 0, "mq_unlink": 0,
    "msgget": -1, "semget": -1, "shmget": -1,
}  # fmt: skip
SIGNALS = {
    "kill": (0, 1), "tkill": (0, 1), "tgkill": (0, 2), "rt_sigqueueinfo": (0, 1), "rt_tgsigqueueinfo": (0, 2),
    "pidfd_send_signal": (0, 1),
}  # fmt: skip
"""The places of the process and the signal."""
IDENTITIES = {
    "setuid": ("Uid", 1), "setreuid": ("Uid", 2), "setresuid": ("Uid", 3), "setgid": ("Gid", 1),
    "setregid": ("Gid", 2), "setresgid": ("Gid", 3),
}  # fmt: skip
"""What /proc/PID/status calls what they set, and how many arguments they have."""
