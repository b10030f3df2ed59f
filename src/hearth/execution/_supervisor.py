"""What stands between HEARTH and the command of a step: the parent of all that the command leaves behind, and its end.

A part of the program in `_nursery_process`, in a process of its own, that serves one command at a time. Being a child
subreaper, it becomes the parent of every descendant of the command that loses its own, whatever session, group or
environment that has made itself. So it is certain when nothing is left: when it has no child any more.

From HEARTH, over the control socket: a command (`_wire`), then single letters: `t` sends TERM to all; `c` the same,
and counts them first; `k` kills until nothing is left. To HEARTH, lines: `started PID OWN` (with a descriptor of the
command, and one of this process) or `failed ERRNO`; `exit CODE`; `left NUMBER`, the answer to `c`; while it kills,
`stuck PID …` with what still lives; and at last `gone`. When HEARTH is gone, it kills as for `k`.
"""

from __future__ import annotations

import _socket  # the module around it would double the time that this program needs to start
import contextlib
import errno
import os
import select
import signal
import time

from hearth.execution._kin import signal_family
from hearth.execution._wire import Request, receive_request, rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ear", "supervise"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two looks for what is left to kill
_PAUSE_WITHOUT_HEARTH = 1.0
_LONGEST_WITHOUT_HEARTH = 60.0  # seconds; by then a process lives only if it may not be killed
_FLAGS = _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT
_TELL_EVERY, _MOST_TOLD = 0.25, 40
_TO_DEFAULT = {signal.SIGPIPE, signal.SIGXFSZ}  # Python ignores them, and a command must not


