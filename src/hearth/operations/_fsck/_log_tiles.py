"""A log's entries and tiles on the disk, hashed anew (RFC 6962, C2SP tlog-tiles) with nothing but hashlib."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["LogTree", "log_entries"]

_WIDTH = 256
_TRIES = 5


class LogTree:
    """The tree over the entries that were added; the tiles that they fill are held against the files.

    `read` are the files that belong to the log, `wrong` those that are missing or not what the entries give.
    """

    def __init__(self, folder: Path) -> None:
        self.read: set[str] = set()
        self.wrong: list[str] = []
        self.size = 0
        self._folder = folder
        self._levels: list[list[bytes]] = []
        self._full: list[int] = []

    def add(self, entry: bytes) -> None:
        """Add an entry."""
        self.size += 1
        self._push(0, hashlib.sha256(b"\0" + entry).digest())

    def root(self) -> bytes:
        """Return the root of what was added."""
        below: bytes | None = None
        for nodes in self._levels:
            row = nodes if below is None else [*nodes, below]
            below = _root(row) if row else None
        return hashlib.sha256(b"").digest() if below is None else below

    def check_edge(self) -> None:
        """Hold the partial tiles of this size against the files."""
        for level, nodes in enumerate(self._levels):
            if nodes:
                self._check(level, self._full[level], nodes)

    def _push(self, level: int, one: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._full.append(0)
        nodes = self._levels[level]
        nodes.append(one)
        if len(nodes) == _WIDTH:
            self._check(level, self._full[level], nodes)
            self._levels[level] = []
            self._full[level] += 1
            self._push(level + 1, _root(nodes))

    def _check(self, level: int, index: int, nodes: Sequence[bytes]) -> None:
        stem, wanted = f"tile/{level}/{_number(index)}", b"".join(nodes)
        path, found = _content(self._folder, stem, len(nodes))
        self.read.add(path)
        if found is None:
            self.wrong.append(f"{path} is missing")
        elif found != wanted and (path == _named(stem, len(nodes)) or not found.startswith(wanted)):
            self.wrong.append(f"{path} is not what the entries give")


def log_entries(folder: Path, size: int, read: set[str]) -> Iterator[bytes]:
    """Yield a log's first entries; ValueError where a bundle is missing or malformed. Files are added to `read`."""
    for index in range(-(-size // _WIDTH)):
        width = min(_WIDTH, size - index * _WIDTH)
        path, data = _content(folder, f"tile/entries/{_number(index)}", width)
        read.add(path)
        if data is None:
            raise ValueError(f"{path}, a bundle of entries, is missing")
        place = 0
        for _ in range(width):
            length = int.from_bytes(data[place : place + 2], "big")
            if place + 2 + length > len(data):
                raise ValueError(f"{path} does not hold the {width} entries that it should")
            yield data[place + 2 : place + 2 + length]
            place += 2 + length
        if place != len(data) and path == _named(f"tile/entries/{_number(index)}", width):
            raise ValueError(f"{path} holds more than its {width} entries")


def _content(folder: Path, stem: str, width: int) -> tuple[str, bytes | None]:
    """Return the file of a tile or bundle, or a wider one, which begins with it: what grows is renamed meanwhile."""
    for _ in range(_TRIES):
        for path in (_named(stem, width), stem, *_wider(folder, stem, width)):
            try:
                return path, (folder / path).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return _named(stem, width), None


def _wider(folder: Path, stem: str, width: int) -> list[str]:
    try:
        names = [one.name for one in (folder / f"{stem}.p").iterdir()]
    except OSError:
        return []
    widths = sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]{0,2}", name, re.ASCII))
    return [f"{stem}.p/{one}" for one in widths if width < one < _WIDTH]


def _named(stem: str, width: int) -> str:
    return stem if width == _WIDTH else f"{stem}.p/{width}"


def _number(index: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index >= 1000:  # noqa: PLR2004 - three digits a group
        index //= 1000
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))


def _root(nodes: Sequence[bytes]) -> bytes:
    if len(nodes) == 1:
        return nodes[0]
    split = 1 << (len(nodes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(nodes[:split]) + _root(nodes[split:])).digest()
