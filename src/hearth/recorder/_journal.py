"""Journal: an append-only file with group commit, one for each execution.

A line is `event_hash SP JCS(entry) LF`. Lines are handed over in memory; a thread writes and syncs what has come
together, at most 5 ms behind. `sync` does so at once, in the caller's thread, for two changes of thread would cost a
third of what the disk takes; meanwhile the journal's thread watches the deadline. Lines leave memory only when they are
durable, and the file's size says how far a commit came, so one that Ctrl-C broke off is carried on by the next.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import signal
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hearth.errors import JournalLockedError, RecorderError
from hearth.recorder._directory import sync_directory
from hearth.recorder._lines import CHUNK, chunks, whole_lines
from hearth.recorder._lock import lock_soon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Journal"]

# How long lines gather before the thread writes them; with the write itself that stays below 5 ms.
_WINDOW_SECONDS = 0.003
# Back pressure: with as many lines in memory the caller waits for the disk.
_MOST_PENDING = 4096
_DEADLINE_SECONDS = 30.0
# How often, in one deadline, the thread looks whether a caller's sync has passed it.
_LOOKS = 8
_LATE = "the disk did not answer within {:g} s"
_BINARY = getattr(os, "O_BINARY", 0)
_fdatasync = getattr(os, "fdatasync", os.fsync)
_log = logging.getLogger("hearth.recorder")


class Journal:
    """A journal file open for writing, locked against every other writer. It fulfils `JournalSink`.

    After a failed write or sync, a missed deadline, or when the file was removed or replaced, what is on disk is
    unknown, so the journal is dead: every later call raises RecorderError, also in a process forked from the writer.
    """

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
        self._size = 0  # where the first of them belongs
        self._begun = False  # a commit is under way, or was broken off
        self._turn = 0  # the number of commits
        self._since: float | None = None  # when the commit under way began, on the monotonic clock
        self._claimed = False
        self._failure: str | None = None
        self._alarms = [] if on_failure is None else [on_failure]
        self._closed = False
        self._fresh_threading()
        _writers.add(self)

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
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)
        except FileExistsError:
            message = f"{path} exists: this execution was recorded before. Use another execution id"
            raise RecorderError(message) from None
        except OSError as error:
            message = f"{path}: the journal cannot be created: {error.strerror}. Nothing was started"
            raise RecorderError(message) from error
        try:
            locked = lock_soon(descriptor)
            sync_directory(path.parent)
        except OSError as error:
            os.close(descriptor)
            message = f"{path}: the journal cannot be made durable: {error.strerror}. Nothing was started"
            raise RecorderError(message) from error
        if not locked:
            os.close(descriptor)
            message = f"{path} is being written by another process"
            raise JournalLockedError(message)
        return cls(path, descriptor, deadline, on_failure)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._path

    def claim(self) -> None:
        """Belong to one observer; a second claim raises RecorderError, for two chains in one file are none."""
        if self._claimed:
            message = f"{self._path}: another observer writes this journal; create one for each execution"
            raise RecorderError(message)
        self._claimed = True

    def append(self, line: bytes) -> None:
        """Accept one whole line; it is on disk within 5 ms, or the journal is dead and the next call says so."""
        if self._failure is not None:
            raise RecorderError(self._failure)
        pending = self._pending
        pending.append(line)
        if not self._rung:
            # After the append: the thread clears the flag before it looks, so it cannot miss this line.
            self._ring()
        if len(pending) >= _MOST_PENDING:
            self.sync()

    def hold(self, line: bytes) -> None:
        """Accept one line that `sync` will follow at once, so that the thread need not be woken twice."""
        if self._failure is not None:
            raise RecorderError(self._failure)
        self._pending.append(line)

    def sync(self) -> None:
        """Return when every accepted line is durable; RecorderError when that cannot be said within the deadline.

        A disk that never answers holds the caller, who therefore does not act; the journal is dead from then on.
        """
        if self._failure is None:
            if self._thread is None:
                self._start()
            if self._io.acquire(blocking=False):
                nested = self._since is not None  # a signal handler syncs in the middle of a sync
                try:
                    self._commit_or_die()
                finally:
                    self._io.release()
                    if not nested:
                        self._alarm()
            else:
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
        """Sync, stop the thread and unlock; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure is None:
                self.sync()
        finally:
            self._alarms.clear()
            self._failure = self._failure or f"{self._path}: the journal is closed"
            self._ring()
            if self._thread is not None:
                self._thread.join(self._deadline)
            _writers.discard(self)
            if self._thread is None or not self._thread.is_alive():
                os.close(self._descriptor)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines on disk, without LF, in bounded memory; where the journal lives, all accepted ones."""
        if self._failure is None:
            self.sync()
        try:
            if self._closed:
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
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def _ring(self) -> None:
        if self._thread is None:
            self._start()
        self._rung = True
        with suppress(RuntimeError):  # rung already
            self._bell.release()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._commit_in_groups, name="hearth-journal", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError as error:
                    self._die(str(error))
        if self._thread is None:
            self._alarm()
            raise RecorderError(self._failure)

    def _commit_in_groups(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # A signal that this thread took would not wake the main thread, which is to act on it.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self._failure is None:
            if not self._bell.acquire(timeout=self._deadline / _LOOKS):
                self._watch()
                continue
            if not self._waiting:
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
        except Exception as error:
            self._die(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._since = outer

    def _commit(self) -> None:
        if self._failure is not None or not (self._pending or self._begun):
            return
        # A signal handler may commit in the middle of this: it then takes over what is left, as `_turn` tells. The
        # interpreter runs handlers at calls and loops, so never between a comparison and the statement after it.
        turn = self._turn = self._turn + 1
        # Always the same list object: an append that comes in between lands behind what is taken here.
        taken = self._pending[:]
        count = len(taken)
        data = b"".join(taken)
        end = self._size + len(data)
        done = self._look_for_file() - self._size
        if done:  # a commit was broken off, or the file is not ours alone
            whole = self._begun and done > 0 and self._read(done) == data[:done]
            if self._turn == turn and not whole:
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
        _fdatasync(self._descriptor)
        if self._turn != turn:
            return
        del self._pending[:count]
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
        self._failure = self._failure or (
            f"{self._path}: the journal could not be written ({why}); what reached the disk is unknown, so the run "
            "stops here. Mend that, then run `hearth recover`"
        )

    def _alarm(self) -> None:
        """Tell who asked to be told that the journal died, once; called where this thread holds none of its locks."""
        while self._failure is not None and self._alarms:
            with suppress(IndexError):  # another thread was quicker
                alarm = self._alarms.pop()
                try:
                    alarm(self._failure)
                except Exception:  # noqa: BLE001 - whoever asked, the run has to stop
                    _log.exception("%s: what was to be called when the journal dies failed", self._path)

    def _abandon(self) -> None:
        """In a forked child: this process is not the writer, and must neither write nor hold the lock's file."""
        self._failure = f"{self._path}: the journal belongs to the process that opened it, not to one forked from it"
        self._alarms.clear()
        self._closed = True
        self._fresh_threading()  # the parent's locks may be held for ever here
        with suppress(OSError):
            os.close(self._descriptor)


_writers: weakref.WeakSet[Journal] = weakref.WeakSet()


def _abandon_all() -> None:
    for journal in list(_writers):
        journal._abandon()  # noqa: SLF001 - the module's own class


@atexit.register
def _close_all() -> None:
    """Write what was accepted in the last milliseconds of a process that ends without closing its journals."""
    for journal in list(_writers):
        with suppress(RecorderError):
            journal.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
