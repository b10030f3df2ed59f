"""Observing a command that runs on the host itself: this side of it. Linux; says why not elsewhere.

The command's first process installs a filter of system calls by itself (`_in_place_launch`), and an observer
(`_in_place_process`) looks at each of them before it goes on.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import ObservationError
from hearth.observe._change import Change
from hearth.observe._in_place_filter import filter_of_this_machine
from hearth.observe._program import program_text
from hearth.observe._sandbox_wire import receive_message, send, send_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["HostObserver", "Observed", "host_observer_why_not", "prepare_host_observers"]

_START = """
import json, sys
sys.dont_write_bytecode = True
sys.path[:] = json.loads(sys.argv.pop(1))
from hearth.observe._in_place_process import main
main(sys.argv[1:])
"""
_LAUNCH = str(Path(__file__).with_name("_in_place_launch.py"))
_START_SECONDS = 20.0
_END_SECONDS = 900.0  # to compare what the step changed
_ATTEMPTS = 3
_LENGTH = 8  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a command on the host did. `actions` are what it did to other processes and to the machine, as words."""

    changes: tuple[Change, ...] = ()
    programs: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class HostObserver:
    """The observer of one command; `close` it in any case.

    `ignore` are paths that are not told, `search` are folders in which other names of changed files are looked for.
    With `yielding` the command may have to give up new privileges for it (NO_NEW_PRIVS), so that set-uid programs are
    powerless. `why_not` says, once the command was started, why it is not observed ("": it is).
    """

    def __init__(self, *, ignore: Sequence[str] = (), search: Sequence[str] = (), yielding: bool = False) -> None:
        self.why_not = ""
        self._told = {"ignore": list(ignore), "search": list(search)}
        self._yielding = yielding
        self._control: socket.socket | None = None
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(_START_SECONDS)

    def launch(self) -> tuple[tuple[str, ...], int]:
        """Return the words of the program to start in the command's stead, and the descriptor that it has to inherit.

        It is to be started with the command's folder, in an empty environment.
        """
        number = self._theirs.fileno()
        return (sys.executable, "-I", "-S", _LAUNCH, str(number)), number

    def begin(
        self,
        pid: int,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        supervised: bool,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the program that was started become the command. OSError and ValueError where that cannot be started.

        `supervised` says that the program's parent is the parent of all that the command leaves behind. `go_on` is
        called last of all before, and raises where the command must not be started any more.
        ObservationError where nobody knows what became of it: it has to be killed.
        """
        self._theirs.close()
        call, code = self._prepared({**self._told, "pid": pid, "supervised": supervised})
        self._send(call, code, argv, env)
        if code:
            self._listen()
        go_on()
        try:
            self._ours.sendall(b"g")
            said = self._line()
        except OSError as error:
            raise ObservationError(
                f"whether {argv[0]!r} was started is not known: what was to start it did not answer"
            ) from error
        if said:
            number = int(said[1:])
            if not self.why_not and self._has_ended():
                raise ObservationError(f"{argv[0]!r} was not started: its observer has ended")
            raise OSError(number, os.strerror(number))
        self._ours.close()

    def finish(self) -> Observed:
        """Return what it did, once it has ended. ObservationError where the observer did not see its end."""
        if self._control is None:
            return Observed()
        self._control.settimeout(_END_SECONDS)
        try:
            send_message(self._control, {"finish": True})
            received = receive_message(self._control)
        except OSError:
            received = None
        if received is None:
            raise ObservationError("the observer of its system calls ended before it did: what it did is not known")
        told = received[0]
        return Observed(
            changes=tuple(map(Change.from_dict, told["changes"])),
            programs=tuple(sorted({program_text(words) for words in told["programs"]})),
            connections=tuple(told["connections"]),
            actions=tuple(told["actions"]),
            unseen=tuple(told["unseen"]),
        )

    def close(self) -> None:
        """Give every descriptor back."""
        for end in (self._ours, self._theirs, self._control):
            if end is not None:
                end.close()

    def _prepared(self, told: Mapping[str, Any]) -> tuple[int, bytes]:
        """Have an observer that can look into the program; return what `filter_of_this_machine` does, or no filter.

        OSError where there can be no observer though there should be: the command is not started then.
        """
        try:
            call, code = filter_of_this_machine()
        except OSError as error:
            self._forgo(error.strerror)
            return 0, b""
        for _ in range(_ATTEMPTS):
            self._control = _SERVER.observer()
            with suppress(OSError):
                send_message(self._control, dict(told))
                received = receive_message(self._control)
                if received is not None and "ready" in received[0]:
                    return call, code
                if received is not None:
                    self._forgo(str(received[0]["problem"]))
                    return 0, b""
            self._control.close()  # it was killed, or is not heard of
        raise OSError("its observer ends as soon as it is started")

    def _send(self, call: int, code: bytes, argv: Sequence[str], env: Mapping[str, str]) -> None:
        head = [code.hex().encode(), b"%d" % call, b"1" if self._yielding else b"0", b"%d" % len(argv)]
        words = [*map(os.fsencode, argv), *(os.fsencode(f"{name}={value}") for name, value in env.items())]
        if any("=" in name or not name for name in env):
            raise ValueError("illegal environment variable name")
        if any(b"\0" in word for word in words):
            raise ValueError("embedded null byte")
        content = b"\0".join([*head, *words])
        self._ours.sendall(len(content).to_bytes(_LENGTH, "big") + content)

    def _listen(self) -> None:
        """Pass the listener on to the observer, or learn why there is none."""
        said = self._line()
        if said[:1] == b"L" and self._control is not None:
            send_message(self._control, {"listener": int(said[1:])})
            if receive_message(self._control) is None:  # nobody answers its calls: it must not start
                raise OSError("its observer has ended")
        elif not said:
            raise OSError("it ended before it was the command")
        else:
            number = int(said[1:] or b"0")
            self._forgo(f"the kernel refuses the filter of its system calls: {os.strerror(number)}")

    def _forgo(self, why: str | None) -> None:
        self.why_not = why or "it is not known why"
        if self._control is not None:
            self._control.close()
            self._control = None

    def _has_ended(self) -> bool:
        assert self._control is not None  # noqa: S101 - else there is a reason why not
        poll = select.poll()
        poll.register(self._control, select.POLLHUP)
        return bool(poll.poll(0))

    def _line(self) -> bytes:
        said = b""
        while not said.endswith(b"\n"):
            piece = self._ours.recv(64)
            if not piece:
                break
            said += piece
        return said.strip()


class _Server:
    """The process that forks observers; started when it is first needed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._user = (-1, -1)

    def prepare(self) -> None:
        """Start it, without waiting until it can work. OSError where that fails."""
        with self._lock:
            user = (os.geteuid(), os.getegid())
            if self._process is not None and (self._process.poll() is not None or user != self._user):
                self._stop()
            if self._process is not None:
                return
            self._user = user
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    paths = json.dumps([path for path in sys.path if path])
                    self._process = subprocess.Popen(
                        [sys.executable, "-I", "-S", "-c", _START, paths, str(os.getpid())],
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,  # that it cannot work is told by the steps that need it
                        cwd="/",
                        env={"PATH": os.defpath},
                        start_new_session=True,
                    )
                except OSError:
                    ours.close()
                    raise
            self._requests = ours

    def observer(self) -> socket.socket:
        """Return the control socket of a new observer. OSError where there can be none."""
        with self._lock:
            for last in (False, True):
                self.prepare()
                assert self._requests is not None  # noqa: S101 - it was started
                ours, theirs = socket.socketpair()
                ours.settimeout(_START_SECONDS)
                with theirs:
                    try:
                        send(self._requests, b"o", [theirs.fileno()])
                    except OSError:  # it was killed since
                        ours.close()
                        self._stop()
                        if last:
                            raise
                    else:
                        return ours
        raise AssertionError  # it was returned, or raised

    def close(self) -> None:
        """End it; observers at work go on until their steps are over."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        self._requests = self._process = None

    def forget(self) -> None:
        """In a forked child: it belongs to the parent."""
        if self._process is not None:
            self._process.returncode = 0  # not our child: nothing to wait for
        if self._requests is not None:
            self._requests.close()
        self.__init__()  # type: ignore[misc]


_SERVER = _Server()
atexit.register(_SERVER.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SERVER.forget)


def host_observer_why_not() -> str:
    """Return why no command can be observed on this host, as far as that shows before; "" where it may."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "only Linux tells of system calls"
    if not sys.executable:
        return "the path of the Python interpreter is not known"
    try:
        filter_of_this_machine()
    except OSError as error:
        return str(error.strerror)
    return ""


def prepare_host_observers() -> None:
    """Start what the first observed command needs, without waiting for it."""
    with suppress(OSError):
        _SERVER.prepare()
