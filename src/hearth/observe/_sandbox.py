"""Sandboxes from HEARTH's side: the server that forks them, and the processes in them. Linux."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import ObservationError
from hearth.observe._sandbox_wire import receive, receive_message, send, send_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Layout", "SandboxEnd", "SandboxServer", "SandboxedProcess"]

_START = """
import json, sys
sys.dont_write_bytecode = True
sys.path[:] = json.loads(sys.argv.pop(1))
from hearth.observe._sandbox_process import main
main(sys.argv[1:])
"""
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a sandbox's changes go, and what it sees.

    `state` is the folder of all layers (private, on a disk), `layer` the name of this one, which must be new, and
    `below` those of earlier steps, oldest first. `network` gives it the host's network. `hidden` are covered: a folder
    by an empty one that cannot be written, a file by nothing; the state folder always is. `places` are folders that an
    ordinary user wants to change although a folder above them is somebody else's: each gets an overlay of its own. The
    current folder, the home, and the folders for temporary files always do.
    """

    state: Path
    layer: str
    below: tuple[str, ...] = ()
    network: bool = False
    hidden: tuple[Path, ...] = ()
    places: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxEnd:
    """What came of a sandbox.

    `code` is the work's exit code, negative for a signal. `left` are the programs that still ran when the time that
    they had was over, and were killed. `readonly` and `failed` map paths that could not be overlaid to why. `problem`
    says why the sandbox could not be set up: then nothing ran. `programs` and `connections` are what was seen of them;
    `unseen` says why something may have gone unseen.
    """

    code: int
    left: tuple[str, ...] = ()
    readonly: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    programs: tuple[tuple[str, ...], ...] = ()
    connections: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class SandboxedProcess:
    """The work in a sandbox, and all that comes of it. `pid` is the host's number of the sandbox's init (0: none)."""

    def __init__(self, control: socket.socket, pid: int, handle: int, end: SandboxEnd | None = None) -> None:
        self.pid = pid
        self._control = control
        self._handle = handle
        self._end = end
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable at the end; -1 afterwards."""
        return self._control.fileno()

    def wait(self, timeout: float | None = None) -> SandboxEnd:
        """Return what came of it, after at most so many seconds; TimeoutError."""
        if self._end is None:
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise TimeoutError
            received = receive_message(self._control)
            self._end = _lost() if received is None else _end(received[0])
        with self._lock:
            self._control.close()
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
        return self._end

    def kill(self) -> None:
        """Kill the sandbox's init, and so everything in it, at once. Any thread may call this, at any time."""
        with self._lock:
            if self._handle >= 0:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)


class SandboxServer:
    """A process with one thread that forks sandboxes; a context manager. It ends with this process, and all with it.

    `preload` are modules that the work needs: they are imported once, so that a sandbox starts in some milliseconds.
    """

    def __init__(self, *, preload: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair()
        self._requests = ours
        self._lock = threading.Lock()
        arguments = [json.dumps([path for path in sys.path if path]), str(os.getpid()), *preload]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                # Programs in a sandbox could read it: nothing of ours stands there.
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ObservationError(f"the server of sandboxes cannot be started: {error}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self,
        layout: Layout,
        work: str,
        payload: bytes = b"",
        *,
        descriptors: Sequence[int] = (),
        linger: float = 5.0,
    ) -> SandboxedProcess:
        """Set up a sandbox and start work in it: `module:function`, called with the payload and the descriptors.

        Returns when it is set up, or could not be (then `wait` says the problem, and nothing ran). What the work leaves
        behind has `linger` seconds to end. ObservationError where the server is gone.
        """
        ours, theirs = socket.socketpair()
        try:
            (layout.state / layout.layer).mkdir(mode=0o700)
        except OSError as error:
            theirs.close()
            if isinstance(error, FileExistsError):  # whoever asks twice is mistaken
                ours.close()
                raise
            problem = f"mkdir {layout.state / layout.layer}: {error.strerror}"
            return SandboxedProcess(ours, 0, -1, SandboxEnd(code=-1, problem=problem))
        try:
            with self._lock:
                send(self._requests, b"s", [theirs.fileno(), *descriptors])
            header = {
                "state": str(layout.state),
                "layer": layout.layer,
                "below": list(layout.below),
                "network": layout.network,
                "hidden": [str(path) for path in layout.hidden],
                "places": [str(path) for path in (*_usual_places(), *layout.places)],
                "work": work,
                "linger": linger,
            }
            theirs.close()
            send_message(ours, header, payload)
            ours.settimeout(_PATIENCE)
            return _started(ours)
        except OSError as error:
            ours.close()
            raise ObservationError(f"the server of sandboxes does not answer: {error}") from error
        finally:
            theirs.close()

    def close(self) -> None:
        """End the server and every sandbox."""
        self._requests.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _started(control: socket.socket) -> SandboxedProcess:
    # One that was set up sends a descriptor first; a problem comes as a message, which begins with a zero.
    first = control.recv(1, socket.MSG_PEEK)
    if first == b"p":
        _, (handle,) = receive(control)
        received = receive_message(control)
        control.settimeout(None)
        pid = 0 if received is None else int(received[0]["pid"])
        return SandboxedProcess(control, pid, handle)
    received = receive_message(control) if first else None
    end = _lost() if received is None else SandboxEnd(code=-1, problem=str(received[0]["problem"]))
    return SandboxedProcess(control, 0, -1, end)


def _usual_places() -> Iterator[str]:
    for variable in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"):
        if os.environ.get(variable, "")[:1] == "/":
            yield os.environ[variable]
    yield "/var/tmp"  # noqa: S108 - nothing is made there
    with suppress(OSError):  # it may be gone
        yield os.getcwd()  # noqa: PTH109 - texts throughout


def _end(told: dict[str, Any]) -> SandboxEnd:
    return SandboxEnd(
        code=int(told["code"]),
        left=tuple(map(str, told["left"])),
        readonly=dict(told["readonly"]),
        failed=dict(told["failed"]),
        problem=str(told["problem"]),
        programs=tuple(tuple(map(str, argv)) for argv in told["programs"]),
        connections=tuple(map(str, told["connections"])),
        unseen=tuple(map(str, told["unseen"])),
    )


def _lost() -> SandboxEnd:
    why = "the process that kept the sandbox was killed: what came of it is not known"
    return SandboxEnd(code=-signal.SIGKILL, unseen=(why,))
