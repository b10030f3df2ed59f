"""SQLite's files: what is one, whether somebody uses it, a consistent copy of one that is in use."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ObservationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

__all__ = ["DatabaseFiles", "held_by_others", "in_use", "is_sqlite", "open_unchanged", "readable_uri", "snapshot"]

_MAGIC = b"SQLite format 3\0"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class DatabaseFiles:
    """A database's file with its write-ahead log and rollback journal (None: there is none), wherever these lie."""

    main: Path
    wal: Path | None = None
    journal: Path | None = None

    @classmethod
    def beside(cls, path: Path) -> DatabaseFiles:
        """Return the files as SQLite names them: beside the database, `-wal` and `-journal` behind its real name."""
        real = path.resolve()
        found = [_if_filled(real.with_name(real.name + end)) for end in ("-wal", "-journal")]
        return cls(path, *found)


def is_sqlite(path: Path) -> bool:
    """Whether a path is a regular file that begins as SQLite's format does (sqlite.org/fileformat.html, 1.3).

    False also where it cannot be read. An empty file is none, though SQLite would take it.
    """
    try:
        flags = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
        descriptor = os.open(path, flags)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(_MAGIC)) == _MAGIC
    except OSError:
        return False
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Whether somebody else has a database open, or has left work in its log or journal.

    True where a `-wal` or `-journal` with content or a `-shm` lies beside it, where anybody holds a lock on it
    (/proc/locks, proc_locks(5)), or where another process has it open (/proc/PID/fd). As an ordinary user one does not
    see what other users' processes have open, only their locks; outside Linux the files beside it are all that is seen.
    """
    beside = DatabaseFiles.beside(path)
    if beside.wal is not None or beside.journal is not None or os.path.lexists(f"{path.resolve()}-shm"):
        return True
    return held_by_others(path)


def held_by_others(path: Path) -> bool:
    """Whether another process holds a lock on a file or has it open; as `in_use`, but for the files beside it."""
    try:
        status = path.stat()
    except OSError:
        return False
    return _is_locked(status, but=os.getpid()) or _is_open(status)


def _is_locked(status: os.stat_result, *, but: int | None = None) -> bool:
    """Whether a process other than `but` holds a lock on a file."""
    try:
        lines = (_PROC / "locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    # 1: POSIX  ADVISORY  WRITE 4711 fd:01:1234 1073741824 1073742335    (device in hexadecimal, inode in decimal)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    if not os.major(status.st_dev):
        place = (
            f":{status.st_ino}"  # Btrfs and the like have one device here and another in stat(2): better once too often
        )
    for line in lines:
        words = [word for word in line.split()[1:] if word != "->"]
        if len(words) > 4 and words[4].endswith(place) and words[3] != str(but):  # noqa: PLR2004 - proc_locks(5)
            return True
    return False


def _is_open(status: os.stat_result) -> bool:
    own = os.getpid()
    try:
        numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    except OSError:
        return False
    for number in numbers:
        if number == own:
            continue
        with contextlib.suppress(OSError), os.scandir(_PROC / str(number) / "fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
                        return True
    return False


def snapshot(path: Path, to: Path, *, timeout: float = 30.0) -> None:
    """Write a consistent copy of a database, which may be in use, to a new file; the database is not written.

    What is committed is in it, from the write-ahead log too. `timeout` is seconds to wait for a lock. ObservationError
    when there is no database, `to` is there, or it stays locked.
    """
    import apsw

    if not path.is_file():
        raise ObservationError(f"there is no database {path}")
    if os.path.lexists(to):
        raise ObservationError(f"{to} is there already: a copy of a database gets a new file")
    try:
        with open_unchanged(path, timeout=timeout) as source:
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            target = apsw.Connection(to.absolute().as_uri(), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
            try:
                with target.backup("main", source, "main") as backup:
                    backup.step()
            finally:
                target.close()
    except (apsw.Error, OSError) as error:
        to.unlink(missing_ok=True)
        raise ObservationError(f"the database {path} cannot be copied: {error}") from error


@contextlib.contextmanager
def open_unchanged(files: Path | DatabaseFiles, *, timeout: float = 30.0) -> Iterator[apsw.Connection]:
    """Give a connection that reads a database, to which and beside which nothing is written.

    Reading takes SQLite's usual locks where the database is in use. Work that a crash has left in a log or journal is
    finished on a copy of the files. apsw.Error or OSError when it cannot be read.
    """
    import apsw

    with readable_uri(files) as uri:
        # The URI itself says `mode=ro`; the flag is for a copy whose journal has to be played back.
        db = apsw.Connection(uri, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
        try:
            db.set_busy_timeout(int(timeout * 1000))
            db.execute("PRAGMA query_only = 1")
            yield db
        finally:
            db.close(True)  # noqa: FBT003 - apsw's own: also with statements under way


@contextlib.contextmanager
def readable_uri(files: Path | DatabaseFiles) -> Iterator[str]:
    """Give a URI by which SQLite reads a database as `open_unchanged` says; OSError where there is none."""
    wanted = DatabaseFiles.beside(files) if isinstance(files, Path) else files
    status = wanted.main.stat()
    uri = wanted.main.resolve().as_uri()
    if isinstance(files, Path) and (_is_locked(status) or _is_open(status)):
        yield f"{uri}?mode=ro"  # those who have it open have made the files that a reader needs
    elif wanted.wal is not None or wanted.journal is not None:
        with _copied(wanted) as copy:
            yield copy
    elif _is_wal(wanted.main):
        yield f"{uri}?immutable=1"  # else also a reader makes a log
    else:
        yield f"{uri}?mode=ro"


def _is_wal(path: Path) -> bool:
    """Whether a database's header says that it is read with a write-ahead log (fileformat.html, 1.3.3)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"


@contextlib.contextmanager
def _copied(files: DatabaseFiles) -> Iterator[str]:
    """Give the URI of a copy of the files; who opens it finishes the work that is left in them."""
    with tempfile.TemporaryDirectory(prefix="hearth-sqlite-") as name:
        copy = Path(name) / "database"
        shutil.copyfile(files.main, copy)
        for file, end in ((files.wal, "-wal"), (files.journal, "-journal")):
            if file is not None:
                shutil.copyfile(file, f"{copy}{end}")
        yield copy.as_uri()


def _if_filled(path: Path) -> Path | None:
    try:
        return path if path.stat().st_size else None
    except OSError:
        return None
