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
from contextlib import suppress
from typing import Any

from hearth.observe import _linux as linux
from hearth.observe._mounts import SandboxMounts
from hearth.observe._network_watch import NetworkWatch
from hearth.observe._sandbox_init import Init
from hearth.observe._sandbox_watch import HostServices, Watch
from hearth.observe._sandbox_wire import receive, receive_message, send_message

__all__ = ["main"]

_PIECE = 1 << 16


def main(arguments: list[str]) -> None:
    """Serve until HEARTH is gone: its process number, and then the modules to import; requests come on descriptor 0."""
    requests = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        hearth = os.pidfd_open(int(arguments[0]))
    except OSError:
        return
    if os.getppid() != int(arguments[0]):
        return
    for name in arguments[1:]:
        importlib.import_module(name)
    keepers: set[int] = set()
    try:
        while True:
            readable, _, _ = select.select([requests.fileno(), hearth], [], [], 1.0)
            _reap(keepers)
            if hearth in readable:
                return
            if readable:
                letter, descriptors = receive(requests)
                if not letter:
                    return
                _fork_keeper(requests, hearth, descriptors, keepers)
    finally:
        for pid in keepers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reap(keepers: set[int]) -> None:
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            keepers.discard(pid)


def _fork_keeper(requests: socket.socket, hearth: int, descriptors: list[int], keepers: set[int]) -> None:
    server = os.getpid()
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
        os.close(hearth)
        if os.getppid() == server:
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
            state=header["state"],
            layer=header["layer"],
            below=header["below"],
            hidden=header["hidden"],
            places=header["places"],
            root=root,
        )
        said_here, said_there = os.pipe()
        answers_here, answers_there = os.pipe()
        proc = os.open("/proc", os.O_DIRECTORY | os.O_RDONLY)
        services = HostServices()  # of the host's network, not of the sandbox's
        try:
            self._separate(root, network=header["network"])
            mounts.build()
            mounts.tell()  # before the root of this mount namespace, and so of this process, is another one
            _no_dumps()
            init = os.fork()
        except OSError as error:
            send_message(self._control, {"problem": _said(error)})
            return
        if init == 0:
            self._control.close()
            for descriptor in (said_here, answers_there, proc):
                os.close(descriptor)
            services.close()
            Init(mounts, said_there, answers_here, self._descriptors, root=root).run(header, payload)
        linux.set_dumpable(False)  # the payload may hold secrets; the init does so when its descriptors were taken
        os.close(said_there)
        os.close(answers_here)
        kept = _Kept(self._control, self._descriptors, init, said_here, answers_there, proc)
        kept.run(mounts, services, network=header["network"])

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


class _Kept:
    """A sandbox that has its init, until its end."""

    def __init__(
        self, control: socket.socket, descriptors: list[int], init: int, said: int, answers: int, proc: int
    ) -> None:
        self._control = control
        self._descriptors = descriptors
        self._init = init
        self._said = said
        self._answers = answers
        self._proc = proc
        self._handle = os.pidfd_open(init)
        self._watch: Watch | None = None
        self._started = False
        self._end: dict[str, Any] = {"code": -signal.SIGKILL, "left": [], "problem": "", "unseen": []}

    def run(self, mounts: SandboxMounts, services: HostServices, *, network: bool) -> None:
        """Answer the init and look at what is watched, until the init is dead: nothing runs any more then."""
        self._attend(services, network=network)
        os.waitpid(self._init, 0)
        if not self._started:
            send_message(self._control, {"problem": self._end["problem"] or "its init ended before it was ready"})
            return
        seen: dict[str, Any] = {"programs": [], "connections": []}
        if self._watch is not None:
            seen = {"programs": self._watch.programs, "connections": sorted(self._watch.connections)}
            self._end["unseen"] += self._watch.unseen
        send_message(self._control, {**self._end, **seen, "readonly": mounts.readonly, "failed": mounts.failed})

    def _attend(self, services: HostServices, *, network: bool) -> None:
        poll = select.poll()
        poll.register(self._said, select.POLLIN)
        rest = b""
        open_still, watching = True, False
        while open_still:
            for descriptor, event in poll.poll(None if self._watch is None else self._watch.pause):
                if descriptor != self._said:
                    if self._watch is not None and event & select.POLLIN:
                        self._watch.look()
                    elif self._watch is not None:
                        poll.unregister(self._watch)  # nothing is left that could call
                    continue
                piece = os.read(self._said, _PIECE)
                open_still = bool(piece)
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line), services, network=network)
            if self._watch is not None:
                if not watching:
                    poll.register(self._watch, select.POLLIN)
                    watching = True
                self._watch.pass_time()

    def _hear(self, told: dict[str, Any], services: HostServices, *, network: bool) -> None:
        if told["say"] == "map":
            # The identity: owners stay what they are, and no capability counts outside.
            for name in ("uid_map", "gid_map"):
                descriptor = os.open(f"{self._init}/{name}", os.O_WRONLY, dir_fd=self._proc)
                os.write(descriptor, b"0 0 4294967295")
                os.close(descriptor)
            os.write(self._answers, b"x")
        elif told["say"] == "problem":
            self._end["problem"] = told["why"]
        elif told["say"] == "ready":
            self._ready(told, services, network=network)
        elif told["say"] == "end":
            self._end |= {"code": told["code"], "left": told["left"]}
            self._end["unseen"] += told["unseen"]

    def _ready(self, told: dict[str, Any], services: HostServices, *, network: bool) -> None:
        if told["listener"] >= 0:
            try:
                listener = linux.pidfd_getfd(self._handle, told["listener"])
            except OSError as error:  # without anybody who listens, its calls would fail
                self._end["problem"] = _said(error)
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                return
            if network:
                self._watch = NetworkWatch(listener, self._proc, services, scoped=told["scoped"])
            else:
                self._watch = Watch(listener, self._proc, services, network=False)
        else:
            self._end["unseen"].append(f"programs and connections were not observed: {told['unwatched']}")
        for descriptor in self._descriptors:
            os.close(descriptor)
        socket.send_fds(self._control, [b"p"], [self._handle])
        send_message(self._control, {"pid": self._init})
        self._started = True
        os.write(self._answers, b"x")


def _no_dumps() -> None:
    """Have no core dumped where a program of the host takes them: it would act outside (core(5))."""
    import resource  # this module is imported on other systems, too

    with suppress(OSError), open("/proc/sys/kernel/core_pattern", "rb") as file:  # noqa: PTH123 - as it is read
        if file.read(1) in (b"|", b"@"):
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))  # 0 would not keep a pipe from being fed; 1 does


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
