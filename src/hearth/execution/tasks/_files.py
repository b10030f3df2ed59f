"""Changing one file at once or not at all, and remembering what it was."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hearth.errors import TaskError
from hearth.execution._output import LineRedactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.execution._store import ContentStore
    from hearth.record import Redactor

__all__ = ["FileState", "keep", "locate", "replace"]

LARGEST_KEPT = 256 << 20
_PIECE = 64 << 10
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | _NO_LINK


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file was at one moment: its digest (None: withheld, `why` says so), size and permission bits.

    `kept` says that its content lies in the store. `mark` changes with every change of the file.
    """

    sha256: str | None
    size: int
    mode: int
    kept: bool
    why: str
    mark: tuple[int, ...]
    owner: tuple[int, int]
    links: int

    def told(self) -> dict[str, Any]:
        """Return what stands in the record."""
        told: dict[str, Any] = {"sha256": self.sha256, "size": self.size, "mode": f"{self.mode:04o}"}
        if self.why:
            told["withheld"] = self.why
        return told


def locate(path: str, cwd: Path, *, follow: bool) -> Path:
    """Return the absolute path to act on. TaskError for a symbolic link, unless it is to be followed.

    Only the last component counts; folders on the way may be links.
    """
    if "\0" in path:
        raise TaskError("a path cannot hold a NUL character")
    target = cwd / path
    if not target.is_symlink():
        return Path(os.path.normpath(target)) if ".." not in target.parts else target.parent.resolve() / target.name
    if not follow:
        raise TaskError(
            f"{path} is a symbolic link to {target.readlink()}; say `follow: true`, or name what it points to"
        )
    try:
        return target.resolve()
    except (OSError, RuntimeError) as error:
        raise TaskError(f"{path} is a symbolic link that leads nowhere: {error}") from error


def keep(
    path: Path, *, store: ContentStore | None, redactor: Redactor, may_go_on: Callable[[], None]
) -> FileState | None:
    """Say what a file is, None when there is none, and keep its content when a store is given.

    A file that holds a secret is neither kept nor hashed: no secret reaches the store, and a digest would let one try
    values out. A file over 256 MiB is hashed, not kept. `may_go_on` raises to stop. TaskError for what is no regular
    file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TaskError(f"{path} has become a symbolic link") from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise TaskError(f"{path} is {kind}; the file task acts on regular files only")
    wanted = store is not None and status.st_size <= LARGEST_KEPT
    with os.fdopen(descriptor, "rb") as source:
        digest, size, secret = _read(source, store if wanted else None, redactor, may_go_on)
    return _state(status, digest, size, kept=wanted and not secret, too_large=store is not None and not wanted)


def _state(status: os.stat_result, digest: str | None, size: int, *, kept: bool, too_large: bool = False) -> FileState:
    why = f"it is larger than {LARGEST_KEPT} bytes: not kept" if too_large else ""
    return FileState(
        sha256=digest,
        size=size,
        mode=stat.S_IMODE(status.st_mode),
        kept=kept,
        why="it holds a secret: neither kept nor hashed" if digest is None else why,
        mark=_mark(status),
        owner=(status.st_uid, status.st_gid),
        links=status.st_nlink,
    )


def _read(
    source: BinaryIO, store: ContentStore | None, redactor: Redactor, may_go_on: Callable[[], None]
) -> tuple[str | None, int, bool]:
    """Return digest, size, and whether there is a secret in it; keep the content in the store unless there is."""
    lines = LineRedactor(redactor)
    digest = hashlib.sha256()
    size = 0
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(store.put_stream()) if store is not None else None
        while piece := source.read(_PIECE):
            may_go_on()
            size += len(piece)
            digest.update(piece)
            lines.feed(piece)
            if writer is not None and not lines.changed:
                writer.write(piece)
        lines.finish()
        if writer is not None and not lines.changed:
            writer.close()
    return (None if lines.changed else digest.hexdigest()), size, lines.changed


def replace(
    target: Path,
    pieces: Iterator[bytes],
    *,
    before: FileState | None,
    mode: int | None,
    new_mode: int = 0o666,
    redactor: Redactor,
    may_go_on: Callable[[], None],
) -> FileState:
    """Put new content in the place of a file at once (temporary file, sync, rename); return the new state.

    An existing file's mode, owner and extended attributes (access lists are such) carry over, `mode` outranks the
    first. A new file gets `new_mode` less the umask. TaskError when the file is not what it was when `before` was
    taken. `may_go_on` raises to stop before anything has changed. The folder is left for the caller to sync.
    """
    temporary = target.with_name(f".{target.name[:200]}.hearth-{secrets.token_hex(4)}")
    careful = mode is not None or before is not None
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600 if careful else new_mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest, size = _write(file, pieces, redactor, may_go_on)
            file.flush()
            if before is not None:
                _carry_over(target, temporary, descriptor, before)
            if careful and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode if mode is not None else before.mode if before is not None else new_mode)
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        may_go_on()
        check_unchanged(target, before)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return _state(status, digest, size, kept=False)


def _write(
    file: BinaryIO, pieces: Iterator[bytes], redactor: Redactor, may_go_on: Callable[[], None]
) -> tuple[str | None, int]:
    """Write the pieces; return their digest (None: there is a secret in them) and size."""
    lines = LineRedactor(redactor)
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        may_go_on()
        file.write(piece)
        size += len(piece)
        digest.update(piece)
        lines.feed(piece)
    lines.finish()
    return (None if lines.changed else digest.hexdigest()), size


def check_unchanged(target: Path, before: FileState | None) -> None:
    """TaskError when a file is not what it was when `before` was taken."""
    try:
        now: tuple[int, ...] | None = _mark(target.lstat())
    except FileNotFoundError:
        now = None
    if now != (before.mark if before is not None else None):
        raise TaskError(f"{target} was changed by somebody else meanwhile; nothing was done to it")


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode


def _carry_over(target: Path, temporary: Path, descriptor: int, before: FileState) -> None:
    if not hasattr(os, "fchown"):
        return
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != before.owner:
        try:
            os.fchown(descriptor, *before.owner)
        except PermissionError as error:
            raise TaskError(
                f"{target} belongs to user {before.owner[0]}, group {before.owner[1]}, which cannot be kept"
            ) from error
    if hasattr(os, "listxattr"):
        for name in os.listxattr(target, follow_symlinks=False):
            # Some belong to the system (security labels), and some file systems know none.
            with contextlib.suppress(OSError):
                os.setxattr(temporary, name, os.getxattr(target, name, follow_symlinks=False), follow_symlinks=False)
