"""The server of sandboxes: one process with one thread, which forks a keeper for each of them. Linux.

    HEARTH ──socket──► server ──fork──► keeper (new namespaces; mounts; stays outside the PID namespace)
                                          └─fork─► init (PID 1; pivots, gives up its privileges, reaps)
                                                     └─fork─► the work, leader of a session

The server ends with HEARTH (its socket's end), a keeper with the server, an init with its keeper, and everything in a
sandbox with its init (pid_namespaces(7)).
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.observe import _linux as linux
from hearth.observe._mounts import SandboxMounts
from hearth.observe._sandbox_wire import receive, receive_message, send_message
from hearth.observe._seccomp import install_filter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_PAUSE = 0.002
_LONGEST_NAME = 200
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def main(preload: list[str]) -> None:
    """Serve until HEARTH is gone; its requests come on descriptor 0."""
    requests = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    for name in preload:
        importlib.import_module(name)
    keepers: set[int] = set()
    try:
        while True:
            readable, _, _ = select.select([requests], [], [], 1.0)
            _reap(keepers)
            if readable:
                letter, descriptors = receive(requests)
                if not letter:
                    return
                _fork_keeper(requests, descriptors, keepers)
    finally:
        for pid in keepers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reap(keepers: set[int]) -> None:
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            keepers.discard(pid)


def _fork_keeper(requests: socket.socket, descriptors: list[int], keepers: set[int]) -> None:
    pid = os.fork()
    if pid:
        keepers.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        return
    status = 1
    try:
        linux.parent_death_signal(signal.SIGKILL)
        requests.close()
        _Keeper(socket.socket(fileno=descriptors[0]), descriptors[1:]).run()
        status = 0
    except BaseException as error:  # noqa: BLE001 - HEARTH sees that nothing came
        with suppress(OSError):
            os.write(2, f"hearth: a sandbox's keeper failed: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


class _Keeper:
    """One sandbox, from outside of its PID namespace."""

    def __init__(self, control: socket.socket, descriptors: list[int]) -> None:
        self._control = control
        self._descriptors = descriptors

    def run(self) -> None:
        """Set the sandbox up, say so, wait for its end, and say what came of it."""
        received = receive_message(self._control)
        if received is None:
            return
        header, payload = received
        root = os.geteuid() == 0
        mounts = SandboxMounts(
            state=header["state"], layer=header["layer"], below=header["below"], hidden=header["hidden"], root=root
        )
        said_here, said_there = os.pipe()
        maps_here, maps_there = os.pipe()
        proc = os.open("/proc", os.O_DIRECTORY | os.O_RDONLY)
        try:
            self._separate(root, network=header["network"])
            mounts.build()
            mounts.tell()  # before the root of this mount namespace, and so of this process, is another one
            init = os.fork()
        except OSError as error:
            send_message(self._control, {"problem": _said(error)})
            return
        if init == 0:
            os.close(said_here)
            os.close(maps_there)
            os.close(proc)
            _Init(mounts, said_there, maps_here, self._descriptors, root=root).run(header, payload)
        os.close(said_there)
        os.close(maps_here)
        self._wait_for(init, mounts, os.fdopen(said_here, "rb"), maps_there, proc)

    def _separate(self, root: bool, *, network: bool) -> None:
        uid, gid = os.geteuid(), os.getegid()
        flags = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWPID
        flags |= 0 if network else linux.CLONE_NEWNET
        linux.unshare(flags | (0 if root else linux.CLONE_NEWUSER))
        if not root:
            _write("/proc/self/setgroups", b"deny")
            _write("/proc/self/uid_map", b"%d %d 1" % (uid, uid))
            _write("/proc/self/gid_map", b"%d %d 1" % (gid, gid))
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)

    def _wait_for(self, init: int, mounts: SandboxMounts, said: Any, maps: int, proc: int) -> None:  # noqa: ANN401 - a stream
        handle = os.pidfd_open(init)
        end: dict[str, Any] = {"code": -signal.SIGKILL, "left": [], "problem": ""}
        started = False
        for line in said:
            told = json.loads(line)
            if told["say"] == "map":
                # The identity: owners stay what they are, and no capability counts outside.
                for name in ("uid_map", "gid_map"):
                    descriptor = os.open(f"{init}/{name}", os.O_WRONLY, dir_fd=proc)
                    os.write(descriptor, b"0 0 4294967295")
                    os.close(descriptor)
                os.write(maps, b"x")
            elif told["say"] == "problem":
                end["problem"] = told["why"]
            elif told["say"] == "ready":
                for descriptor in self._descriptors:
                    os.close(descriptor)
                self._descriptors = []
                socket.send_fds(self._control, [b"p"], [handle])
                send_message(self._control, {"pid": init})
                started = True
                os.write(maps, b"x")
            elif told["say"] == "end":
                end |= {"code": told["code"], "left": told["left"]}
        os.waitpid(init, 0)
        if not started:
            send_message(self._control, {"problem": end["problem"] or "its init ended before it was ready"})
            return
        send_message(self._control, {**end, "readonly": mounts.readonly, "failed": mounts.failed})


class _Init:
    """PID 1 of a sandbox: it makes the rest of the walls, starts the work, and waits for all that comes of it."""

    def __init__(self, mounts: SandboxMounts, said: int, maps: int, descriptors: list[int], *, root: bool) -> None:
        self._mounts = mounts
        self._said = said
        self._maps = maps
        self._descriptors = descriptors
        self._root = root

    def run(self, header: dict[str, Any], payload: bytes) -> NoReturn:
        """Do all of it; this process ends here."""
        try:
            linux.parent_death_signal(signal.SIGKILL)
            try:
                self._close_in(header)
            except OSError as error:
                self._say({"say": "problem", "why": _said(error)})
                os._exit(1)
            self._say({"say": "ready"})
            os.read(self._maps, 1)
            module, _, name = header["work"].partition(":")
            work: Callable[[bytes, list[int]], int] = getattr(importlib.import_module(module), name)
            code, left = self._wait_for(self._start(work, payload), header["linger"])
            self._say({"say": "end", "code": code, "left": left})
        finally:
            os._exit(0)

    def _close_in(self, header: dict[str, Any]) -> None:
        if not header["network"]:
            _loopback_up()
        self._mounts.mount_proc()
        linux.pivot_to(self._mounts.target)
        if self._root:
            linux.unshare(linux.CLONE_NEWUSER)
            self._say({"say": "map"})
            os.read(self._maps, 1)
            linux.parent_death_signal(signal.SIGKILL)
        linux.no_new_privileges()
        install_filter()

    def _say(self, what: dict[str, Any]) -> None:
        os.write(self._said, json.dumps(what).encode() + b"\n")

    def _start(self, work: Callable[[bytes, list[int]], int], payload: bytes) -> int:
        pid = os.fork()
        if pid:
            for descriptor in self._descriptors:
                os.close(descriptor)
            return pid
        status = 1
        try:
            os.setsid()
            os.close(self._said)
            os.close(self._maps)
            if not self._root:
                linux.drop_capabilities()
            status = work(payload, self._descriptors)
        except BaseException as error:  # noqa: BLE001 - it is what the work came to
            with suppress(OSError):
                os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)

    def _wait_for(self, worker: int, linger: float) -> tuple[int, list[str]]:
        """Return how the work ended, and what was still running so many seconds later; nothing runs any more then."""
        code = None
        deadline = float("inf")
        left: list[str] = []
        while True:
            try:
                pid, status = os.waitpid(-1, 0 if code is None else os.WNOHANG)
            except ChildProcessError:
                break
            if pid == worker:
                code = os.waitstatus_to_exitcode(status)
                deadline = time.monotonic() + linger
            if pid == 0:
                if not left and time.monotonic() >= deadline:
                    left = _running()
                    os.kill(-1, signal.SIGKILL)
                time.sleep(_PAUSE)
        return -signal.SIGKILL if code is None else code, left


def _running() -> list[str]:
    """Return what every other process of the namespace was started as."""
    found = []
    for name in sorted(entry.name for entry in os.scandir("/proc")):
        if name.isdecimal() and name != "1":
            with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123 - text throughout
                words = file.read(_LONGEST_NAME).replace(b"\0", b" ").strip()
                found.append(words.decode("utf-8", "replace") or f"process {name}")
    return sorted(found)


def _loopback_up() -> None:
    """Bring up `lo`: programs expect to reach themselves (netdevice(7))."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _said(error: OSError) -> str:
    return f"{error.filename or 'a system call'}: {error.strerror or error}"


if __name__ == "__main__":
    main(sys.argv[1:])
