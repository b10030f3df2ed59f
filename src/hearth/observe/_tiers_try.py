"""What a sandbox is made of, tried piece by piece: a program of its own, for most of it cannot be taken back. Linux.

It is given a folder to work in, prints a JSON object (what was tried: why it does not work, "" where it does), and each
try is a process that ends with it. Nothing of the host is changed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from hearth.observe import _linux as linux
from hearth.observe._seccomp import install_filter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["landlock_version", "main"]

_LANDLOCK_CREATE_RULESET, _VERSION = 444, 1


def main(folder: str) -> None:
    """Try everything, and print what came of it."""
    root = os.geteuid() == 0
    tries: dict[str, Callable[[], object]] = {
        "user namespace": lambda: linux.unshare(linux.CLONE_NEWUSER),
        "mount namespace": lambda: _separate(linux.CLONE_NEWNS, root=root),
        "process namespace": lambda: _separate(linux.CLONE_NEWPID, root=root),
        "network namespace": lambda: _separate(linux.CLONE_NEWNET, root=root),
        "overlay": lambda: _overlay(folder, root=root),
        "pivot_root": lambda: _pivot(folder, root=root),
        "seccomp filter": lambda: _filter(watch=False),
        "seccomp notification": lambda: _filter(watch=True),
        "landlock": landlock_version,
    }
    os.write(1, json.dumps({name: _why_not(one) for name, one in tries.items()}).encode())


def landlock_version() -> int:
    """Return the version of Landlock's ABI (landlock_create_ruleset(2)); OSError where there is none."""
    return linux.system_call("landlock_create_ruleset", _LANDLOCK_CREATE_RULESET, None, 0, _VERSION)


def _why_not(one: Callable[[], object]) -> str:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            one()
        except OSError as error:
            os.write(writing, f"{error.filename or 'a system call'}: {error.strerror}".encode("utf-8", "replace"))
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        why = said.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return why or (f"the try ended with {code}" if code else "")


def _separate(flags: int, *, root: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(flags | (0 if root else linux.CLONE_NEWUSER))
    if not root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - of the kernel
                file.write(text)


def _mounts(*, root: bool) -> None:
    _separate(linux.CLONE_NEWNS, root=root)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)


def _overlay(folder: str, *, root: bool) -> None:
    os.chdir(folder)
    for name in ("lower", "up", "work", "over"):
        os.mkdir(name)  # noqa: PTH102 - text throughout
    _mounts(root=root)
    options = "lowerdir=lower,upperdir=up,workdir=work" + ("" if root else ",userxattr")
    linux.mount("overlay", "over", "overlay", 0, options)
    with open("over/file", "xb"):  # noqa: PTH123 - as above
        pass


def _pivot(folder: str, *, root: bool) -> None:
    new = f"{folder}/root"
    os.mkdir(new)  # noqa: PTH102 - as above
    _mounts(root=root)
    linux.mount(new, new, None, linux.MS_BIND | linux.MS_REC)
    linux.pivot_to(new)


def _filter(*, watch: bool) -> None:
    linux.no_new_privileges()
    install_filter(network=False, watch=watch)


if __name__ == "__main__":
    main(sys.argv[1])
