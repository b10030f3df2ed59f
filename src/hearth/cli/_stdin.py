"""What a single command reads: nothing, or a file that is taken whole before the plan's digest is."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

__all__ = ["LARGEST_INPUT", "input_file", "say_what_was_ignored"]

LARGEST_INPUT = 64 * 1024 * 1024
"""Bytes. A command that reads more opens its file itself."""

_CHUNK = 1024 * 1024
_LETTERS = 16  # of the SHA-256: no word of a command is the file's name by accident


@contextmanager
def input_file(source: str | None) -> Iterator[Path | None]:
    """Yield a private file with what `source` holds, a path or `-` for standard input; None for no source.

    It is read to its end before this yields: what is approved and recorded is its content, which a pipe shows only
    once. The file is named after the content, so that the same command with the same input is the same plan. A usage
    error for a terminal, for what cannot be read, and for more than LARGEST_INPUT.
    """
    if source is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="hearth-stdin-", ignore_cleanup_errors=True) as folder:
        draft = Path(folder) / "draft"
        try:
            with _opened(source) as stream, draft.open("xb") as copy:
                digest = _copy(stream, copy)
        except OSError as error:
            raise click.UsageError(f"--stdin {source}: cannot be read: {error.strerror or error}") from error
        yield draft.rename(draft.with_name(f"stdin-{digest[:_LETTERS]}"))


def say_what_was_ignored() -> None:
    """Say on stderr when standard input has data that nobody asked for, as in `echo x | hearth exec -- cat`."""
    if _data_waits():
        click.echo(
            "hearth: note: there is data on standard input, and the command was not given it; "
            "--stdin - passes it on, and </dev/null says that none is meant",
            err=True,
        )


def _opened(source: str) -> AbstractContextManager[BinaryIO]:
    if source != "-":
        return Path(source).open("rb")
    if sys.stdin is None:
        raise click.UsageError("--stdin -: there is no standard input; name a FILE")
    if sys.stdin.isatty():
        raise click.UsageError("--stdin -: standard input is a terminal; redirect something into it, or name a FILE")
    return nullcontext(sys.stdin.buffer)


def _copy(stream: BinaryIO, copy: BinaryIO) -> str:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > LARGEST_INPUT:
            raise click.UsageError(
                f"--stdin: more than {LARGEST_INPUT // 1024 // 1024} MiB; let the command open its file itself, as in "
                "`hearth exec -- sh -c 'COMMAND < FILE'`"
            )
        digest.update(chunk)
        copy.write(chunk)
    return digest.hexdigest()


def _data_waits() -> bool:
    """Whether there is something to read right now; never waits, and takes nothing away."""
    try:
        descriptor = sys.stdin.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > os.lseek(descriptor, 0, os.SEEK_CUR)
        # An idle pipe of cron or CI has no bytes, and one at its end has none either: both are readable for select().
        return (stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)) and _bytes_ready(descriptor) > 0
    except (AttributeError, OSError, ValueError):  # no standard input, or one that is no file
        return False


def _bytes_ready(descriptor: int) -> int:
    try:
        import fcntl
        import termios
    except ImportError:  # Windows, where no command runs either
        return 0
    answer = bytearray(4)
    fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    return int.from_bytes(answer, sys.byteorder)
