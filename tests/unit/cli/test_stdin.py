"""What a single command is to read: taken whole, into a private file named after its content."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import pytest

from hearth.cli import _stdin
from hearth.cli._stdin import input_file, say_what_was_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

posix = pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
CONTENT = b"a\0b\xff\r\n"


@contextmanager
def standard_input(stream: BinaryIO) -> Iterator[None]:
    """Have `sys.stdin` read from this."""
    text = io.TextIOWrapper(stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", text)
        yield
    text.detach()


def test_no_source_is_no_file() -> None:
    with input_file(None) as file:
        assert file is None


@pytest.mark.parametrize("source", ["data.bin", "-"])
def test_it_is_taken_byte_by_byte_and_goes_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.bin").write_bytes(CONTENT)
    with standard_input(io.BytesIO(CONTENT)), input_file(source) as file:
        assert file is not None
        assert file.read_bytes() == CONTENT
        assert file.name == f"stdin-{hashlib.sha256(CONTENT).hexdigest()[:16]}"
        assert os.name != "posix" or stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert list(file.parent.iterdir()) == [file]
    assert not file.parent.exists()


def test_what_is_empty_is_an_input_too() -> None:
    with standard_input(io.BytesIO()), input_file("-") as file:
        assert file is not None
        assert file.read_bytes() == b""


@posix
def test_a_named_pipe_can_be_a_source() -> None:
    reader, writer = os.pipe()
    os.write(writer, CONTENT)
    os.close(writer)
    with input_file(f"/dev/fd/{reader}") as file:
        assert file is not None
        assert file.read_bytes() == CONTENT
    os.close(reader)


@pytest.mark.parametrize("source", ["missing", "."])
def test_what_cannot_be_read_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError, match="cannot be read"), input_file(source):
        pytest.fail("it was read")


def test_too_much_is_refused_before_all_of_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stdin, "LARGEST_INPUT", 3_000_000)
    stream = io.BytesIO(bytes(9_000_000))
    with standard_input(stream):
        with pytest.raises(click.UsageError, match="more than 2 MiB; let the command open"), input_file("-"):
            pytest.fail("it was read")
        assert stream.tell() < 5_000_000


@pytest.mark.parametrize("stream", [None, "a terminal"])
def test_dash_needs_a_standard_input_that_is_no_terminal(monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", None if stream is None else Terminal())
    with pytest.raises(click.UsageError, match="name a FILE"), input_file("-"):
        pytest.fail("it was read")


# --- what was ignored


def said(capsys: pytest.CaptureFixture[str], stream: BinaryIO) -> bool:
    """Whether it is said that data of this stream is ignored."""
    with standard_input(stream):
        say_what_was_ignored()
    return "--stdin -" in capsys.readouterr().err


@posix
def test_data_in_a_pipe_is_spoken_of_and_left_there(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        assert not said(capsys, stream)  # open and idle, as under cron: it does not wait
        os.write(writer, b"x")
        assert said(capsys, stream)
        assert stream.read(1) == b"x"
        os.close(writer)
        assert not said(capsys, stream)  # at its end


@posix
def test_a_socket_is_like_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    here, there = socket.socketpair()
    with here, there, os.fdopen(os.dup(here.fileno()), "rb", buffering=0) as stream:
        assert not said(capsys, stream)
        there.send(b"x")
        assert said(capsys, stream)


def test_a_file_is_spoken_of_as_long_as_something_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines").write_bytes(b"ab")
    with (tmp_path / "lines").open("rb", buffering=0) as stream:
        assert said(capsys, stream)
        stream.read(1)
        assert said(capsys, stream)
        stream.read(1)
        assert not said(capsys, stream)


def test_nothing_is_said_of_the_null_device_or_of_no_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open("rb", buffering=0) as stream:
        assert not said(capsys, stream)
    assert not said(capsys, io.BytesIO(b"x"))
    monkeypatch.setattr(sys, "stdin", None)
    say_what_was_ignored()
    assert capsys.readouterr().err == ""