class Ear:
    """Makes the end of a child readable: `fileno()` is what to wait for."""

    def __init__(self) -> None:
        self._heard, written = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._heard

    def clear(self) -> None:
        """Forget what was heard."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._heard, 4096)


def supervise(control: _socket.socket, hearth: int, ignored: frozenset[int]) -> None:
    """Run one command after the other, as they come; return when HEARTH hangs up or is gone, and nothing is left.

    `hearth` is a descriptor of HEARTH's process, `ignored` are the signals that HEARTH's children ignore.
    """
    ear = Ear()
    wait = select.poll()
    wait.register(control, select.POLLIN)
    wait.register(hearth, select.POLLIN)
    while not any(descriptor == hearth for descriptor, _ in wait.poll()):
        if control.recv(1, _socket.MSG_PEEK) in (b"t", b"c", b"k"):  # it came when its command was just gone
            control.recv(1)
            continue
        request = receive_request(control)
        if request is None or not _Supervisor(control, hearth, ear).run(request, ignored):
            return


class _Supervisor:
    """One command, from its start until nothing of it is left."""

    def __init__(self, control: _socket.socket, hearth: int, ear: Ear) -> None:
        self._control = control
        self._hearth = hearth
        self._ear = ear
        self._leader = 0  # 0 when it has ended: its number may be another's then
        self._killing = self._deserted = False
        self._since = self._next_look = self._next_tale = 0.0
        self._pause = _SHORTEST_PAUSE
        self._told = 0

    def run(self, request: Request, ignored: frozenset[int]) -> bool:
        """Return whether HEARTH is still there to send the next one."""
        if self._is_late():
            return False
        try:
            self._leader = _spawn(request, ignored)
        except (OSError, NotImplementedError) as error:
            self._say(f"failed {getattr(error, 'errno', None) or errno.ENOSYS}")
            return True
        finally:
            for stream in request.streams:
                os.close(stream)
            os.chdir("/")
        handles = os.pidfd_open(self._leader), os.pidfd_open(os.getpid())
        self._say(f"started {self._leader} {os.getpid()}", handles)
        for handle in handles:
            os.close(handle)
        self._serve()
        return not self._deserted

    def _is_late(self) -> bool:
        """Whether HEARTH has hung up, or died, since it sent the command: then it must not act any more."""
        wait = select.poll()
        wait.register(self._control, select.POLLHUP)
        wait.register(self._hearth, select.POLLIN)
        return bool(wait.poll(0))

    def _serve(self) -> None:
        wait = select.poll()
        for what in (self._control, self._hearth, self._ear):
            wait.register(what, select.POLLIN)
        while True:
            for descriptor, _ in wait.poll(self._patience()):
                if descriptor == self._ear.fileno():
                    self._ear.clear()
                elif descriptor == self._hearth or not self._hear():
                    wait.unregister(descriptor)
                    self._deserted = True
                    self._kill()
            if self._reap():
                self._say("gone")
                return
            if self._killing and not self._go_on_killing(time.monotonic()):
                return

    def _patience(self) -> float | None:
        return max(0.0, self._next_look - time.monotonic()) * 1000 if self._killing else None

    def _hear(self) -> bool:
        """Do what HEARTH says; False when it will say nothing more."""
        try:
            letters = self._control.recv(64, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for letter in letters.decode("ascii", "replace"):
            if letter in "ct":
                left = signal_family(os.getpid(), (signal.SIGTERM, signal.SIGCONT))  # a stopped one could not answer
                if letter == "c":
                    self._say(f"left {len(left)}")
            elif letter == "k":
                self._kill()
        return bool(letters)

    def _kill(self) -> None:
        if self._leader:  # the whole group at once: none of it can be born meanwhile
            with contextlib.suppress(OSError):
                os.killpg(self._leader, signal.SIGKILL)
        if not self._killing:
            self._since = time.monotonic()
            self._next_tale = self._since + _TELL_EVERY
        self._killing = True
        self._next_look = 0.0

    def _go_on_killing(self, now: float) -> bool:
        """Look for what is left, when it is time to, and kill it; False when that is given up."""
        if now >= self._next_look:
            # Who has been sent KILL cannot fork any more; who is born before that is found the next time.
            left = signal_family(os.getpid(), (signal.SIGKILL,))
            if now >= self._next_tale and self._told < _MOST_TOLD:
                self._say(" ".join(("stuck", *(str(process.pid) for process in left))))
                self._next_tale = now + _TELL_EVERY
                self._told += 1
            self._pause = min(2 * self._pause, _PAUSE_WITHOUT_HEARTH if self._deserted else _LONGEST_PAUSE)
            self._next_look = time.monotonic() + self._pause
        return not self._deserted or now < self._since + _LONGEST_WITHOUT_HEARTH

    def _reap(self) -> bool:
        """Wait for all that have ended; True when no child is left, and so no descendant."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self._leader:
                self._leader = 0
                self._say(f"exit {os.waitstatus_to_exitcode(status)}")

    def _say(self, line: str, handles: tuple[int, ...] = ()) -> None:
        # It may be gone, or not have read for long: nothing here depends on that it hears this.
        with contextlib.suppress(OSError):
            self._control.sendmsg([line.encode("ascii") + b"\n"], rights(handles), _FLAGS)


def _spawn(request: Request, ignored: frozenset[int]) -> int:
    """Start the command as the leader of a session of its own; return its number. OSError when it cannot be started."""
    os.chdir(request.cwd)
    _part(request)
    given = iter(request.streams)
    actions = []
    for target in request.targets:
        source = next(given)
        if source == target:
            os.set_inheritable(source, True)  # noqa: FBT003 - positional only
        else:
            actions.append((os.POSIX_SPAWN_DUP2, source, target))
    first: OSError | None = None
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in _candidates(request):
        try:
            return os.posix_spawn(
                program,
                request.argv,
                request.env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_TO_DEFAULT | ({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM} - ignored),
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            last = error
        except OSError as error:
            first = first or error
    raise first or last


def _part(request: Request) -> None:
    """Have no stream at a number that another one gets: each is put in its place after the other."""
    for place, source in enumerate(request.streams):
        if source in request.targets and request.targets[place] != source:
            import fcntl  # seldom needed

            above = max(request.targets) + 1
            request.streams[place] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
            os.close(source)


def _candidates(request: Request) -> Iterator[bytes]:
    """Yield where the program may lie, as execvp looks for it."""
    name = request.argv[0]
    if b"/" in name:
        yield name
        return
    for folder in request.env.get(b"PATH", os.defpath.encode()).split(b":"):
        path = os.path.join(folder, name)  # noqa: PTH118 - pathlib would cost more than the rest
        if os.path.lexists(path):
            yield path
