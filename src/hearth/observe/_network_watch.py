"""The connections of a sandbox with the host's network: made for the program, to the very address that was read. Linux.

A call that goes on is read by the kernel once more, and another thread of the program may have changed its address by
then. So this process takes a copy of the socket, makes the call itself, and answers with what came of it: connect, and
what is sent by sockets other than TCP's, of IPv4 and IPv6. Where a program would wait, its call waits until its socket
is ready; nothing else does. What goes on all the same is what is sent over TCP, and calls on sockets of other families:
a Unix socket tells its peer who connected it. They are looked at twice, and what changed meanwhile is refused. Landlock
(`hearth.observe._landlock`) keeps the program from what it could reach by exchanging its sockets then: TCP, and the
abstract Unix sockets of the host.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.observe import _linux as linux
from hearth.observe._network_message import Message, address_at, data_at, message_at
from hearth.observe._sandbox_watch import CHANGED, HostServices, Watch, sent_to
from hearth.observe._seccomp import WATCHED

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NetworkWatch"]

_PATIENCE = 50  # milliseconds between looks at the callers that wait for their sockets
_MOST_MESSAGES = 1024  # of one call: sendmmsg(2)
_HEADER, _LENGTH = 64, 56  # bytes of struct mmsghdr, and where in it stands how much was sent
_FAST_OPEN, _ZERO_COPY = 0x20000000, 0x4000000
_TIME = struct.Struct("@ll")  # struct timeval
_RESTART = 512  # ERESTARTSYS: the call is made again where the signal's handler says so (SA_RESTART)
_UNDER_WAY = (-errno.EINPROGRESS, -errno.EALREADY)
_ABSTRACT = struct.pack("=Hx", socket.AF_UNIX)  # how such a name begins (unix(7))
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_STREAMS = (socket.IPPROTO_TCP, 262)  # 262: MPTCP
_FLAGS = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}  # which argument they are
_FOREVER = float("inf")


@dataclass(slots=True)
class _Call:
    """A call that is made for a program: `make` returns what it returns, or the negative number of its error."""

    ident: int
    pid: int
    copy: socket.socket
    make: Callable[[], int]
    seconds: float  # how long it may wait for its socket; 0: not at all
    not_ready: tuple[int, ...] = (-errno.EAGAIN,)  # what it returns where it has to wait
    deadline: float = _FOREVER
    late: int = 0  # what it returns then


class NetworkWatch(Watch):
    """Looks at the calls that a listener tells of, and makes connections for their callers.

    `scoped`: the host's abstract Unix sockets are out of reach by Landlock; else every abstract one is refused here.
    """

    def __init__(self, listener: int, proc: int, services: HostServices, *, scoped: bool) -> None:
        super().__init__(listener, proc, services, network=True)
        self._scoped = scoped
        self._mine = -1  # the call that is answered here, and does not go on
        self._copy: socket.socket | None = None  # the socket of the call at hand
        self._waiting: dict[int, _Call] = {}  # by the descriptor of the copy
        self._ready = select.epoll()
        self._ready.register(listener, select.EPOLLIN)
        services.sockets  # noqa: B018 - read now: what the sandbox itself makes is none of the host's
        linux.network_capabilities_off()  # what the program has no right to is not done for it

    def fileno(self) -> int:
        """Return what is readable when a call waits to be looked at, or the socket of one that was waited for is."""
        return self._ready.fileno()

    @property
    def pause(self) -> int | None:
        """How many milliseconds may pass until `pass_time` is called; None: any."""
        return _PATIENCE if self._waiting else None

    def look(self) -> None:
        """Look at one call, or go on with one. UnansweredError where that cannot be."""
        for descriptor, event in self._ready.poll(0, 1):
            if descriptor in self._waiting:
                self._make(self._taken(descriptor))
            elif event & select.EPOLLIN:
                super().look()
            else:
                self._ready.unregister(descriptor)  # nothing is left that could call

    def pass_time(self) -> None:
        """Give up calls whose sockets were not ready in their time, or whose callers died or have a signal."""
        for descriptor, call in list(self._waiting.items()):
            late = time.monotonic() >= call.deadline
            if late or not self._waits(call.ident) or self._is_interrupted(call.pid):
                self._taken(descriptor).copy.close()
                interrupted = -(_RESTART if call.seconds == _FOREVER else errno.EINTR)  # signal(7)
                self._answer(call.ident, call.late if late else interrupted)

    # --- one call

    def _connection(self, ident: int, pid: int, name: str, arguments: list[int]) -> None:
        self._mine = ident
        call = None
        try:
            self._copy = self._socket(pid, arguments[0])
            if name in _FLAGS and arguments[_FLAGS[name]] & _FAST_OPEN:
                self._answer(ident, -errno.EOPNOTSUPP)  # as where the system has it off: programs connect then
            elif self._copy.family not in _INTERNET or (name != "connect" and _is_tcp(self._copy)):
                self._look_twice(ident, pid, self._copy, name, arguments)
            else:
                call = self._read(ident, pid, self._copy, name, arguments)
        except (OSError, ValueError, struct.error) as error:
            self._answer(ident, -((isinstance(error, OSError) and error.errno) or errno.EFAULT))
        finally:
            if self._copy is not None and call is None:
                self._copy.close()
            self._copy = None
        if call is not None:
            self._make(call)

    def _go_on(self, ident: int) -> None:
        if ident != self._mine:
            super()._go_on(ident)

    def _socket(self, pid: int, descriptor: int) -> socket.socket:
        copy = linux.copy_of_descriptor(self._proc, pid, linux.signed(descriptor))
        try:
            return socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            raise

    def _look_twice(self, ident: int, pid: int, copy: socket.socket, name: str, arguments: list[int]) -> None:
        """Let the call go on where it is the same at a second look, and no abstract socket that could be reached."""
        first = self._addresses(pid, name, arguments)
        found = [told for one in sorted(first) if (told := self._told(one, pid, linux.signed(arguments[0])))]
        with self._socket(pid, arguments[0]) as again:
            same = os.path.sameopenfile(copy.fileno(), again.fileno())
        same = same and self._addresses(pid, name, arguments) == first
        if not self._waits(ident):
            return
        if not same:
            self._tell_connection(f"{CHANGED} {', '.join(found) or 'address'}")
            self._answer(ident, -errno.EACCES)
            return
        for told in found:
            self._tell_connection(told)
        if not self._scoped and any(one[:3] == _ABSTRACT for one in first):
            self._answer(ident, -errno.EPERM)
        else:
            self._mine = -1

    def _read(self, ident: int, pid: int, copy: socket.socket, name: str, arguments: list[int]) -> _Call | None:
        """Read what is to be done, once, and tell of it."""
        memory = os.open(f"{pid}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            if name == "connect":
                messages = [Message(address_at(memory, arguments[1], arguments[2]))]
            elif name == "sendto":
                data = data_at(memory, arguments[1], arguments[2])
                messages = [Message(address_at(memory, arguments[4], arguments[5]), data)]
            elif name == "sendmsg":
                messages = [message_at(memory, arguments[1])]
            else:
                number = min(arguments[2] & 0xFFFFFFFF, _MOST_MESSAGES)
                messages = [message_at(memory, arguments[1] + _HEADER * one) for one in range(number)]
        finally:
            os.close(memory)
        if not self._waits(ident):
            return None  # another one may have its number by now
        for address in sorted({one.address if name == "connect" else sent_to(one.address) for one in messages}):
            if len(address) > 1 and (told := self._told(address, pid, linux.signed(arguments[0]))):
                self._tell_connection(told)
        if name == "connect":
            seconds = _patience(copy) if os.get_blocking(copy.fileno()) else 0
            return _Call(ident, pid, copy, lambda: _connected(copy, messages[0].address), seconds, _UNDER_WAY)
        flags = arguments[_FLAGS[name]] & 0xFFFFFFFF
        waits = os.get_blocking(copy.fileno()) and not flags & socket.MSG_DONTWAIT
        seconds = _patience(copy) if waits else 0
        if name != "sendmmsg":
            return _Call(ident, pid, copy, lambda: _sent(copy, messages[0], flags), seconds)
        place = arguments[1] + _LENGTH
        return _Call(ident, pid, copy, lambda: self._sent_all(ident, pid, copy, messages, flags, place), seconds)

    def _sent_all(
        self, ident: int, pid: int, copy: socket.socket, messages: list[Message], flags: int, place: int
    ) -> int:
        """Send as many as go; return how many (sendmmsg(2)), and write into each how much of it was sent."""
        done = 0
        for done, message in enumerate(messages):
            sent = _sent(copy, message, flags)
            if sent < 0:
                return done or sent
            memory = os.open(f"{pid}/mem", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._proc)
            try:
                if self._waits(ident):
                    os.pwrite(memory, struct.pack("=I", sent), place + _HEADER * done)
            finally:
                os.close(memory)
        return len(messages)

    # --- making it

    def _make(self, call: _Call) -> None:
        """Make it, and answer; or wait for its socket."""
        try:
            value = call.make()
        except OSError as error:
            value = -(error.errno or errno.EFAULT)
        if value in call.not_ready and call.seconds:
            call.late = call.late or value
            call.deadline = min(call.deadline, time.monotonic() + call.seconds)
            self._waiting[call.copy.fileno()] = call
            self._ready.register(call.copy.fileno(), select.EPOLLOUT)
            return
        call.copy.close()  # first: once the program closes it, it shall be closed
        self._answer(call.ident, value)

    def _taken(self, descriptor: int) -> _Call:
        self._ready.unregister(descriptor)
        return self._waiting.pop(descriptor)

    def _is_interrupted(self, pid: int) -> bool:
        """Whether the caller has a signal to see to: as long as it waits for an answer it is given none (proc(5))."""
        try:
            with os.fdopen(os.open(f"{pid}/status", os.O_RDONLY, dir_fd=self._proc), errors="replace") as lines:
                said = dict(line.split(":", 1) for line in lines if ":" in line)
            pending = int(said["SigPnd"], 16)
            if said["Threads"].strip() == "1":  # else another one may be given it
                pending |= int(said["ShdPnd"], 16)
            return bool(pending & ~int(said["SigBlk"], 16))
        except (OSError, KeyError, ValueError):
            return False

    def _kind(self, pid: int, descriptor: int) -> str:
        if self._copy is None:
            return super()._kind(pid, descriptor)
        return {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}.get(self._copy.type, "raw")


def _is_tcp(one: socket.socket) -> bool:
    return one.type == socket.SOCK_STREAM and one.proto in _STREAMS


def _patience(one: socket.socket) -> float:
    """Return for how many seconds the socket's calls may wait (SO_SNDTIMEO)."""
    seconds, parts = _TIME.unpack(one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.size))
    return float(seconds + parts / 1_000_000 or _FOREVER)


def _connected(one: socket.socket, address: bytes) -> int:
    """Connect a socket without waiting, also one that would (its mode is the program's): only for a moment then."""
    kept = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.size)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(0, 1))
    try:
        number = WATCHED[os.uname().machine]["connect"]
        return linux.system_call("connect", number, one.fileno(), address, len(address))
    except OSError as error:
        return -(error.errno or errno.EFAULT)
    finally:
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, kept)


def _sent(one: socket.socket, message: Message, flags: int) -> int:
    if flags & _ZERO_COPY:
        return -errno.ENOBUFS  # as without the memory for it: programs send without then
    try:
        return message.send(one.fileno(), flags)
    except OSError as error:
        return -(error.errno or errno.EFAULT)
