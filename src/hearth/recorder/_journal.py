"""Journal: an append-only file with group commit, one for each execution.

A line is `event_hash SP JCS(entry) LF`. Lines are handed over in memory; a thread writes and syncs what has come
together, at most 5 ms behind. `sync` does so at once, in the caller's thread, for two changes of thread would cost a
third of what the disk takes; meanwhile the journal's thread watches the deadline. Lines leave memory only when they are
durable, and the file's size says how far a commit came, so one that Ctrl-C broke off is carried on by the next.
A signal handler can come behind every call, and use the journal: what belongs together therefore stands in statements
without one (the appender's "one breath").
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hearth.errors import RecorderError
from hearth.recorder._lines import CHUNK, chunks, whole_lines
from hearth.recorder._new_file import new_locked_file
from hearth.recorder._writers import writers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Journal"]

# How long lines gather before the thread writes them; with the write itself that stays below 5 ms.
_WINDOW_SECONDS = 0.003
_FLOOD = 256  # as many lines need not gather: waiting would only let the thread queue behind a busy caller once more
# Back pressure: with as many lines in memory the caller waits for the disk.
_MOST_PENDING = 8192
_DEADLINE_SECONDS = 30.0
# How often, in one deadline, the thread looks whether a caller's sync has passed it.
_LOOKS = 8
_LATE = "the disk did not answer within {:g} s"
_fdatasync = getattr(os, "fdatasync", os.fsync)
_log = logging.getLogger("hearth.recorder")


class Journal:
    """A journal file open for writing, locked against every other writer. It fulfils `JournalSink`.

    After a failed write or sync, a missed deadline, or when the file was removed or replaced, what is on disk is
    unknown, so the journal is dead: every later call raises RecorderError, also in a process forked from the writer.
    """

    prompt = True  # `sync` finds lines that no `nudge` announced

    def __init__(
        self, path: Path, descriptor: int, deadline: float, on_failure: Callable[[str], object] | None = None
    ) -> None:
        """Use `Journal.create`."""
        self._path = path
        self._name = str(path)
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._deadline = deadline
        self._pending: list[bytes] = []  # accepted, and not yet durable
        self._durable = 0  # how many lines were before them
        self._size = 0  # where the first of them belongs
        self._begun = False  # a commit is under way, or was broken off
        self._turn = 0  # the number of commits
        self._since: float | None = None  # when the commit under way began, on the monotonic clock
        self._claimed = False
        self._failure: str | None = None
        self._refuse: Callable[[str], object] = lambda _: None
        self._alarms = [] if on_failure is None else [on_failure]
        self._fresh_threading()
        self._thread = threading.Thread(target=self._commit_in_groups, name="hearth-journal", daemon=True)
        try:
            self._thread.start()  # now: later, a signal handler that uses the journal might find it half started
        except BaseException:
            self._failure = "the journal's thread did not start"
            raise
        writers.add(self)

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        deadline: float = _DEADLINE_SECONDS,
        on_failure: Callable[[str], object] | None = None,
    ) -> Self:
        """Create the file (0600), which must not exist, and lock it. `deadline`: seconds that a sync may take.

        `on_failure(why)` is called once, when the journal dies, from the thread that notices, also while a caller still
        hangs in its sync; it must be quick, and what it raises is logged. Raises RecorderError when the file exists or
        cannot be made, JournalLockedError when another writer has it.
        """
        path = Path(path).absolute()  # a later change of the working directory changes nothing
        descriptor = new_locked_file(path)
        try:
            return cls(path, descriptor, deadline, on_failure)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, RuntimeError):
                message = f"{path}: the journal's thread cannot be started: {error}. Nothing was started"
                raise RecorderError(message) from error
            raise

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._path

    @property
    def accepted(self) -> list[bytes]:
        """Where an observer puts its lines, by a statement that nothing can interrupt; then it calls `nudge`."""
        return self._pending

    def claim(self) -> None:
        """Belong to one observer; a second claim raises RecorderError, for two chains in one file are none."""
        if self._claimed:
            message = f"{self._path}: another observer writes this journal; create one for each execution"
            raise RecorderError(message)
        self._claimed = True

    def stop_at_death(self, refuse: Callable[[str], object]) -> None:
        """Call `refuse(why)` when the journal dies or is closed."""
        self._refuse = refuse

    def append(self, line: bytes) -> None:
        """Accept one whole line; it is on disk within 5 ms, or the journal is dead and the next call says so."""
        if self._failure is not None:
            raise RecorderError(self._failure)
        self._pending.append(line)
        self.nudge()

    def nudge(self) -> None:
        """Let the thread know of new lines; RecorderError when the journal is dead, so that they go nowhere."""
        if self._failure is not None:
            raise RecorderError(self._failure)
        if not self._rung:
            # After the append: the thread clears the flag before it looks, so it cannot miss this line.
            self._ring()
        if len(self._pending) >= _MOST_PENDING:
            self.sync()

    def sync(self) -> None:
        """Return when every accepted line is durable; RecorderError when that cannot be said within the deadline.

        A disk that never answers holds the caller, who therefore does not act; the journal is dead from then on.
        """
        wanted = self._durable + len(self._pending)
        # A signal handler may take the commit over, and may be broken off itself: only what is durable counts.
        while self._failure is None and self._durable < wanted:
            if not self._committed_here():
                self._ask_thread()
        if self._failure is not None:
            raise RecorderError(self._failure)

    def check(self) -> None:
        """Raise RecorderError when nothing more can be recorded here: the journal is dead, hangs, or lost its file.

        It only looks. What has been accepted is durable after the next `sync`, not after this.
        """
        if self._failure is None:
            self._watch()
            try:
                self._look_for_file()
            except OSError as error:
                self._die(error.strerror or str(error))
                self._alarm()
        if self._failure is not None:
            raise RecorderError(self._failure)

    def close(self) -> None:
        """Sync, stop the thread and unlock; a second call does nothing.

        An interrupt may leave it open, so that nothing accepted is lost: then it can be closed again.
        """
        if self._descriptor < 0:
            return
        try:
            if self._failure is None:
                self.sync()
        finally:
            if self._failure is not None or not self._pending:
                self._alarms.clear()
                self._fail(f"{self._path}: the journal is closed")
                self._ring()
                self._thread.join(self._deadline)
                writers.discard(self)
                if not self._thread.is_alive():
                    self._close_file()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines on disk, without LF, in bounded memory; where the journal lives, all accepted ones."""
        if self._failure is None:
            self.sync()
        try:
            if self._descriptor < 0:
                with self._path.open("rb") as file:
                    yield from whole_lines(iter(lambda: file.read(CHUNK), b""))
            else:
                yield from whole_lines(chunks(self._descriptor))  # the file may have lost its name
        except OSError as error:
            message = f"{self._path}: the journal cannot be read: {error.strerror}"
            raise RecorderError(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _committed_here(self) -> bool:
        """Commit in the caller's thread, unless another one has the file; return whether it was free."""
        nested = self._since is not None  # a signal handler syncs in the middle of a sync
        try:
            free = self._io.acquire(blocking=False)
            if free:
                self._commit_or_die()
            return free
        finally:
            # Within `try`, and without a call in between, `acquire` is surely balanced; where it failed, the lock is
            # another thread's, and this does nothing.
            try:  # noqa: SIM105 - `suppress` is a call
                self._io.release()
            except RuntimeError:
                pass
            if not nested:
                self._alarm()

    def _ask_thread(self) -> None:
        """Wait for another commit by the thread, which is in the middle of one."""
        answered = threading.Lock()
        answered.acquire()
        self._waiting.append(answered)
        with suppress(RuntimeError):
            self._urgent.release()
        self._ring()
        # The thread may have gone before it saw who waits.
        if self._failure is None and not answered.acquire(timeout=self._deadline):
            self._die(_LATE.format(self._deadline))
            self._alarm()

    # --- the thread's side

    def _fresh_threading(self) -> None:
        self._io = threading.RLock()  # held around every use of the file
        self._bell = threading.Lock()  # a plain lock: handing over takes a few microseconds
        self._bell.acquire()
        self._urgent = threading.Lock()
        self._urgent.acquire()
        self._rung = False
        self._waiting: list[threading.Lock] = []

    def _ring(self) -> None:
        self._rung = True
        try:  # noqa: SIM105 - `suppress` is a call: an exception between the two would silence the bell for good
            self._bell.release()
        except RuntimeError:  # rung already
            pass

    def _commit_in_groups(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # A signal that this thread took would not wake the main thread, which is to act on it.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self._failure is None:
            if not self._bell.acquire(timeout=self._deadline / _LOOKS) and not self._pending:
                self._watch()  # lines without a bell: an interrupt came in between
                continue
            if not self._waiting and len(self._pending) < _FLOOD:
                self._urgent.acquire(timeout=_WINDOW_SECONDS)
            self._rung = False
            self._urgent.acquire(blocking=False)
            waiting = self._waiting[:]
            del self._waiting[: len(waiting)]
            try:
                # A caller that syncs now may never come back: keep an eye on it.
                while not self._io.acquire(timeout=self._deadline / _LOOKS):
                    self._watch()
                    if self._failure is not None:
                        return
                try:
                    self._commit_or_die()
                except BaseException as error:
                    self._die(f"{type(error).__name__}: {error}")
                    raise
                finally:
                    self._io.release()
                    self._alarm()
            finally:
                for answered in waiting:
                    answered.release()
        for answered in self._waiting:
            answered.release()

    def _watch(self) -> None:
        since = self._since
        if since is not None and time.monotonic() - since > self._deadline:
            self._die(_LATE.format(self._deadline))
            _log.critical("%s", self._failure)  # the caller itself cannot speak
            self._alarm()

    def _commit_or_die(self) -> None:
        outer = self._since
        try:
            self._since = outer or time.monotonic()
            self._commit()
        except OSError as error:
            self._die(error.strerror or str(error))
        except MemoryError:
            self._die("no memory is left")
            raise
        finally:  # and anything else is a signal handler's: the next commit carries on
            self._since = outer

    def _commit(self) -> None:
        if self._failure is not None or not self._pending:
            return
        # A signal handler may commit in the middle of this: it then takes over what is left, as `_turn` tells. The
        # interpreter runs handlers at calls and loops, so never between a comparison and the statement after it.
        turn = self._turn = self._turn + 1
        # Always the same list object: an append that comes in between lands behind what is taken here.
        taken = self._pending[:]
        count = len(taken)
        whole = slice(0, count)
        data = b"".join(taken)
        end = self._size + len(data)
        done = self._look_for_file() - self._size
        if done:  # a commit was broken off, or the file is not ours alone
            ours = self._begun and done > 0 and self._read(done) == data[:done]
            if self._turn == turn and not ours:
                raise OSError(errno.ESTALE, "somebody else has changed the file")
            data = data[done:]
        while data and self._failure is None:
            if self._turn != turn:
                return
            self._begun = True
            written = os.write(self._descriptor, data)
            if written == 0:
                raise OSError(errno.EIO, "nothing could be written")
            data = data[written:]
        if self._turn != turn:
            return
        _fdatasync(self._descriptor)
        if self._turn != turn:
            return
        del self._pending[whole]
        self._durable += count
        self._size = end
        self._begun = False

    def _read(self, count: int) -> bytes:
        return b"".join(chunks(self._descriptor))[self._size : self._size + count]

    def _look_for_file(self) -> int:
        """Return its size. A file that no name leads to any more is no evidence."""
        try:
            there = os.stat(self._name)  # noqa: PTH116 - a Path would cost as much again
        except OSError as error:
            raise OSError(error.errno, f"the file is gone: {error.strerror}") from error
        if (there.st_dev, there.st_ino) != self._identity:
            raise OSError(errno.ESTALE, "another file has taken its place")
        return there.st_size

    def _die(self, why: str) -> None:
        self._fail(
            f"{self._path}: the journal could not be written ({why}); what reached the disk is unknown, so the run "
            "stops here. Mend that, then run `hearth recover`"
        )

    def _fail(self, message: str) -> None:
        if self._failure is None:
            self._failure = message
        self._refuse(self._failure)

    def _alarm(self) -> None:
        """Tell who asked to be told that the journal died, once; called where this thread holds none of its locks."""
        while self._failure is not None and self._alarms:
            with suppress(IndexError):  # another thread was quicker
                alarm = self._alarms.pop()
                try:
                    alarm(self._failure)
                except Exception:  # noqa: BLE001 - whoever asked, the run has to stop
                    _log.exception("%s: what was to be called when the journal dies failed", self._path)

    def abandon(self) -> None:
        """In a forked child: this process is not the writer, and must neither write nor hold the lock's file."""
        self._failure = f"{self._path}: the journal belongs to the process that opened it, not to one forked from it"
        self._refuse(self._failure)
        self._alarms.clear()
        self._fresh_threading()  # the parent's locks may be held for ever here
        with suppress(OSError):
            self._close_file()

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
