"""Hashing files with holes: the digest is that of the content, up to a limit, and until it is told to stop."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from hearth.errors import ObservationError
from hearth.observe import _content_digest
from hearth.observe._content_digest import ContentDigest, TooManyHolesError

MIB = 1 << 20


def digest(path: Path, content: ContentDigest | None = None) -> tuple[str, int]:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return (content or ContentDigest()).of(descriptor)
    finally:
        os.close(descriptor)


def with_data_at(path: Path, size: int, *places: int) -> Path:
    """Make a file of a size with nothing but a few bytes at some places."""
    with path.open("wb") as file:
        file.truncate(size)
        for place in places:
            file.seek(place)
            file.write(b"data")
    return path


@pytest.mark.parametrize(
    "size, places",
    [
        (0, ()),
        (5, (0,)),
        (3 * MIB + 17, ()),
        (3 * MIB + 17, (0,)),
        (9 * MIB, (4 * MIB,)),
        (9 * MIB + 1, (MIB - 2, 5 * MIB + 3, 9 * MIB - 3)),
    ],
)
def test_holes_are_the_zeros_that_a_program_reads(tmp_path: Path, size: int, places: tuple[int, ...]) -> None:
    path = with_data_at(tmp_path / "file", size, *places)
    assert digest(path) == (hashlib.sha256(path.read_bytes()).hexdigest(), size)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's own")
def test_a_file_whose_size_says_nothing_is_read(tmp_path: Path) -> None:
    content = Path("/proc/sys/kernel/ostype").read_bytes()
    assert digest(Path("/proc/sys/kernel/ostype")) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.skipif(sys.platform != "linux", reason="where no holes are told they are read")
def test_a_file_of_holes_costs_no_time(tmp_path: Path) -> None:
    for name, places in (("empty", ()), ("end", ((1 << 40) - 4,)), ("start", (0,))):
        with pytest.raises(TooManyHolesError):
            digest(with_data_at(tmp_path / name, 1 << 40, *places))


@pytest.mark.skipif(sys.platform != "linux", reason="where no holes are told they are read")
def test_many_files_have_a_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_content_digest, "_MOST_HOLES_IN_ALL", 3 * MIB)
    path = with_data_at(tmp_path / "file", 2 * MIB)
    content = ContentDigest()
    digest(path, content)
    with pytest.raises(TooManyHolesError):
        digest(path, content)
    assert digest(with_data_at(tmp_path / "data", 4, 0), content)[1] == 4


def test_it_stops_where_it_is_told_to(tmp_path: Path) -> None:
    asked = []

    def stop() -> str:
        asked.append(True)
        return "SIGINT" if len(asked) > 2 else ""

    for path in (with_data_at(tmp_path / "hole", 9 * MIB), tmp_path / "data"):
        path.write_bytes(bytes(9 * MIB)) if path.name == "data" else None
        asked.clear()
        with pytest.raises(ObservationError, match="SIGINT"):
            digest(path, ContentDigest(stop))
        assert len(asked) == 3
