"""PID 1 of a sandbox: it makes the last of its walls, starts the work, and waits for all that comes of it. Linux."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.observe import _linux as linux
from hearth.observe._landlock import restrict_network
from hearth.observe._seccomp import install_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._mounts import SandboxMounts

__all__ = ["Init"]

_PAUSE = 0.002
_LONGEST_NAME = 200
_LONGEST_REASON = 500
_MOST_NAMED = 20
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_PRIVATE = (("shm", "shared memory"), ("sem", "semaphores"), ("msg", "message queues"))


class Init:
    """The init of one sandbox. It says each thing that its keeper must know as a line of JSON to `said`."""

    def __init__(self, mounts: SandboxMounts, said: int, answers: int, descriptors: list[int], *, root: bool) -> None:
        self._mounts = mounts
        self._said = said
        self._answers = answers
        self._descriptors = descriptors
        self._root = root
        self._scoped = False  # whether the abstract Unix sockets of the host are out of reach
        self._reason = mmap.mmap(-1, _LONGEST_REASON)  # shared with the work, and no descriptor

    def run(self, header: dict[str, Any], payload: bytes) -> NoReturn:
        """Do all of it; this process ends here."""
        try:
            linux.parent_death_signal(signal.SIGKILL)
            try:
                listener, unwatched = self._close_in(header)
            except OSError as error:
                self._say({"say": "problem", "why": _said(error)})
                os._exit(1)
            self._ask({"say": "ready", "listener": listener, "unwatched": unwatched, "scoped": self._scoped})
            if listener >= 0:
                os.close(listener)
            linux.set_dumpable(False)  # what runs here must not read the memory of what it came from
            worker = self._start(header["work"], payload)
            if not self._root:
                linux.drop_capabilities()
            code, left = self._wait_for(worker, header["linger"])
            self._tell_reason()
            self._say({"say": "end", "code": code, "left": left, "unseen": _left_in_private()})
        finally:
            os._exit(0)

    def _close_in(self, header: dict[str, Any]) -> tuple[int, str]:
        """Finish the sandbox; return the listener of what is watched (-1: none), and why there is none."""
        if not header["network"]:
            _loopback_up()
        self._mounts.mount_proc()
        linux.pivot_to(self._mounts.target)
        if self._root:
            linux.unshare(linux.CLONE_NEWUSER)
            self._ask({"say": "map"})
            linux.parent_death_signal(signal.SIGKILL)  # which a change of credentials takes back
        linux.no_new_privileges()
        listener, unwatched = -1, ""
        try:
            listener = install_filter(network=header["network"], watch=True)
        except OSError as error:
            install_filter(network=header["network"], watch=False)
            unwatched = _said(error)
        if header["network"]:  # without a listener nobody would make its connections for it
            self._scoped = restrict_network(tcp=listener >= 0)
        return listener, unwatched

    def _say(self, what: dict[str, Any]) -> None:
        os.write(self._said, json.dumps(what).encode() + b"\n")

    def _ask(self, what: dict[str, Any]) -> None:
        """Say it, and wait until it was seen to; without a keeper this is over."""
        self._say(what)
        if not os.read(self._answers, 1):
            os._exit(1)

    def _start(self, work: str, payload: bytes) -> int:
        pid = os.fork()
        if pid:
            for descriptor in self._descriptors:
                os.close(descriptor)
            return pid
        status = 1
        try:
            os.setsid()
            os.close(self._said)
            os.close(self._answers)
            # HEARTH's own stderr may be a file of the host, which could be opened anew through /proc/self/fd.
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            os.close(null)
            if not self._root:
                linux.drop_capabilities()
            linux.set_dumpable(True)
            module, _, name = work.partition(":")
            function: Callable[[bytes, list[int]], int] = getattr(importlib.import_module(module), name)
            status = function(payload, self._descriptors)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException as error:  # noqa: BLE001 - it is what the work came to
            self._reason.write(f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:_LONGEST_REASON])
        finally:
            os._exit(status & 0xFF)

    def _tell_reason(self) -> None:
        """Write what the work failed with to HEARTH's stderr; escaped, for it is the work's own text."""
        if told := self._reason[:].rstrip(b"\0").decode("utf-8", "replace"):
            with suppress(OSError):
                os.write(2, f"hearth: the work in a sandbox failed: {told!a}\n".encode())

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
                if time.monotonic() >= deadline:
                    left = left or _running()
                    with suppress(ProcessLookupError):
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


def _left_in_private() -> list[str]:
    """Return what was left where a bare run would have changed the host, and the sandbox has its own instead."""
    unseen = []
    if named := _named("/dev/shm"):  # noqa: S108 - the sandbox's own
        unseen.append(f"the sandbox has a /dev/shm of its own, and this was left in it: {named}")
    if named := _named("/dev/mqueue"):
        unseen.append(f"POSIX message queues were left in the sandbox: {named}")
    for name, what in _PRIVATE:
        try:
            with open(f"/proc/sysvipc/{name}", encoding="utf-8") as lines:  # noqa: PTH123 - as above
                if len(lines.readlines()) > 1:
                    unseen.append(f"System V {what} were left in the sandbox")
        except FileNotFoundError:
            pass  # a kernel without them
        except OSError as error:
            unseen.append(f"whether System V {what} were left in the sandbox cannot be read ({error.strerror})")
    return unseen


def _named(folder: str) -> str:
    """Return the first names in a folder, which may be closed on purpose; "" where there are none."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - texts throughout
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be listed ({error.strerror})"
    return ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")


def _loopback_up() -> None:
    """Bring up `lo`: programs expect to reach themselves (netdevice(7))."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _said(error: OSError) -> str:
    return f"{error.filename or 'a system call'}: {error.strerror or error}"
