"""Programs that a sandbox starts and connections that it makes, seen by seccomp user notification. Linux.

Each such call waits until it was looked at, twice, and then goes on as if nothing had been (seccomp_unotify(2)): the
kernel reads its words once more then. A program that changes them between the two looks is told of with both; one that
changes them afterwards is told wrongly. So this is an observer, no guard; with the host's network, the connections are
made by `hearth.observe._network_watch` instead.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
import struct
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from hearth.observe import _linux as linux
from hearth.observe._seccomp import WATCHED

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHANGED", "HostServices", "UnansweredError", "Watch", "sent_to"]

_RECEIVE, _SEND, _IS_VALID, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104  # linux/seccomp.h
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE, _WAKE_TOGETHER = 1, 1
# Who keeps the words of programs looks for secrets in them first, and half of one would not be found.
_MOST_WORDS, _LONGEST_WORD, _LONGEST_TOLD = 64, 1 << 16, 1 << 14
_MOST_KEPT = 10_000
_MOST_CHARACTERS = 1 << 22  # of all words together
CHANGED = "changed-under-way"  # before what is told: no host, so that no declaration covers it
_LONGEST_PATH = 4096
_LONGEST_ADDRESS = 128
_EMPTY_PATH = 0x1000  # AT_EMPTY_PATH
_HERE = -100  # AT_FDCWD
_MESSAGE, _LONGEST_BATCH = 64, 32  # bytes of struct mmsghdr, and how many of one call are looked at
_LISTENS = "0A"  # tcp(7), as /proc/net/tcp writes it
# Where the C library asks for the names of users and hosts: every `ls -l` does, and nothing comes of it.
_LOOKUPS = ("/run/nscd/", "/run/nslcd/", "/run/systemd/userdb/", "/run/systemd/resolve/", "/var/lib/sss/pipes/")


class HostServices:
    """What listens on this host; to be made in the host's own namespaces, and read when it is first asked for.

    A sandbox with a network of its own cannot reach any of it. A connection to oneself is told where a bare run would
    have reached one of these; else it stays in the sandbox.
    """

    def __init__(self) -> None:
        self._tables: dict[str, TextIO] = {}
        for name in ("unix", "tcp", "tcp6", "udp", "udp6"):
            with suppress(OSError):
                self._tables[name] = open(f"/proc/self/net/{name}", errors="surrogateescape")  # noqa: PTH123, SIM115 - kept

    def close(self) -> None:
        """Give the descriptors back."""
        for table in self._tables.values():
            table.close()

    @cached_property
    def sockets(self) -> frozenset[str]:
        """The names of Unix sockets, without symbolic links; abstract ones begin with `@`."""
        names = [words[7] for words in self._table("unix", 8)]
        return frozenset(os.path.realpath(name) if name[:1] == "/" else name for name in names)

    @cached_property
    def ports(self) -> frozenset[tuple[str, int]]:
        """What listens, as (tcp or udp, port)."""
        found = set()
        for name in ("tcp", "tcp6", "udp", "udp6"):
            for words in self._table(name, 5):
                if name.startswith("udp") or words[3] == _LISTENS:
                    found.add((name[:3], int(words[1].rpartition(":")[2], 16)))
        return frozenset(found)

    def _table(self, name: str, columns: int) -> Iterator[list[str]]:
        """Yield the lines of a table of /proc/net as words, but for its head (proc(5)); nothing where there is none."""
        with suppress(OSError):
            for line in list(self._tables.get(name, ()))[1:]:
                words = line.rstrip("\n").split(None, columns - 1)
                if len(words) == columns:
                    yield words


class UnansweredError(Exception):
    """A call of a step cannot be answered, and would wait for ever.

    Whoever listens has to end: with the listener each such call fails, and so does the step.
    """


def _require_over(error: OSError) -> None:
    """Raise UnansweredError but where the caller is dead, or has its answer."""
    if error.errno not in {errno.ENOENT, errno.EINPROGRESS}:
        raise UnansweredError(f"the listener does not work: {error.strerror}") from error


class Watch:
    """Looks at the calls that a listener tells of; `proc` is the host's /proc, and `network` whether its network is."""

    def __init__(self, listener: int, proc: int, services: HostServices, *, network: bool) -> None:
        self.programs: list[tuple[str, ...]] = []
        self.connections: dict[str, None] = {}
        self.unseen: dict[str, None] = {}
        self._listener = listener
        self._proc = proc
        self._characters = 0
        self._services = services
        self._network = network
        names = WATCHED[os.uname().machine]
        self._names = {number: name for name, number in names.items()}
        with suppress(OSError):  # Linux 6.6: the program and this process take turns on one processor
            _ioctl(listener, _SET_FLAGS, _WAKE_TOGETHER)

    def fileno(self) -> int:
        """Return the listener: readable when a call waits."""
        return self._listener

    @property
    def pause(self) -> int | None:
        """How many milliseconds may pass until `pass_time` is called; None: any."""
        return None

    def pass_time(self) -> None:
        """See to what is waited for."""

    def look(self) -> None:
        """Look at one call, and let it go on. UnansweredError where that cannot be."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            _ioctl(self._listener, _RECEIVE, buffer)
        except InterruptedError:
            return  # it still waits, and is told of again
        except OSError as error:
            _require_over(error)
            return
        ident, pid, _, number, architecture, _, *arguments = _NOTIFICATION.unpack(buffer)
        try:
            self._look_at(ident, pid, number, architecture, arguments)
        except (OSError, ValueError, struct.error) as error:
            if self._waits(ident):
                why = error.strerror if isinstance(error, OSError) else error
                self.unseen[f"{self._told_call(number)} could not be looked at: {why}"] = None
        self._go_on(ident)

    def _told_call(self, number: int) -> str:  # noqa: ARG002 - which one, others tell
        """Return the words for a call that could not be looked at."""
        return "a program started, or a connection made,"

    def _look_at(self, ident: int, pid: int, number: int, architecture: int, arguments: list[int]) -> None:  # noqa: ARG002 - no call of another architecture comes here
        """Take in what one call is about to do. OSError, ValueError and struct.error where that cannot be told."""
        name = self._names.get(number, "")
        if name.startswith("exec"):
            self._program(ident, pid, name, arguments)
        elif name:
            self._connection(ident, pid, name, arguments)

    def _go_on(self, ident: int) -> None:
        """Let the caller make its call; one that has been answered already is not asked for again."""
        self._send(_RESPONSE.pack(ident, 0, 0, _CONTINUE))

    def _answer(self, ident: int, value: int) -> None:
        """Have the caller's call return this, without being made; a negative number is an error's."""
        self._send(_RESPONSE.pack(ident, max(value, 0), min(value, 0), 0))

    def _send(self, response: bytes) -> None:
        while True:
            try:
                _ioctl(self._listener, _SEND, bytearray(response))
            except InterruptedError:
                continue
            except OSError as error:
                _require_over(error)
            return

    def _waits(self, ident: int) -> bool:
        """Whether the caller still waits: else its number may be another's by now, and what was read is not its."""
        try:
            _ioctl(self._listener, _IS_VALID, bytearray(struct.pack("=Q", ident)))
        except OSError:
            return False
        return True

    # --- programs

    def _program(self, ident: int, pid: int, name: str, arguments: list[int]) -> None:
        at = name == "execveat"
        memory = os.open(f"{pid}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            first = self._program_named(pid, memory, at, arguments)
            then = self._program_named(pid, memory, at, arguments)
        finally:
            os.close(memory)
        if not self._waits(ident):
            return
        for told in dict.fromkeys((first[1], then[1])):
            if told:
                self._tell_program(told)
        if first != then:
            names = " and ".join(dict.fromkeys(os.fsdecode(path) for path, _ in (first, then)))
            self.unseen[f"a program changed what it was about to start while that was looked at: {names}"] = None

    def _program_named(self, pid: int, memory: int, at: bool, arguments: list[int]) -> tuple[bytes, tuple[str, ...]]:
        """Return the path that the call names now, and the words; none where there is no such program."""
        path = _text(memory, arguments[1 if at else 0], _LONGEST_PATH)
        words = _words(memory, arguments[2 if at else 1])
        folder = linux.signed(arguments[0]) if at else _HERE
        if at and not path and arguments[4] & _EMPTY_PATH:
            there = f"{pid}/fd/{folder}"
        elif path[:1] == b"/":
            there = f"{pid}/root{os.fsdecode(path)}"
        else:
            there = f"{pid}/{'cwd' if folder == _HERE else f'fd/{folder}'}/{os.fsdecode(path)}"
        if not self._can_be_run(there):
            return path, ()
        return path, tuple("…" if len(word) > _LONGEST_TOLD else os.fsdecode(word) for word in words or [path])

    def _tell_program(self, told: tuple[str, ...]) -> None:
        self._characters += sum(map(len, told))
        if len(self.programs) < _MOST_KEPT and self._characters < _MOST_CHARACTERS:
            self.programs.append(told)
        else:
            self.unseen[f"more programs were started than the {len(self.programs)} that are told"] = None

    def _can_be_run(self, there: str) -> bool:
        """Whether there is such a program: a shell tries each folder of PATH."""
        try:
            status = os.stat(there, dir_fd=self._proc)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)

    # --- connections

    def _connection(self, ident: int, pid: int, name: str, arguments: list[int]) -> None:
        first, then = (self._addresses(pid, name, arguments) for _ in range(2))
        descriptor = linux.signed(arguments[0])
        found = [told for one in sorted(first | then) if (told := self._told(one, pid, descriptor))]
        if self._waits(ident):
            for told in found:
                self._tell_connection(told if first == then else f"{CHANGED} {told}")

    def _addresses(self, pid: int, name: str, arguments: list[int]) -> set[bytes]:
        """Return the addresses that a call names, as they are now."""
        if name == "connect":
            places = [(arguments[1], arguments[2])]
        elif name == "sendto":
            places = [(arguments[4], arguments[5])]
        else:
            places = []
        memory = os.open(f"{pid}/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            if name == "sendmsg":
                places = [_named(memory, arguments[1])]
            elif name == "sendmmsg":
                number = min(arguments[2], _LONGEST_BATCH)
                places = [_named(memory, arguments[1] + _MESSAGE * one) for one in range(number)]
            raw = {os.pread(memory, min(size, _LONGEST_ADDRESS), place) for place, size in places if place and size > 1}
        finally:
            os.close(memory)
        return raw if name == "connect" else set(map(sent_to, raw))

    def _tell_connection(self, told: str) -> None:
        if len(self.connections) < _MOST_KEPT:
            self.connections[told] = None
        else:
            self.unseen[f"more than {_MOST_KEPT} connections were made"] = None

    def _told(self, raw: bytes, pid: int, descriptor: int) -> str:
        """Return what an address is told as (unix(7), ip(7), ipv6(7)); "" where it stays in the sandbox."""
        (family,) = struct.unpack_from("=H", raw)
        if family == socket.AF_UNIX:
            return self._told_unix(raw[2:], pid)
        if family == socket.AF_INET:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(raw[4:8])
        elif family == socket.AF_INET6:
            address = ipaddress.IPv6Address(raw[8:24])
            address = address.ipv4_mapped or address
        elif family in (socket.AF_UNSPEC, socket.AF_NETLINK, socket.AF_PACKET):
            return ""  # none, the kernel's own, or refused
        else:
            return f"family {family}" if self._network else ""
        (port,) = struct.unpack_from(">H", raw, 2)
        kind = self._kind(pid, descriptor)
        inside = address.is_loopback or address.is_unspecified
        if inside and not self._network and kind in ("tcp", "udp") and (kind, port) not in self._services.ports:
            return ""
        return f"{kind} [{address}]:{port}" if address.version == 6 else f"{kind} {address}:{port}"  # noqa: PLR2004 - IPv6

    def _told_unix(self, name: bytes, pid: int) -> str:
        if name[:1] == b"\0":  # abstract: the whole rest, and divided by network namespaces
            shown = "@" + os.fsdecode(name[1:].rstrip(b"\0"))
            return f"unix {shown}" if shown in self._services.sockets else ""
        path = os.fsdecode(name.split(b"\0")[0])
        if not path:
            return ""
        if path[:1] != "/":
            folder = os.readlink(f"{pid}/cwd", dir_fd=self._proc)
            path = os.path.join(folder, path)  # noqa: PTH118 - text, perhaps not UTF-8
        path = os.path.realpath(path)
        return f"unix {path}" if path in self._services.sockets and not path.startswith(_LOOKUPS) else ""

    def _kind(self, pid: int, descriptor: int) -> str:
        """Return tcp, udp or raw: the socket itself tells."""
        try:
            with socket.socket(fileno=linux.copy_of_descriptor(self._proc, pid, descriptor)) as copy:
                kind = copy.type
        except OSError:
            return "ip"
        return {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}.get(kind, "raw")


def _ioctl(descriptor: int, request: int, argument: bytearray | int) -> None:
    import fcntl  # this module is imported on other systems, too

    fcntl.ioctl(descriptor, request, argument)


def sent_to(address: bytes) -> bytes:
    """Return where a message goes: one without a family goes by IPv4 (net/ipv4/udp.c)."""
    return struct.pack("=H", socket.AF_INET) + address[2:] if address[:2] == b"\0\0" and len(address) > 7 else address  # noqa: PLR2004 - with its host


def _text(memory: int, place: int, most: int) -> bytes:
    """Return the text at a place, cut: up to its zero byte."""
    return os.pread(memory, most, place).split(b"\0", 1)[0] if place else b""


def _words(memory: int, place: int) -> list[bytes]:
    if not place:
        return []
    held = os.pread(memory, 8 * _MOST_WORDS, place)
    words = []
    for (pointer,) in struct.iter_unpack("=Q", held[: len(held) // 8 * 8]):
        if not pointer:
            break
        words.append(_text(memory, pointer, _LONGEST_WORD))
    return words


def _named(memory: int, place: int) -> tuple[int, int]:
    """Return where a struct msghdr's address lies, and its length."""
    pointer, size = struct.unpack("=QI", os.pread(memory, 12, place))
    return pointer, size
