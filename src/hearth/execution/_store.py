"""Outputs and pre-images, kept whole under the digest of their content."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hearth._directory import sync_directory
from hearth.errors import LedgerError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["EMPTY_DIGEST", "ContentStore", "ContentWriter"]

EMPTY_DIGEST = hashlib.sha256(b"").hexdigest()

_DIGEST = re.compile(r"[0-9a-f]{64}")
_IN_MEMORY = 256 << 10  # what is smaller goes to disk in one write, when it is complete


class ContentStore:
    """A folder of files named by the SHA-256 of their bytes, `ab/cdef…`; readable by its owner alone.

    A file under its digest is whole: it is written to `tmp/`, synced, renamed, and its folder synced, before the
    digest is returned (`durable=False` leaves the syncs out: for a store that does not outlive the run). The
    same content is kept once. Safe to share between threads and processes; nothing is ever changed or removed.
    """

    def __init__(self, folder: Path | str, *, durable: bool = True) -> None:
        self.folder = Path(folder)
        self.durable = durable

    def put_stream(self) -> ContentWriter:
        """Return a writer: `write(bytes)` as often as needed, then `close()` gives the digest."""
        return ContentWriter(self)

    def put(self, content: bytes) -> str:
        """Keep these bytes and return their digest (64 hex digits)."""
        with self.put_stream() as writer:
            writer.write(content)
            return writer.close()

    def path(self, digest: str) -> Path:
        """Return where the content with this digest lies, or would lie; ValueError when it is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a SHA-256 digest: 64 lower-case hexadecimal digits are")
        return self.folder / digest[:2] / digest[2:]

    def has(self, digest: str) -> bool:
        """Whether the content is kept here."""
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """Return the content; LedgerError when it is not kept here, or is not what its digest says."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise LedgerError(f"{self.folder}: nothing is kept here under the digest {digest}") from None
        except OSError as error:
            raise LedgerError(f"{path}: the kept content cannot be read ({error.strerror or error})") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise LedgerError(
                f"{path}: the kept content is not what its digest says: it was changed, or the disk is bad"
            )
        return content

    def _temporary(self) -> tuple[int, Path]:
        waiting = self.folder / "tmp"
        path = waiting / secrets.token_hex(8)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            return os.open(path, flags, 0o600), path
        except FileNotFoundError:
            # Not what is above the store's folder: a ledger that was moved away must not begin anew in its old place.
            self.folder.mkdir(mode=0o700, exist_ok=True)
            waiting.mkdir(mode=0o700, exist_ok=True)
            self.folder.chmod(0o700)
            return os.open(path, flags, 0o600), path

    def _adopt(self, temporary: Path, digest: str, size: int) -> None:
        """Give a complete, synced file its name, unless the same content is there already."""
        path = self.path(digest)
        if self._holds(digest, size):
            temporary.unlink()
            return
        try:
            temporary.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._sync(self.folder)
            temporary.replace(path)
        self._sync(path.parent)

    def _holds(self, digest: str, size: int) -> bool:
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def _sync(self, folder: Path) -> None:
        if self.durable:
            sync_directory(folder)


class ContentWriter:
    """Writes one content into a store; nothing of it stays when the writer is left without `close()`."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._descriptor = -1
        self._path: Path | None = None
        self._digest = ""
        self.size = 0

    def write(self, content: bytes) -> None:
        """Add bytes at the end; OSError when they cannot be written."""
        self._hash.update(content)
        self.size += len(content)
        self._waiting.append(content)
        self._waiting_size += len(content)
        if self._waiting_size > _IN_MEMORY:
            self._flush()

    def close(self) -> str:
        """Make the content durable under its digest, and return the digest; a second call gives the same one."""
        if self._digest:
            return self._digest
        digest = self._hash.hexdigest()
        if self._path is None and self._store._holds(digest, self.size):  # noqa: SLF001 - the two classes are one mechanism
            self._waiting.clear()
        else:
            try:
                self._flush()
                if self._store.durable:
                    os.fsync(self._descriptor)
            finally:
                self._release()
            assert self._path is not None  # noqa: S101 - _flush made it
            self._store._adopt(self._path, digest, self.size)  # noqa: SLF001 - as above
            self._path = None
        self._digest = digest
        return digest

    def discard(self) -> None:
        """Throw away what was written, unless it is closed already."""
        self._waiting.clear()
        self._release()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _flush(self) -> None:
        if self._descriptor < 0:
            self._descriptor, self._path = self._store._temporary()  # noqa: SLF001 - as above
        view = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_size = 0
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
